//! From messages of the contracts to YAML, in the order of the contracts' fields and with the short forms of [`super::read`], so
//! that a saved file is easy to read and its changes are easy to review.

use jiff::Timestamp;
use prost_reflect::{DynamicMessage, FieldDescriptor, Kind, ReflectMessage as _, Value};

use super::read::{is_in_file, only_list, prefix};

/// Texts that other readers of YAML take for something else.
const WORDS: [&str; 11] = ["true", "false", "yes", "no", "on", "off", "null", "nan", "inf", "y", "n"];

/// The file of a message.
pub(super) fn file(message: &DynamicMessage) -> String {
    let mut out = String::new();
    fields(message, 0, &mut out);
    out
}

fn fields(message: &DynamicMessage, indent: usize, out: &mut String) {
    for field in message.descriptor().fields().filter(is_in_file) {
        if !message.has_field(&field) {
            continue;
        }
        out.push_str(&" ".repeat(indent));
        out.push_str(field.name());
        out.push(':');
        value(&field, &message.get_field(&field), indent, out);
    }
}

/// A value behind its key, to the end of its last line.
fn value(field: &FieldDescriptor, value: &Value, indent: usize, out: &mut String) {
    match value {
        Value::List(values) => list(field, values, indent, out),
        Value::Message(message) => match (short(message), only_list(&message.descriptor())) {
            (Some(text), _) => line(&text, out),
            (None, Some(field)) => match message.get_field(&field).as_ref() {
                Value::List(values) => list(&field, values, indent, out),
                _ => line("[]", out),
            },
            (None, None) => {
                out.push('\n');
                fields(message, indent + 2, out);
            }
        },
        scalar => line(&text(field, scalar), out),
    }
}

fn line(text: &str, out: &mut String) {
    out.push(' ');
    out.push_str(text);
    out.push('\n');
}

fn list(field: &FieldDescriptor, values: &[Value], indent: usize, out: &mut String) {
    if field.kind().as_message().is_none() || values.is_empty() {
        let texts: Vec<String> = values.iter().map(|value| text(field, value)).collect();
        return line(&format!("[{}]", texts.join(", ")), out);
    }
    out.push('\n');
    for value in values {
        let Value::Message(message) = value else { continue };
        let mut item = String::new();
        match short(message) {
            Some(text) => item = format!("{}{text}\n", " ".repeat(indent + 4)),
            None => fields(message, indent + 4, &mut item),
        }
        // The dash takes the place of the first field's indent.
        out.push_str(&" ".repeat(indent + 2));
        out.push_str("- ");
        out.push_str(&item[indent + 4..]);
    }
}

/// Messages that fit on a line.
fn short(message: &DynamicMessage) -> Option<String> {
    let part = |name: &str| match message.get_field_by_name(name).as_deref() {
        Some(Value::I64(number)) => *number,
        Some(Value::I32(number)) => i64::from(*number),
        Some(Value::U32(number)) => i64::from(*number),
        _ => 0,
    };
    match message.descriptor().full_name() {
        "google.protobuf.Duration" => Some(duration(part("seconds"), part("nanos"))),
        "google.protobuf.Timestamp" => {
            let time = Timestamp::new(part("seconds"), i32::try_from(part("nanos")).unwrap_or_default());
            // A time that no file can have: a message with it is not valid.
            Some(time.map_or_else(|_| "null".to_owned(), |time| time.to_string()))
        }
        "millrace.v1.GridLayout" => {
            let [x, y, width, height] = ["x", "y", "width", "height"].map(part);
            Some(format!("{{x: {x}, y: {y}, width: {width}, height: {height}}}"))
        }
        _ if message.fields().next().is_none() && only_list(&message.descriptor()).is_none() => {
            Some("{}".to_owned())
        }
        _ => None,
    }
}

fn duration(seconds: i64, nanos: i64) -> String {
    let units = [(86_400, 'd'), (3_600, 'h'), (60, 'm')];
    match units.iter().find(|(length, _)| nanos == 0 && seconds > 0 && seconds % length == 0) {
        Some((length, unit)) => format!("{}{unit}", seconds / length),
        None if nanos == 0 => format!("{seconds}s"),
        None => format!("{seconds}.{nanos:09}s"),
    }
}

fn text(field: &FieldDescriptor, value: &Value) -> String {
    match (value, field.kind()) {
        (Value::EnumNumber(number), Kind::Enum(values)) => match values.get_value(*number) {
            Some(value) => value.name().trim_start_matches(&prefix(&values)).to_ascii_lowercase(),
            None => number.to_string(),
        },
        (Value::String(text), _) => string(text),
        (Value::Bool(value), _) => value.to_string(),
        (Value::U32(number), _) => number.to_string(),
        (other, _) => other.to_string(),
    }
}

/// Without quotes if every reader of YAML takes it for the same text.
fn string(text: &str) -> String {
    let is_plain = text.starts_with(|first: char| first.is_ascii_alphabetic())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b' ' | b'.' | b'/'))
        && !text.ends_with(' ')
        && !WORDS.contains(&text.to_ascii_lowercase().as_str());
    if is_plain {
        return text.to_owned();
    }
    let mut quoted = String::from("\"");
    for character in text.chars() {
        match character {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            '\t' => quoted.push_str("\\t"),
            // Not printable, or a line break.
            '\0'..' '
            | '\u{7f}'..='\u{a0}'
            | '\u{2028}'
            | '\u{2029}'
            | '\u{feff}'
            | '\u{fffe}'
            | '\u{ffff}' => {
                quoted.push_str(&format!("\\u{:04X}", u32::from(character)));
            }
            character => quoted.push(character),
        }
    }
    quoted.push('"');
    quoted
}

//! From YAML to messages of the contracts: the fields of the contracts in snake_case, with short forms of what would be long.
//!
//! - An enumeration's value is its name in the contracts, or the part behind the enumeration's name in lower case:
//!   `operator: is_not` for FIELD_OPERATOR_IS_NOT.
//! - A duration is a number and a unit: `90s`, `30m`, `12h`, `14d`.
//! - A message whose only field is a list may be that list: `all: [...]` for `all: {filters: [...]}`.
//! - A list of texts with one entry may be that text: `values: pro`.

use jiff::Timestamp;
use prost_reflect::{
    DynamicMessage, EnumDescriptor, FieldDescriptor, Kind, MessageDescriptor, Value as Field,
};

use super::yaml::{Node, Problem, Value};
use crate::panels::abbreviate;

const SECONDS_PER_DAY: i64 = 86_400;
/// How many names an error message has.
const MAX_NAMES: usize = 20;

/// Whether a field is set by the server, and so not in a file.
pub(super) fn is_in_file(field: &FieldDescriptor) -> bool {
    !matches!(
        (field.parent_message().name(), field.name()),
        ("Insight" | "Dashboard" | "Annotation", "name" | "built_in" | "etag")
            | ("DashboardItem", "placement" | "error")
    )
}

/// The only field of a message, if it is a list.
pub(super) fn only_list(message: &MessageDescriptor) -> Option<FieldDescriptor> {
    let mut fields = message.fields();
    let field = fields.next()?;
    (field.is_list() && fields.next().is_none()).then_some(field)
}

/// What the names of an enumeration begin with.
pub(super) fn prefix(values: &EnumDescriptor) -> String {
    values.default_value().name().trim_end_matches("UNSPECIFIED").to_owned()
}

/// A message of this type.
pub(super) fn message(descriptor: &MessageDescriptor, node: &Node) -> Result<DynamicMessage, Problem> {
    let mut message = DynamicMessage::new(descriptor.clone());
    let entries = match &node.value {
        Value::Map(entries) => entries,
        Value::List(_) if only_list(descriptor).is_some() => {
            let field = only_list(descriptor).expect("it was there");
            message.set_field(&field, list(&field, node)?);
            return Ok(message);
        }
        _ => {
            let names = names(descriptor);
            return Err(Problem::new(
                node.line,
                format!("expected a mapping of {names}, not {}", node.kind()),
            ));
        }
    };
    for entry in entries {
        let field = descriptor.get_field_by_name(&entry.key).filter(is_in_file).ok_or_else(|| {
            let (key, names) = (abbreviate(&entry.key), names(descriptor));
            Problem::new(entry.line, format!("{key:?} is not a field here; expected one of {names}"))
        })?;
        if entry.value.is_null() {
            continue;
        }
        let others = field.containing_oneof().filter(|_| !is_optional(&field));
        let other = others.and_then(|oneof| oneof.fields().find(|other| message.has_field(other)));
        if let Some(other) = other {
            let (name, other) = (field.name(), other.name());
            return Err(Problem::new(
                entry.line,
                format!("{name}: there is {other} already; only one of them is possible"),
            ));
        }
        let value = if field.is_list() { list(&field, &entry.value) } else { single(&field, &entry.value) };
        message.set_field(&field, value.map_err(|problem| within(field.name(), problem, entry.line))?);
    }
    Ok(message)
}

/// Fields that are `optional` have a oneof of their own in descriptors.
fn is_optional(field: &FieldDescriptor) -> bool {
    field.field_descriptor_proto().proto3_optional()
}

/// Names the field in a problem with its own value; a problem further inside names its own field.
fn within(name: &str, problem: Problem, line: u32) -> Problem {
    if problem.message.starts_with("expected") {
        return Problem::new(problem.line.max(line), format!("{name}: {}", problem.message));
    }
    problem
}

fn names(descriptor: &MessageDescriptor) -> String {
    let fields: Vec<String> =
        descriptor.fields().filter(is_in_file).map(|field| field.name().to_owned()).collect();
    fields.join(", ")
}

fn list(field: &FieldDescriptor, node: &Node) -> Result<Field, Problem> {
    match &node.value {
        Value::List(nodes) => {
            let values: Result<Vec<Field>, Problem> = nodes.iter().map(|node| single(field, node)).collect();
            Ok(Field::List(values?))
        }
        Value::Plain(_) | Value::Quoted(_) if field.kind().as_message().is_none() => {
            Ok(Field::List(vec![single(field, node)?]))
        }
        _ => Err(Problem::new(node.line, format!("expected a list, not {}", node.kind()))),
    }
}

fn single(field: &FieldDescriptor, node: &Node) -> Result<Field, Problem> {
    let expected = |what: &str| Problem::new(node.line, format!("expected {what}, not {}", shown(node)));
    let kind = field.kind();
    if let Kind::Message(descriptor) = &kind
        && !matches!(descriptor.full_name(), "google.protobuf.Duration" | "google.protobuf.Timestamp")
    {
        return message(descriptor, node).map(Field::Message);
    }
    let (text, is_quoted) = match &node.value {
        Value::Plain(text) => (text, false),
        Value::Quoted(text) => (text, true),
        _ => return Err(expected("a single value")),
    };
    match &kind {
        Kind::String => Ok(Field::String(text.clone())),
        Kind::Enum(values) => enum_value(values, text)
            .map(Field::EnumNumber)
            .ok_or_else(|| expected(&format!("one of {}", enum_names(values)))),
        Kind::Message(descriptor) => match descriptor.full_name() {
            "google.protobuf.Duration" => {
                let (seconds, nanos) =
                    duration(text).ok_or_else(|| expected("a duration such as 30m, 12h or 14d"))?;
                Ok(Field::Message(seconds_and_nanos(descriptor, seconds, nanos)))
            }
            _ => {
                let time: Timestamp =
                    text.parse().map_err(|_| expected("a time such as 2026-11-21T10:00:00Z"))?;
                Ok(Field::Message(seconds_and_nanos(descriptor, time.as_second(), time.subsec_nanosecond())))
            }
        },
        Kind::Bool => match text.as_str() {
            "true" if !is_quoted => Ok(Field::Bool(true)),
            "false" if !is_quoted => Ok(Field::Bool(false)),
            _ => Err(expected("true or false")),
        },
        Kind::Uint32 if !is_quoted => {
            text.parse().map(Field::U32).map_err(|_| expected("a whole number from 0 on"))
        }
        Kind::Uint32 => Err(expected("a number without quotes")),
        _ => Err(expected("a field that files can have")),
    }
}

fn shown(node: &Node) -> String {
    match &node.value {
        Value::Plain(text) | Value::Quoted(text) if !node.is_null() => format!("{:?}", abbreviate(text)),
        _ => node.kind().to_owned(),
    }
}

fn enum_value(values: &EnumDescriptor, text: &str) -> Option<i32> {
    let short = || {
        let is_short =
            text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_');
        let name = is_short.then(|| prefix(values) + &text.to_ascii_uppercase())?;
        values.get_value_by_name(&name)
    };
    values.get_value_by_name(text).or_else(short).map(|value| value.number())
}

fn enum_names(values: &EnumDescriptor) -> String {
    let prefix = prefix(values);
    let names = values.values().filter(|value| value.number() != 0);
    let names: Vec<String> = names
        .take(MAX_NAMES)
        .map(|value| value.name().trim_start_matches(&prefix).to_ascii_lowercase())
        .collect();
    names.join(", ")
}

/// Seconds and nanoseconds of "14d", "12h", "30m", "90s", or "1.5s" as in proto3 JSON.
fn duration(text: &str) -> Option<(i64, i32)> {
    let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let is_digits = |digits: &str| !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    let seconds_per_unit = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3_600,
        "d" => SECONDS_PER_DAY,
        _ => return None,
    };
    match number.split_once('.') {
        Some((whole, fraction))
            if unit == "s" && is_digits(whole) && is_digits(fraction) && fraction.len() <= 9 =>
        {
            Some((whole.parse().ok()?, format!("{fraction:0<9}").parse().ok()?))
        }
        None if is_digits(number) => Some((number.parse::<i64>().ok()?.checked_mul(seconds_per_unit)?, 0)),
        _ => None,
    }
}

/// A google.protobuf.Duration or Timestamp.
fn seconds_and_nanos(descriptor: &MessageDescriptor, seconds: i64, nanos: i32) -> DynamicMessage {
    let mut message = DynamicMessage::new(descriptor.clone());
    message.set_field_by_name("seconds", Field::I64(seconds));
    message.set_field_by_name("nanos", Field::I32(nanos));
    message
}

//! Filters on events in memory, with exactly the semantics that [`sql`](super::sql) has in ClickHouse.
//!
//! ClickHouse parses the properties with simdjson. An object with a number that neither an integer of 64 bits nor a finite
//! floating-point number can hold is invalid for it as a whole, so no key of it is set. Of a repeated key the first one counts.
//! The text of a number is not how it was sent: 3.0 is "3", and 1e3 is "1000".

use std::cell::OnceCell;
use std::fmt::Write as _;

use regex::Regex;
use serde::de::{Deserializer as _, Error as _, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::field::OwnField;
use super::{Bounds, Field, FieldCondition, Filter, InvalidFilter, Test};

/// An event that a filter is evaluated on, as it is stored.
pub(crate) trait EventFields {
    /// A field of its own; empty if it is not set.
    fn own(&self, field: OwnField) -> &str;
    /// The column of a declared text property; empty if it is not set.
    fn promoted_text(&self, name: &str) -> &str;
    /// The column of a declared number property.
    fn promoted_number(&self, name: &str) -> Option<f64>;
    /// Its properties: a JSON object.
    fn properties(&self) -> &str;
}

/// A filter that is ready to be evaluated.
#[derive(Debug)]
pub(crate) struct Matcher {
    condition: Condition,
    /// The keys of the properties that it reads.
    keys: Vec<String>,
}

#[derive(Debug)]
enum Condition {
    All(Vec<Condition>),
    Any(Vec<Condition>),
    Not(Box<Condition>),
    Text(Source, TextTest),
    Number(Source, Bounds),
}

/// Where a value comes from.
#[derive(Debug)]
enum Source {
    Own(OwnField),
    PromotedText(String),
    PromotedNumber(String),
    /// By its position in [`Matcher::keys`].
    Property(usize),
}

#[derive(Debug)]
enum TextTest {
    Is(Vec<String>),
    Contains(Vec<String>),
    Matches(Vec<Regex>),
    IsSet,
}

impl Matcher {
    /// Prepares a filter.
    ///
    /// # Errors
    /// If the filter asks what visitors did.
    pub(crate) fn new(filter: &Filter) -> Result<Self, InvalidFilter> {
        let mut keys = Vec::new();
        let condition = Condition::new(filter, &mut keys)?;
        Ok(Self { condition, keys })
    }

    /// Whether the filter selects an event.
    pub(crate) fn matches(&self, event: &impl EventFields) -> bool {
        self.condition.matches(&Evaluated { event, keys: &self.keys, values: OnceCell::new() })
    }
}

impl Condition {
    fn new(filter: &Filter, keys: &mut Vec<String>) -> Result<Self, InvalidFilter> {
        let mut list = |filters: &[Filter]| {
            filters.iter().map(|filter| Self::new(filter, keys)).collect::<Result<_, _>>()
        };
        Ok(match filter {
            Filter::All(filters) => Self::All(list(filters)?),
            Filter::Any(filters) => Self::Any(list(filters)?),
            Filter::Not(filter) => Self::Not(Box::new(Self::new(filter, keys)?)),
            Filter::Did(_) => return Err(InvalidFilter::LiveDid),
            Filter::Field(FieldCondition { field, test }) => {
                let source = Source::new(field, keys);
                match test {
                    Test::Is(values) => Self::Text(source, TextTest::Is(values.clone())),
                    Test::Contains(values) => Self::Text(source, TextTest::Contains(values.clone())),
                    Test::Matches(patterns) => {
                        // Each was compiled when the filter was parsed.
                        let compiled = patterns.iter().filter_map(|text| super::pattern::pattern(text).ok());
                        Self::Text(source, TextTest::Matches(compiled.collect()))
                    }
                    Test::Number(bounds) => Self::Number(source, *bounds),
                    Test::IsSet => Self::Text(source, TextTest::IsSet),
                }
            }
        })
    }

    fn matches(&self, event: &Evaluated<'_, impl EventFields>) -> bool {
        match self {
            Self::All(conditions) => conditions.iter().all(|condition| condition.matches(event)),
            Self::Any(conditions) => conditions.iter().any(|condition| condition.matches(event)),
            Self::Not(condition) => !condition.matches(event),
            Self::Text(source, test) => event.with_text(source, |text| test.matches(text)),
            Self::Number(source, Bounds { low, high, inclusive }) => {
                event.number(source).is_some_and(|number| {
                    if *inclusive {
                        *low <= number && number <= *high
                    } else {
                        *low < number && number < *high
                    }
                })
            }
        }
    }
}

impl Source {
    fn new(field: &Field, keys: &mut Vec<String>) -> Self {
        match field {
            Field::Own(own) => Self::Own(*own),
            Field::Promoted { name, is_number: false } => Self::PromotedText(name.clone()),
            Field::Promoted { name, is_number: true } => Self::PromotedNumber(name.clone()),
            Field::Property(key) => {
                let known = keys.iter().position(|known| known == key);
                Self::Property(known.unwrap_or_else(|| {
                    keys.push(key.clone());
                    keys.len() - 1
                }))
            }
        }
    }
}

impl TextTest {
    fn matches(&self, text: &str) -> bool {
        match self {
            // Sorted by the parser.
            Self::Is(values) => values.binary_search_by(|value| value.as_str().cmp(text)).is_ok(),
            Self::Contains(values) => values.iter().any(|value| text.contains(value.as_str())),
            Self::Matches(patterns) => patterns.iter().any(|pattern| pattern.is_match(text)),
            Self::IsSet => !text.is_empty(),
        }
    }
}

/// An event with the values of its properties, which are parsed when the first one is needed.
struct Evaluated<'a, E> {
    event: &'a E,
    keys: &'a [String],
    values: OnceCell<Vec<Option<Value>>>,
}

impl<E: EventFields> Evaluated<'_, E> {
    fn value(&self, key: usize) -> Option<&Value> {
        let values = self.values.get_or_init(|| property_values(self.event.properties(), self.keys));
        values.get(key)?.as_ref()
    }

    fn with_text<T>(&self, source: &Source, test: impl FnOnce(&str) -> T) -> T {
        match source {
            Source::Own(own) => test(self.event.own(*own)),
            Source::PromotedText(name) => test(self.event.promoted_text(name)),
            Source::PromotedNumber(name) => {
                test(&self.event.promoted_number(name).map_or_else(String::new, number_text))
            }
            Source::Property(key) => test(self.value(*key).map_or("", |value| &value.text)),
        }
    }

    fn number(&self, source: &Source) -> Option<f64> {
        match source {
            Source::Own(_) | Source::PromotedText(_) => None,
            Source::PromotedNumber(name) => self.event.promoted_number(name),
            Source::Property(key) => self.value(*key)?.number,
        }
    }
}

/// A value of a key.
#[derive(Clone, Debug, Default, PartialEq)]
struct Value {
    /// As ClickHouse's `JSONExtract(…, 'Nullable(String)')` has it; empty for null.
    text: String,
    /// If it is a JSON number.
    number: Option<f64>,
}

/// The values of keys at the top level of an object; nothing of an object that is invalid for ClickHouse.
fn property_values(json: &str, keys: &[String]) -> Vec<Option<Value>> {
    let mut values = vec![None; keys.len()];
    let mut scratch = Value::default();
    let read = for_each_member(json, |key, raw| {
        scratch.text.clear();
        scratch.number = push_value(raw, false, &mut scratch.text)?;
        if let Some(at) = keys.iter().position(|known| known == key)
            && values[at].is_none()
        {
            values[at] = Some(std::mem::take(&mut scratch));
        }
        Ok(())
    });
    match read {
        Ok(()) => values,
        Err(_) => vec![None; keys.len()],
    }
}

/// Why a value is invalid for ClickHouse; reported as JSON's error, which nobody sees.
fn out_of_range() -> serde_json::Error {
    serde_json::Error::custom("the number is out of range")
}

/// Appends the text of a value, and returns its number if it is one. Within another value, strings have quotes and null has a text.
fn push_value(raw: &RawValue, is_nested: bool, out: &mut String) -> Result<Option<f64>, serde_json::Error> {
    let text = raw.get();
    match text.as_bytes().first() {
        Some(b'"') => {
            let unescaped: String = serde_json::from_str(text)?;
            match is_nested {
                true => push_quoted(&unescaped, out),
                false => out.push_str(&unescaped),
            }
        }
        Some(b'n') if !is_nested => {}
        Some(b'n' | b't' | b'f') => out.push_str(text),
        Some(b'[') => {
            let elements: Vec<&RawValue> = serde_json::from_str(text)?;
            out.push('[');
            for (index, element) in elements.into_iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                push_value(element, true, out)?;
            }
            out.push(']');
        }
        Some(b'{') => {
            let mut separator = '{';
            for_each_member(text, |key, value| {
                out.push(std::mem::replace(&mut separator, ','));
                push_quoted(key, out);
                out.push(':');
                push_value(value, true, out).map(|_| ())
            })?;
            out.push_str(if separator == '{' { "{}" } else { "}" });
        }
        _ => return push_json_number(text, out).map(Some),
    }
    Ok(None)
}

fn push_json_number(text: &str, out: &mut String) -> Result<f64, serde_json::Error> {
    if text.contains(['.', 'e', 'E']) {
        let number = text.parse().ok().filter(|number: &f64| number.is_finite()).ok_or_else(out_of_range)?;
        push_number(number, out);
        return Ok(number);
    }
    // Writing to a String cannot fail, here and below.
    if let Ok(number) = text.parse::<i64>() {
        write!(out, "{number}").ok();
        return Ok(number as f64);
    }
    let number = text.parse::<u64>().map_err(|_| out_of_range())?;
    write!(out, "{number}").ok();
    Ok(number as f64)
}

/// Calls `f` with each key and value of an object.
fn for_each_member(
    json: &str,
    f: impl FnMut(&str, &RawValue) -> Result<(), serde_json::Error>,
) -> Result<(), serde_json::Error> {
    let mut deserializer = serde_json::Deserializer::from_str(json);
    deserializer.deserialize_map(Members(f))?;
    deserializer.end()
}

struct Members<F>(F);

impl<'de, F: FnMut(&str, &RawValue) -> Result<(), serde_json::Error>> Visitor<'de> for Members<F> {
    type Value = ();

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut object: A) -> Result<(), A::Error> {
        while let Some(key) = object.next_key::<String>()? {
            let value: &RawValue = object.next_value()?;
            (self.0)(&key, value).map_err(A::Error::custom)?;
        }
        Ok(())
    }
}

/// Appends a JSON string as ClickHouse writes it.
fn push_quoted(text: &str, out: &mut String) {
    out.push('"');
    for character in text.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{2028}' => out.push_str("\\u2028"),
            '\u{2029}' => out.push_str("\\u2029"),
            control if control < ' ' => {
                write!(out, "\\u{:04X}", u32::from(control)).ok();
            }
            character => out.push(character),
        }
    }
    out.push('"');
}

/// The text of a number as ClickHouse writes it.
fn number_text(number: f64) -> String {
    let mut text = String::new();
    push_number(number, &mut text);
    text
}

/// The shortest digits that are read as the same number; with an exponent below 1e-6 and from 1e21 on.
fn push_number(number: f64, out: &mut String) {
    let magnitude = number.abs();
    match magnitude == 0.0 || (1e-6..1e21).contains(&magnitude) {
        true => write!(out, "{number}").ok(),
        false => write!(out, "{number:e}").ok(),
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The expected values are those of ClickHouse 26.7.
    #[test]
    fn texts_and_numbers_of_properties_are_those_of_clickhouse() {
        let quoted = r#""x\u0041\u0001\n\/é""#;
        for (json, text, number) in [
            ("3.0", "3", Some(3.0)),
            ("1e3", "1000", Some(1_000.0)),
            ("1.10", "1.1", Some(1.1)),
            ("1e20", "100000000000000000000", Some(1e20)),
            ("1e21", "1e21", Some(1e21)),
            ("1.5e-7", "1.5e-7", Some(1.5e-7)),
            ("0.000001", "0.000001", Some(1e-6)),
            ("-0.0", "-0", Some(0.0)),
            ("-0", "0", Some(0.0)),
            ("1e-400", "0", Some(0.0)),
            ("18446744073709551615", "18446744073709551615", Some(18_446_744_073_709_551_615.0)),
            ("9007199254740993", "9007199254740993", Some(9_007_199_254_740_992.0)),
            ("9007199254740993.0", "9007199254740992", Some(9_007_199_254_740_992.0)),
            ("true", "true", None),
            ("null", "", None),
            ("\"1\"", "1", None),
            ("\"\"", "", None),
            (quoted, "xA\u{1}\n/é", None),
            (&format!("[{quoted}, null]"), "[\"xA\\u0001\\n/é\",null]", None),
            ("[\"\\u2028\\b\u{7f}\"]", "[\"\\u2028\\b\u{7f}\"]", None),
            (r#"{"b": 1.0, "a" : null, "b":2}"#, r#"{"b":1,"a":null,"b":2}"#, None),
            ("[]", "[]", None),
            ("[ {} ]", "[{}]", None),
        ] {
            let object = format!(r#"{{"a": {json}, "a": 7, "z": 1}}"#);
            let values = property_values(&object, &["a".to_owned()]);
            assert_eq!(values, [Some(Value { text: text.to_owned(), number })], "{json}");
        }
    }

    #[test]
    fn an_object_that_clickhouse_cannot_parse_has_no_values() {
        for json in ["18446744073709551616", "-9223372036854775809", "1e400", r#""\ud800""#, "[[1e999]]"] {
            let object = format!(r#"{{"a": 1, "z": {json}}}"#);
            assert_eq!(property_values(&object, &["a".to_owned()]), [None], "{json}");
        }
    }
}

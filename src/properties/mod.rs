//! Promoted properties: keys of `properties` that have a column of their own in `events`, and possibly rows in the rollup.
//!
//! They are declared in `queries/properties.toml`, or in the file of `MILLRACE_PROPERTIES_FILE`. The writer extracts them
//! from the JSON of an event; for rows from before their declaration, ClickHouse computes the same value by the column's
//! DEFAULT expression.

mod normalise;

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer as _, IgnoredAny, MapAccess, Visitor};

pub use normalise::Normalisation;

use crate::event::MAX_EVENT_NAME_BYTES;

/// The declarations that are built in.
pub const BUILT_IN: &str = include_str!("../../queries/properties.toml");

/// Each property costs every insert a column.
const MAX_PROPERTIES: usize = 32;
const MAX_NAME_BYTES: usize = 63;

/// Dimensions that every event has without a declaration: columns of `events` that are not in `properties`.
pub const EVENT_DIMENSIONS: [&str; 2] = ["country_code", "device_type"];

/// Columns of `events` whose names cannot be declared.
const RESERVED_NAMES: [&str; 15] = [
    "project",
    "event_name",
    "timestamp",
    "session_id",
    "user_id",
    "device_type",
    "country_code",
    "properties",
    "event_id",
    "given_event_id",
    "received_at",
    "batch",
    "batch_row",
    "date",
    "value",
];

/// The type of a property and of its column.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PropertyType {
    /// `LowCardinality(String)`; empty if the event does not have it.
    Text,
    /// `Nullable(Float64)`.
    Number,
}

/// What the rollup does with a property.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Nothing.
    #[default]
    Column,
    /// A row for each value.
    Dimension,
    /// Sum and count.
    Measure,
}

/// A declared property.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PromotedProperty {
    /// The name of its column, and of the dimension.
    pub name: String,
    /// The key at the top level of `properties`; the name if none is declared.
    property: Option<String>,
    /// Text or number.
    #[serde(rename = "type")]
    pub kind: PropertyType,
    /// The events that it is copied from. Empty: every event.
    #[serde(default)]
    pub events: Vec<String>,
    /// What the rollup does with it.
    #[serde(default)]
    pub role: Role,
    /// What is done with a text before it is stored.
    #[serde(default)]
    pub normalise: Normalisation,
    min: Option<f64>,
    max: Option<f64>,
}

/// A value of a promoted property. A missing one has none.
#[derive(Clone, Debug, PartialEq)]
pub enum PropertyValue<'a> {
    /// Normalised; not empty.
    Text(Cow<'a, str>),
    /// Within the bounds.
    Number(f64),
}

/// The declared properties, in the order of their declaration.
#[derive(Clone, Debug, PartialEq)]
pub struct Properties(Vec<PromotedProperty>);

/// Why a file of declarations is invalid.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidProperties {
    /// Not TOML, or not of this form.
    #[error("{0}")]
    Syntax(String),
    /// The column cannot have this name.
    #[error(
        "{0:?} cannot be the name of a property: use a-z, 0-9 and _, beginning with a letter, at most 63 characters"
    )]
    Name(String),
    /// `events` has a column of this name.
    #[error("{0:?} is a column of every event; use another name, for example with `property = {0:?}`")]
    Reserved(String),
    /// Two properties have this name.
    #[error("{0:?} is declared twice")]
    Duplicate(String),
    /// An option that the property's type does not have.
    #[error("{name}: {option} is only for a {allowed}")]
    Option { name: String, option: &'static str, allowed: &'static str },
    /// Two measures of one event.
    #[error("{name}: {other} is already a measure of the event {event}; an event has one measure")]
    SecondMeasure { name: String, other: String, event: String },
    /// An event name that no event can have.
    #[error("{name}: {event:?} is not the name of an event: 1 to 128 bytes without control characters")]
    Event { name: String, event: String },
    /// More than [`MAX_PROPERTIES`].
    #[error("{0} properties are declared; the limit is {MAX_PROPERTIES}")]
    TooMany(usize),
}

impl PromotedProperty {
    /// The key at the top level of `properties`.
    pub fn key(&self) -> &str {
        self.property.as_deref().unwrap_or(&self.name)
    }

    /// Whether it is copied from events of this name.
    pub fn applies_to(&self, event_name: &str) -> bool {
        self.events.is_empty() || self.events.iter().any(|event| event == event_name)
    }

    /// The stored value of a JSON string. `None` if it is empty, or the property is a number.
    pub fn text<'a>(&self, text: &'a str) -> Option<PropertyValue<'a>> {
        let value = (self.kind == PropertyType::Text).then(|| self.normalise.apply(text))?;
        (!value.is_empty()).then_some(PropertyValue::Text(value))
    }

    /// The stored value of a JSON number. `None` if it is out of bounds, or the property is a text.
    pub fn number(&self, number: f64) -> Option<PropertyValue<'static>> {
        let is_valid = self.kind == PropertyType::Number
            && self.min.is_none_or(|min| number >= min)
            && self.max.is_none_or(|max| number <= max);
        is_valid.then_some(PropertyValue::Number(number))
    }

    /// The type of its column.
    pub fn column_type(&self) -> &'static str {
        match self.kind {
            PropertyType::Text => "LowCardinality(String)",
            PropertyType::Number => "Nullable(Float64)",
        }
    }

    /// The DEFAULT expression of its column: what the writer stores, computed from `properties` and `event_name`.
    pub fn default_expression(&self) -> String {
        let key = sql_string(self.key());
        let json_type = format!("JSONType(properties, {key})");
        let (is_present, value, missing) = match self.kind {
            PropertyType::Text => (
                format!("{json_type} = 'String'"),
                self.normalise.sql(&format!("JSONExtractString(properties, {key})")),
                "''",
            ),
            PropertyType::Number => {
                let number = format!("JSONExtractFloat(properties, {key})");
                let bounds = [(">=", self.min), ("<=", self.max)];
                let bounds = bounds.iter().filter_map(|(operator, bound)| Some((operator, (*bound)?)));
                let bounds: String =
                    bounds.map(|(operator, bound)| format!(" AND {number} {operator} {bound:?}")).collect();
                (format!("{json_type} IN ('Int64', 'UInt64', 'Double'){bounds}"), number, "NULL")
            }
        };
        let events: Vec<String> = self.events.iter().map(|event| sql_string(event)).collect();
        let is_event = match events.is_empty() {
            true => String::new(),
            false => format!("event_name IN ({}) AND ", events.join(", ")),
        };
        format!("if({is_event}{is_present}, {value}, {missing})")
    }

    fn validate(&self) -> Result<(), InvalidProperties> {
        let name = || self.name.clone();
        let is_name = self.name.starts_with(|first: char| first.is_ascii_lowercase())
            && self.name.len() <= MAX_NAME_BYTES
            && self.name.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_'));
        if !is_name {
            return Err(InvalidProperties::Name(name()));
        }
        if RESERVED_NAMES.contains(&self.name.as_str()) {
            return Err(InvalidProperties::Reserved(name()));
        }
        let is_number = self.kind == PropertyType::Number;
        let has_bounds = self.min.is_some() || self.max.is_some();
        for (misplaced, option, allowed) in [
            (self.role == Role::Measure && !is_number, "role = \"measure\"", "number"),
            (self.role == Role::Dimension && is_number, "role = \"dimension\"", "text"),
            (self.normalise != Normalisation::None && is_number, "normalise", "text"),
            (has_bounds && !is_number, "min or max", "number"),
        ] {
            if misplaced {
                return Err(InvalidProperties::Option { name: name(), option, allowed });
            }
        }
        let is_event = |event: &&String| {
            (1..=MAX_EVENT_NAME_BYTES).contains(&event.len()) && !event.chars().any(char::is_control)
        };
        match self.events.iter().find(|event| !is_event(event)) {
            Some(event) => Err(InvalidProperties::Event { name: name(), event: event.clone() }),
            None => Ok(()),
        }
    }
}

impl Properties {
    /// Parses a file of declarations.
    pub fn parse(text: &str) -> Result<Self, InvalidProperties> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct File {
            #[serde(default)]
            property: Vec<PromotedProperty>,
        }
        let File { property: properties } = toml::from_str(text)
            .map_err(|error| InvalidProperties::Syntax(error.to_string().trim_end().to_owned()))?;
        if properties.len() > MAX_PROPERTIES {
            return Err(InvalidProperties::TooMany(properties.len()));
        }
        for (index, property) in properties.iter().enumerate() {
            property.validate()?;
            let earlier = &properties[..index];
            if earlier.iter().any(|earlier| earlier.name == property.name) {
                return Err(InvalidProperties::Duplicate(property.name.clone()));
            }
            if property.role == Role::Measure
                && let Some((other, event)) =
                    earlier.iter().find_map(|other| Some((other, shared_event(other, property)?)))
            {
                return Err(InvalidProperties::SecondMeasure {
                    name: property.name.clone(),
                    other: other.name.clone(),
                    event,
                });
            }
        }
        Ok(Self(properties))
    }

    /// The built-in declarations.
    pub fn built_in() -> Self {
        Self::parse(BUILT_IN).expect("a test parses the built-in declarations")
    }

    /// All properties, in the order of their declaration.
    pub fn iter(&self) -> std::slice::Iter<'_, PromotedProperty> {
        self.0.iter()
    }

    /// The measure of an event.
    pub fn measure_of(&self, event_name: &str) -> Option<&PromotedProperty> {
        self.iter().find(|property| property.role == Role::Measure && property.applies_to(event_name))
    }

    /// The names of all dimensions, first those of every event without a declaration.
    pub fn dimensions(&self) -> impl Iterator<Item = &str> {
        let declared = self.iter().filter(|property| property.role == Role::Dimension);
        EVENT_DIMENSIONS.into_iter().chain(declared.map(|property| property.name.as_str()))
    }

    /// Calls `found` for each property that an event has, with the property's index and the stored value. `json` is the
    /// event's `properties`, a valid JSON object. Of a repeated key the first value counts, as in ClickHouse.
    pub fn extract<'j>(&self, event_name: &str, json: &'j str, found: impl FnMut(usize, PropertyValue<'j>)) {
        // The event was validated: an error cannot occur. If it does, what was found before it counts.
        self.parse_and_extract(event_name, json, found).ok();
    }

    /// Like [`Self::extract`], for a JSON object that was not validated yet. After an error, what was found does not count.
    ///
    /// # Errors
    /// When the text is not a JSON object, and for a promoted number or string that cannot be represented.
    pub fn parse_and_extract<'j>(
        &self,
        event_name: &str,
        json: &'j str,
        found: impl FnMut(usize, PropertyValue<'j>),
    ) -> Result<(), serde_json::Error> {
        if json == "{}" {
            return Ok(());
        }
        let mut wanted = 0_u32;
        for (index, property) in self.0.iter().enumerate() {
            wanted |= u32::from(property.applies_to(event_name)) << index;
        }
        let mut deserializer = serde_json::Deserializer::from_str(json);
        match wanted {
            0 => IgnoredAny::deserialize(&mut deserializer).map(|_| ())?,
            _ => deserializer.deserialize_map(Extraction { properties: &self.0, wanted, found })?,
        }
        deserializer.end()
    }
}

/// An event of which both are a measure.
fn shared_event(one: &PromotedProperty, other: &PromotedProperty) -> Option<String> {
    if one.role != Role::Measure || other.role != Role::Measure {
        return None;
    }
    match (one.events.is_empty(), other.events.is_empty()) {
        (true, true) => Some("(every event)".to_owned()),
        (true, false) => other.events.first().cloned(),
        (false, _) => one.events.iter().find(|event| other.applies_to(event)).cloned(),
    }
}

/// A string literal of ClickHouse's SQL.
fn sql_string(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'"))
}

struct Extraction<'p, F> {
    properties: &'p [PromotedProperty],
    /// A bit for each property that has not been found yet.
    wanted: u32,
    found: F,
}

impl<'de, F: FnMut(usize, PropertyValue<'de>)> Visitor<'de> for Extraction<'_, F> {
    type Value = ();

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<(), A::Error> {
        while let Some(Text(key)) = map.next_key::<Text<'_>>()? {
            let matching = self
                .properties
                .iter()
                .enumerate()
                .filter(|(index, property)| self.wanted >> index & 1 == 1 && property.key() == key);
            let matching = matching.fold(0_u32, |bits, (index, _)| bits | 1 << index);
            if matching == 0 {
                map.next_value::<IgnoredAny>()?;
                continue;
            }
            self.wanted &= !matching;
            let scalar = map.next_value::<Scalar<'_>>()?;
            for (index, property) in
                self.properties.iter().enumerate().filter(|(index, _)| matching >> index & 1 == 1)
            {
                let value = match &scalar {
                    Scalar::Text(Cow::Borrowed(text)) => property.text(text),
                    Scalar::Text(Cow::Owned(text)) => property.text(text).map(PropertyValue::into_owned),
                    Scalar::Number(number) => property.number(*number),
                    Scalar::Other => None,
                };
                if let Some(value) = value {
                    (self.found)(index, value);
                }
            }
        }
        Ok(())
    }
}

impl PropertyValue<'_> {
    fn into_owned<'a>(self) -> PropertyValue<'a> {
        match self {
            Self::Text(text) => PropertyValue::Text(Cow::Owned(text.into_owned())),
            Self::Number(number) => PropertyValue::Number(number),
        }
    }
}

/// A string that is borrowed if it has no escapes.
#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

/// A JSON value, as far as properties distinguish them.
enum Scalar<'a> {
    Text(Cow<'a, str>),
    Number(f64),
    Other,
}

impl<'de> Deserialize<'de> for Scalar<'de> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ScalarVisitor;
        impl<'de> Visitor<'de> for ScalarVisitor {
            type Value = Scalar<'de>;
            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str("a JSON value")
            }
            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Scalar<'de>, E> {
                Ok(Scalar::Text(Cow::Borrowed(text)))
            }
            fn visit_str<E>(self, text: &str) -> Result<Scalar<'de>, E> {
                Ok(Scalar::Text(Cow::Owned(text.to_owned())))
            }
            fn visit_i64<E>(self, number: i64) -> Result<Scalar<'de>, E> {
                Ok(Scalar::Number(number as f64))
            }
            fn visit_u64<E>(self, number: u64) -> Result<Scalar<'de>, E> {
                Ok(Scalar::Number(number as f64))
            }
            fn visit_f64<E>(self, number: f64) -> Result<Scalar<'de>, E> {
                Ok(Scalar::Number(number))
            }
            fn visit_bool<E>(self, _: bool) -> Result<Scalar<'de>, E> {
                Ok(Scalar::Other)
            }
            fn visit_unit<E>(self) -> Result<Scalar<'de>, E> {
                Ok(Scalar::Other)
            }
            fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut seq: A) -> Result<Scalar<'de>, A::Error> {
                while seq.next_element::<IgnoredAny>()?.is_some() {}
                Ok(Scalar::Other)
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Scalar<'de>, A::Error> {
                while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                Ok(Scalar::Other)
            }
        }
        deserializer.deserialize_any(ScalarVisitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn extracted(event_name: &str, json: &str) -> Vec<(String, PropertyValue<'static>)> {
        let properties = Properties::built_in();
        let mut found = Vec::new();
        properties.extract(event_name, json, |index, value| {
            found.push((properties.0[index].name.clone(), value.into_owned()));
        });
        found
    }

    fn text(text: &'static str) -> PropertyValue<'static> {
        PropertyValue::Text(Cow::Borrowed(text))
    }

    #[test]
    fn the_built_in_properties_are_valid() {
        let properties = Properties::parse(BUILT_IN).unwrap();
        let dimensions: Vec<&str> = properties.dimensions().collect();
        let declared = ["page_url", "referrer_domain", "browser", "os", "utm_source", "feature"];
        assert_eq!(dimensions, [&EVENT_DIMENSIONS[..], &declared[..]].concat());
        assert_eq!(properties.measure_of("page_view").unwrap().name, "duration_ms");
        assert_eq!(properties.measure_of("click"), None);
    }

    #[test]
    fn properties_of_the_event_are_extracted() {
        let json = r#"{"page_url":"/a/12?b","referrer":"https://www.x.org/","n":{"os":"no"},"os":"iOS","duration_ms":7.5,"os":"second","feature":"f","utm_source":"NewsLetter","browser":""}"#;
        assert_eq!(
            extracted("page_view", json),
            [
                ("page_url".to_owned(), text("/a/:id")),
                ("referrer_domain".to_owned(), text("x.org")),
                ("os".to_owned(), text("iOS")),
                ("duration_ms".to_owned(), PropertyValue::Number(7.5)),
                ("utm_source".to_owned(), text("newsletter")),
            ]
        );
        assert_eq!(
            extracted("feature_used", r#"{"feature":"a\u0062","page_url":"/"}"#),
            [("feature".to_owned(), text("ab"))]
        );
    }

    #[test]
    fn values_of_other_types_and_out_of_bounds_are_missing() {
        for json in [
            r#"{"os":1}"#,
            r#"{"os":null,"browser":["a"]}"#,
            r#"{"duration_ms":"12"}"#,
            r#"{"duration_ms":-1}"#,
            r#"{"duration_ms":1.1e9}"#,
            "{}",
        ] {
            assert_eq!(extracted("page_view", json), [], "{json}");
        }
    }

    #[test]
    fn invalid_declarations_are_explained() {
        let property = |rest: &str| format!("[[property]]\nname = \"a\"\ntype = \"text\"\n{rest}");
        for (text, error) in [
            (property("").replace("\"a\"", "\"A\""), "cannot be the name of a property"),
            (property("").replace("\"a\"", "\"batch\""), "is a column of every event"),
            (property("").repeat(2), "is declared twice"),
            (property("role = \"measure\""), "role = \"measure\" is only for a number"),
            (property("min = 1"), "min or max is only for a number"),
            (property("events = [\"\"]"), "is not the name of an event"),
            (property("colour = 1"), "unknown field `colour`"),
            (property("type = 1"), "duplicate key"),
        ] {
            let found = Properties::parse(&text).unwrap_err().to_string();
            assert!(found.contains(error), "{found}");
        }
        let measure = |name: &str, events: &str| {
            format!(
                "[[property]]\nname = \"{name}\"\ntype = \"number\"\nrole = \"measure\"\nevents = [{events}]\n"
            )
        };
        let clash = Properties::parse(&(measure("a", "\"x\", \"y\"") + &measure("b", "\"y\""))).unwrap_err();
        assert!(clash.to_string().contains("a is already a measure of the event y"), "{clash}");
        assert!(Properties::parse(&(measure("a", "\"x\"") + &measure("b", "\"y\""))).is_ok());
    }
}

//! The fields of an event: its own, its declared properties, and the keys of its properties.

use crate::properties::{Properties, PropertyType};

/// A field of an event.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Field {
    /// A field of the event itself.
    Own(OwnField),
    /// A declared property: a column of `events`.
    Promoted { name: String, is_number: bool },
    /// A key at the top level of the properties.
    Property(String),
}

/// A field of the event itself. All are texts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum OwnField {
    EventName,
    SessionId,
    UserId,
    DeviceType,
    CountryCode,
}

impl OwnField {
    /// All of them with their names.
    pub(crate) const ALL: [(&'static str, Self); 5] = [
        ("event_name", Self::EventName),
        ("session_id", Self::SessionId),
        ("user_id", Self::UserId),
        ("device_type", Self::DeviceType),
        ("country_code", Self::CountryCode),
    ];

    /// Its name, which is that of its column.
    pub(crate) fn name(self) -> &'static str {
        Self::ALL.into_iter().find(|(_, field)| *field == self).map_or("", |(name, _)| name)
    }
}

/// The prefix of the keys of the properties.
const PROPERTIES: &str = "properties.";
const MAX_KEY_BYTES: usize = 256;

/// A name that is not one of a field.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum InvalidField {
    /// It has no name.
    #[error("the field is missing; expected for example country_code, page_url or properties.plan")]
    Missing,
    /// Its name is too long.
    #[error("the field {0:?} has more than {MAX_KEY_BYTES} bytes")]
    TooLong(String),
}

impl Field {
    /// The field with this name.
    pub(crate) fn parse(name: &str, properties: &Properties) -> Result<Self, InvalidField> {
        if let Some((_, own)) = OwnField::ALL.into_iter().find(|(own, _)| *own == name) {
            return Ok(Self::Own(own));
        }
        if let Some(promoted) = properties.iter().find(|promoted| promoted.name == name) {
            let is_number = promoted.kind == PropertyType::Number;
            return Ok(Self::Promoted { name: name.to_owned(), is_number });
        }
        let key = name.strip_prefix(PROPERTIES).unwrap_or(name);
        if key.is_empty() {
            return Err(InvalidField::Missing);
        }
        if key.len() > MAX_KEY_BYTES {
            return Err(InvalidField::TooLong(crate::panels::abbreviate(key)));
        }
        Ok(Self::Property(key.to_owned()))
    }
}

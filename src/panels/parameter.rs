//! Parameters of a panel: their definition in the file's header, and the validation of values.

use super::abbreviate;

/// The longest value of a parameter. Page URLs, the longest strings of the rollups, have up to 500 characters.
const MAX_VALUE_BYTES: usize = 1_024;

/// A parameter of a panel, besides range and time zone.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Parameter {
    /// ASCII letters, digits and `_`; used as `{name:Type}`.
    pub name: String,
    /// Its ClickHouse type.
    pub kind: ParameterType,
    /// The value if a query sets none, in canonical form.
    pub default: String,
    /// The smallest and the largest value, both allowed. Strings ignore it.
    pub bounds: Option<(f64, f64)>,
    /// Shown by `ListPanels`.
    pub description: String,
}

/// The types that a parameter may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ParameterType {
    UInt16,
    UInt32,
    Int64,
    Float64,
    String,
}

/// Why a value is rejected.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidValue {
    /// It is longer than 1,024 bytes.
    #[error("{name}: the value has {bytes} bytes; the maximum is {MAX_VALUE_BYTES}")]
    TooLong {
        /// The parameter.
        name: String,
        /// The size of the value.
        bytes: usize,
    },
    /// It does not have the parameter's type, or is out of bounds.
    #[error("{name}: {value:?} is invalid; expected {expected}")]
    Unexpected {
        /// The parameter.
        name: String,
        /// The value, abbreviated.
        value: String,
        /// Type and bounds, in words.
        expected: String,
    },
}

/// Why a parameter's definition is invalid.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum InvalidDefinition {
    /// A part of it is missing or misplaced.
    #[error("parameter: {0:?} does not have the form \"name Type = default from 1 to 9: description\"")]
    Malformed(String),
    /// Its type is not supported.
    #[error("parameter: the type {found:?} is invalid; expected one of {supported}")]
    UnknownType {
        /// The type in the file.
        found: String,
        /// The supported ones.
        supported: String,
    },
    /// The default is not a value of the parameter.
    #[error("parameter: default of {0}")]
    InvalidDefault(#[from] InvalidValue),
}

impl ParameterType {
    const ALL: [Self; 5] = [Self::UInt16, Self::UInt32, Self::Int64, Self::Float64, Self::String];

    /// The name in ClickHouse.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::UInt16 => "UInt16",
            Self::UInt32 => "UInt32",
            Self::Int64 => "Int64",
            Self::Float64 => "Float64",
            Self::String => "String",
        }
    }
}

impl Parameter {
    /// Parses `name Type = default from MIN to MAX: description`. Bounds and description are optional.
    pub(super) fn parse(text: &str) -> Result<Self, InvalidDefinition> {
        let malformed = || InvalidDefinition::Malformed(abbreviate(text));
        let (definition, description) = text.split_once(':').unwrap_or((text, ""));
        let (head, rest) = definition.split_once('=').ok_or_else(malformed)?;
        let (name, type_name) = head.trim().split_once(' ').ok_or_else(malformed)?;
        let type_name = type_name.trim();
        let kind = ParameterType::ALL.into_iter().find(|kind| kind.name() == type_name).ok_or_else(|| {
            InvalidDefinition::UnknownType {
                found: abbreviate(type_name),
                supported: ParameterType::ALL.map(ParameterType::name).join(", "),
            }
        })?;
        let (default, bounds) = match rest.split_once(" from ") {
            None => (rest.trim(), None),
            Some((default, bounds)) => {
                let (min, max) = bounds.split_once(" to ").ok_or_else(malformed)?;
                let number = |text: &str| text.trim().parse::<f64>().map_err(|_| malformed());
                (default.trim(), Some((number(min)?, number(max)?)))
            }
        };
        if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
            return Err(malformed());
        }
        let mut parameter = Self {
            name: name.to_owned(),
            kind,
            default: String::new(),
            bounds,
            description: description.trim().to_owned(),
        };
        parameter.default = parameter.canonicalize(default)?;
        Ok(parameter)
    }

    /// Validates a value and returns its canonical form: `+5` and `0005` become `5`. Equal queries are then equal keys of
    /// the cache and of subscriptions.
    pub(crate) fn canonicalize(&self, value: &str) -> Result<String, InvalidValue> {
        if value.len() > MAX_VALUE_BYTES {
            return Err(InvalidValue::TooLong { name: self.name.clone(), bytes: value.len() });
        }
        let number = match self.kind {
            ParameterType::String => return Ok(value.to_owned()),
            ParameterType::UInt16 => parse_integer::<u16>(value),
            ParameterType::UInt32 => parse_integer::<u32>(value),
            ParameterType::Int64 => {
                value.parse::<i64>().ok().map(|number| (number as f64, number.to_string()))
            }
            ParameterType::Float64 => {
                let number = value.parse::<f64>().ok().filter(|number| number.is_finite());
                // Adding 0.0 turns -0.0 into 0.0.
                number.map(|number| (number + 0.0, format_float(number + 0.0)))
            }
        };
        match (number, self.bounds) {
            (Some((_, text)), None) => Ok(text),
            (Some((number, text)), Some((min, max))) if (min..=max).contains(&number) => Ok(text),
            _ => Err(self.unexpected(value)),
        }
    }

    /// Validates a value of a UInt16 or UInt32 parameter.
    pub(super) fn parse_u32(&self, value: &str) -> Result<u32, InvalidValue> {
        self.canonicalize(value)?.parse().map_err(|_| self.unexpected(value))
    }

    fn unexpected(&self, value: &str) -> InvalidValue {
        let (name, value) = (self.name.clone(), abbreviate(value));
        InvalidValue::Unexpected { name, value, expected: self.expected_value() }
    }

    fn expected_value(&self) -> String {
        let kind = if self.kind == ParameterType::Float64 { "a number" } else { "an integer" };
        match self.bounds {
            Some((min, max)) => format!("{kind} from {min} to {max}"),
            None => format!("{kind} ({})", self.kind.name()),
        }
    }
}

fn parse_integer<T: std::str::FromStr + ToString + Copy + Into<f64>>(value: &str) -> Option<(f64, String)> {
    value.parse::<T>().ok().map(|number| (number.into(), number.to_string()))
}

/// The canonical text of a number: with an exponent only if it would be long otherwise.
fn format_float(number: f64) -> String {
    const MAX_PLAIN_BYTES: usize = 20;
    let plain = number.to_string();
    if plain.len() > MAX_PLAIN_BYTES { format!("{number:e}") } else { plain }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_definition_has_type_default_bounds_and_description() {
        let parameter = Parameter::parse("limit UInt16 = 10 from 1 to 100: how many: at most").unwrap();
        assert_eq!(
            (parameter.name.as_str(), parameter.kind, parameter.default.as_str()),
            ("limit", ParameterType::UInt16, "10")
        );
        assert_eq!(
            (parameter.bounds, parameter.description.as_str()),
            (Some((1.0, 100.0)), "how many: at most")
        );
        assert_eq!(parameter.canonicalize("100").as_deref(), Ok("100"));
        assert_eq!(
            parameter.canonicalize("0").unwrap_err().to_string(),
            "limit: \"0\" is invalid; expected an integer from 1 to 100"
        );
        assert!(parameter.canonicalize("1.5").is_err() && parameter.canonicalize("x").is_err());
    }

    #[test]
    fn equal_values_have_one_canonical_form() {
        let canonical = |kind: &str, value: &str| {
            let default = if kind == "String" { "x" } else { "1" };
            Parameter::parse(&format!("p {kind} = {default}")).unwrap().canonicalize(value)
        };
        for (kind, values, form) in [
            ("UInt16", &["5", "+5", "0005"][..], "5"),
            ("UInt32", &["0", "+0", "00"], "0"),
            ("Int64", &["-5", "-0005"], "-5"),
            ("Float64", &["0.5", ".5", "5e-1", "+0.50", "0.5e0"], "0.5"),
            ("Float64", &["1000", "1e3", "1E+3", "1000.0"], "1000"),
            ("Float64", &["1e300", "10e299"], "1e300"),
            ("Float64", &["0", "-0", "-0.0", "0e9"], "0"),
            ("String", &["+5"], "+5"),
        ] {
            for value in values {
                assert_eq!(canonical(kind, value).as_deref(), Ok(form), "{kind} {value}");
            }
        }
        for (kind, value) in
            [("UInt16", "65536"), ("Int64", "5.0"), ("Float64", "inf"), ("Float64", "NaN"), ("UInt16", "")]
        {
            assert!(canonical(kind, value).is_err(), "{kind} {value}");
        }
        let long = "0".repeat(2_000) + "5";
        assert_eq!(
            canonical("UInt16", &long).unwrap_err().to_string(),
            "p: the value has 2001 bytes; the maximum is 1024"
        );
        assert!(canonical("String", &long).is_err() && canonical("String", &long[..1_024]).is_ok());
        assert!(canonical("UInt16", &long[..1_000]).is_ok());
        assert!(canonical("UInt16", &"x".repeat(1_000)).unwrap_err().to_string().len() < 300);
    }

    #[test]
    fn an_invalid_default_is_reported() {
        let error = Parameter::parse("a UInt16 = 0 from 1 to 2").unwrap_err();
        assert_eq!(
            error.to_string(),
            "parameter: default of a: \"0\" is invalid; expected an integer from 1 to 2"
        );
    }
}

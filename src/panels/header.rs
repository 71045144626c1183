//! The header of a panel's file: comments of the form `-- key: value`.

use std::time::Duration;

use super::abbreviate;
use super::parameter::{InvalidDefinition, Parameter, ParameterType};
use super::range::Granularity;
use super::spec::{self, Chart, SpanStart, Spec};

/// The longest `refresh`, in seconds.
const MAX_REFRESH_SECONDS: u64 = 3_600;
/// The longest `span`: a year.
const MAX_SPAN_MINUTES: u32 = 525_600;

/// The parameters that every panel has. A panel's own parameters must have other names.
const STANDARD_PARAMETERS: [&str; 15] = [
    // `Buckets`.
    "range_start",
    "range_end",
    "buckets",
    "time_zone",
    // `SeriesLevel`.
    "step",
    "steps_end",
    // `RangePartition`.
    "quarters_from",
    "hours_from",
    "six_hours_from",
    "six_hours_to",
    "hours_to",
    "quarters_to",
    // `HourComparison`.
    "hour_start",
    "week_ago_start",
    "week_ago_now",
];

const KEYS: &str = "title, description, unit, chart, order, size, top, events, refresh, grain, distinct, column, figure, \
                    threshold, span, parameter";

/// Why a line of the header is invalid.
#[derive(Debug, thiserror::Error)]
pub(super) enum InvalidHeader {
    #[error("{key}: {value:?} is invalid; expected {expected}")]
    Value { key: &'static str, value: String, expected: String },
    #[error("parameter: the name {0:?} is taken; choose another name")]
    DuplicateParameter(String),
    #[error("column: {0:?} has two lines; remove one")]
    DuplicateColumn(String),
    #[error("{key}: {{{name}}} is not a parameter of the panel; it has {available}")]
    UnknownParameter { key: String, name: String, available: String },
    #[error(transparent)]
    Parameter(#[from] InvalidDefinition),
    #[error("the header key {0:?} is unknown; expected one of {KEYS}")]
    UnknownKey(String),
}

/// The header's lines that have been parsed.
#[derive(Default)]
pub(super) struct Header {
    pub(super) title: String,
    pub(super) description: String,
    pub(super) unit: String,
    pub(super) chart: Option<Chart>,
    pub(super) refresh: Option<Duration>,
    pub(super) granularity: Granularity,
    pub(super) distinct: Vec<String>,
    pub(super) spec: Spec,
    pub(super) parameters: Vec<Parameter>,
}

impl Header {
    /// Parses the header of a file. Returns it with the number of its lines; an error has the number of its line.
    pub(super) fn parse(text: &str) -> Result<(Self, usize), (usize, InvalidHeader)> {
        let comments = || {
            (1..)
                .zip(text.lines())
                .map_while(|(number, line)| Some((number, line.trim().strip_prefix("--")?)))
        };
        let lines = || {
            let split = |(number, comment): (usize, &'_ str)| {
                let (key, value) = comment.split_once(':')?;
                Some((number, key.trim().to_owned(), value.trim().to_owned()))
            };
            comments().filter_map(split)
        };
        let mut header = Self::default();
        for (number, key, value) in lines() {
            header.set(&key, &value).map_err(|error| (number, error))?;
        }
        // A label may be above the parameter that it names.
        for (number, key, value) in lines() {
            header.check_parameters(&key, &value).map_err(|error| (number, error))?;
        }
        Ok((header, comments().count()))
    }

    fn set(&mut self, key: &str, value: &str) -> Result<(), InvalidHeader> {
        let invalid =
            |key| move |expected: String| InvalidHeader::Value { key, value: value.to_owned(), expected };
        match key {
            "title" => self.title = value.to_owned(),
            "description" => self.description = value.to_owned(),
            "unit" => self.unit = value.to_owned(),
            "chart" => {
                let chart = Chart::parse(value);
                let expected = || format!("one of {}", Chart::EXPECTED);
                self.chart = Some(chart.ok_or_else(expected).map_err(invalid("chart"))?);
            }
            "order" => self.spec.order = Some(spec::parse_order(value).map_err(invalid("order"))?),
            "size" => self.spec.size = Some(spec::parse_size(value).map_err(invalid("size"))?),
            "top" => self.spec.top = Some(spec::parse_top(value).map_err(invalid("top"))?),
            "events" => self.spec.events = spec::parse_events(value).map_err(invalid("events"))?,
            "column" => {
                let column = spec::parse_column(value).map_err(invalid("column"))?;
                if self.spec.columns.iter().any(|existing| existing.name == column.name) {
                    return Err(InvalidHeader::DuplicateColumn(column.name));
                }
                self.spec.columns.push(column);
            }
            "figure" => self.spec.figures.push(spec::parse_figure(value).map_err(invalid("figure"))?),
            "threshold" => {
                self.spec.threshold = Some(spec::parse_threshold(value).map_err(invalid("threshold"))?);
            }
            "span" => self.spec.span = Some(spec::parse_span(value).map_err(invalid("span"))?),
            "refresh" => {
                let seconds = value.strip_suffix('s').and_then(|number| number.parse::<u64>().ok());
                let seconds = seconds.filter(|seconds| (1..=MAX_REFRESH_SECONDS).contains(seconds));
                let expected = || format!("1s to {MAX_REFRESH_SECONDS}s");
                let seconds = seconds.ok_or_else(expected).map_err(invalid("refresh"))?;
                self.refresh = Some(Duration::from_secs(seconds));
            }
            "grain" => {
                self.granularity = match value {
                    "fine" => Granularity::Fine,
                    "coarse" => Granularity::Coarse,
                    _ => return Err(invalid("grain")("fine or coarse".to_owned())),
                };
            }
            "distinct" => self.distinct = value.split(',').map(|column| column.trim().to_owned()).collect(),
            "parameter" => {
                let parameter = Parameter::parse(value)?;
                let name = parameter.name.as_str();
                if STANDARD_PARAMETERS.contains(&name)
                    || self.parameters.iter().any(|existing| existing.name == name)
                {
                    return Err(InvalidHeader::DuplicateParameter(parameter.name));
                }
                self.parameters.push(parameter);
            }
            // Prose may contain a colon.
            prose if prose.contains(' ') => {}
            unknown => return Err(InvalidHeader::UnknownKey(unknown.to_owned())),
        }
        Ok(())
    }

    /// Checks that the parameters in a line's labels and its span exist.
    fn check_parameters(&self, key: &str, value: &str) -> Result<(), InvalidHeader> {
        if !matches!(key, "column" | "figure" | "span") {
            return Ok(());
        }
        let in_labels = value.split('{').skip(1).filter_map(|rest| Some(rest.split_once('}')?.0));
        let minutes = match &self.spec.span {
            Some(spec::SpanSpec { start: SpanStart::Minutes(name), .. }) if key == "span" => {
                Some(name.as_str())
            }
            _ => None,
        };
        for name in in_labels.chain(minutes) {
            if !self.parameters.iter().any(|parameter| parameter.name == name) {
                let names: Vec<&str> =
                    self.parameters.iter().map(|parameter| parameter.name.as_str()).collect();
                return Err(InvalidHeader::UnknownParameter {
                    key: key.to_owned(),
                    name: name.to_owned(),
                    available: if names.is_empty() { "none".to_owned() } else { names.join(", ") },
                });
            }
        }
        let minutes =
            minutes.and_then(|name| self.parameters.iter().find(|parameter| parameter.name == name));
        if minutes.is_some_and(|parameter| !is_span(parameter)) {
            let expected =
                format!("a parameter UInt16 or UInt32 with bounds from 1 to {MAX_SPAN_MINUTES} minutes");
            return Err(InvalidHeader::Value { key: "span", value: abbreviate(value), expected });
        }
        Ok(())
    }
}

/// Whether all values of a parameter can be the minutes of a span.
fn is_span(Parameter { kind, bounds, .. }: &Parameter) -> bool {
    let possible = 1.0..=f64::from(MAX_SPAN_MINUTES);
    matches!(kind, ParameterType::UInt16 | ParameterType::UInt32)
        && bounds.is_some_and(|(min, max)| possible.contains(&min) && possible.contains(&max))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(header: &str) -> String {
        Header::parse(header).err().map(|(line, error)| format!("{line}: {error}")).unwrap_or_default()
    }

    #[test]
    fn a_span_is_a_bounded_number_of_minutes() {
        let span = |definition: &str| error(&format!("-- parameter: m {definition}\n-- span: m \"x\""));
        assert_eq!(span("UInt16 = 5 from 1 to 60"), "");
        assert_eq!(span("UInt32 = 5 from 1 to 525600: minutes"), "");
        let expected = "2: span: \"m \\\"x\\\"\" is invalid; expected a parameter UInt16 or UInt32 with bounds from 1 to 525600 \
                        minutes";
        for wrong in [
            "UInt32 = 60",
            "UInt32 = 5 from 0 to 60",
            "UInt32 = 5 from 1 to 525601",
            "UInt32 = 5 from 1 to inf",
            "Int64 = 5 from 1 to 60",
            "Float64 = 5 from 1 to 60",
            "String = 5",
        ] {
            assert_eq!(span(wrong), expected, "{wrong}");
        }
    }
}

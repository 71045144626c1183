//! The header of a panel's file: comments of the form `-- key: value`.

use std::iter;
use std::time::Duration;

use super::abbreviate;
use super::buckets::Granularity;
use super::parameter::{InvalidDefinition, Parameter, ParameterType};
use super::spec::{
    self, Aggregate, Chart, FigureSpec, MAX_COLUMNS, MAX_EVENTS, MAX_FIGURES, MAX_LABEL_CHARS,
    MAX_UNIT_CHARS, SpanStart, Spec,
};

/// The longest `refresh`, in seconds.
const MAX_REFRESH_SECONDS: u64 = 3_600;
/// The longest `span`: a year.
const MAX_SPAN_MINUTES: u32 = 525_600;

/// The parameters that every panel has. A panel's own parameters must have other names.
const STANDARD_PARAMETERS: [&str; 10] = [
    "project",
    "range_start",
    "range_end",
    "buckets",
    "running_bucket",
    "time_zone",
    "minute_start",
    // `HourComparison`.
    "hour_start",
    "week_ago_start",
    "week_ago_now",
];

/// The parameters of filters begin with it.
const FILTER_PREFIX: &str = "filter_";

const KEYS: &str = "title, description, unit, chart, order, size, top, events, refresh, grain, distinct, not-additive, \
                    column, figure, threshold, span, parameter";

/// Why a line of the header is invalid.
#[derive(Debug, thiserror::Error)]
pub(super) enum InvalidHeader {
    #[error("{key}: {value:?} is invalid; expected {expected}")]
    Value { key: &'static str, value: String, expected: String },
    #[error("{key}: {count} lines or names are too many; the maximum is {max}")]
    TooMany { key: &'static str, count: usize, max: usize },
    #[error("{key}: {text:?} has {chars} characters; the maximum is {max}")]
    TooLong { key: &'static str, text: String, chars: usize, max: usize },
    #[error("parameter: the name {0:?} is taken; choose another name")]
    DuplicateParameter(String),
    #[error("column: {0:?} has two lines; remove one")]
    DuplicateColumn(String),
    #[error("figure: sum({column}) adds up a column that is {key}; use first, last or max")]
    NotAdditive { column: String, key: &'static str },
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
        // A label may be above the parameter that it names, and a figure above the properties of its column.
        for (number, key, value) in lines() {
            header.check_parameters(&key, &value).map_err(|error| (number, error))?;
            header.check_sums(&key, &value).map_err(|error| (number, error))?;
        }
        Ok((header, comments().count()))
    }

    fn set(&mut self, key: &str, value: &str) -> Result<(), InvalidHeader> {
        let invalid =
            |key| move |expected: String| InvalidHeader::Value { key, value: abbreviate(value), expected };
        match key {
            "title" => self.title = label("title", value)?.to_owned(),
            "description" => self.description = value.to_owned(),
            "unit" => self.unit = unit("unit", value)?.to_owned(),
            "chart" => {
                let chart = Chart::parse(value);
                let expected = || format!("one of {}", Chart::EXPECTED);
                self.chart = Some(chart.ok_or_else(expected).map_err(invalid("chart"))?);
            }
            "order" => self.spec.order = Some(spec::parse_order(value).map_err(invalid("order"))?),
            "size" => self.spec.size = Some(spec::parse_size(value).map_err(invalid("size"))?),
            "top" => self.spec.top = Some(spec::parse_top(value).map_err(invalid("top"))?),
            "events" => {
                let events = spec::parse_events(value).map_err(invalid("events"))?;
                check_count("events", events.len(), MAX_EVENTS)?;
                for event in &events {
                    label("events", event)?;
                }
                self.spec.events = events;
            }
            "column" => {
                let column = spec::parse_column(value).map_err(invalid("column"))?;
                if self.spec.columns.iter().any(|existing| existing.name == column.name) {
                    return Err(InvalidHeader::DuplicateColumn(abbreviate(&column.name)));
                }
                label("column", column.label.as_deref().unwrap_or_default())?;
                unit("column", column.unit.as_deref().unwrap_or_default())?;
                self.spec.columns.push(column);
                check_count("column", self.spec.columns.len(), MAX_COLUMNS)?;
            }
            "figure" => {
                let figure = spec::parse_figure(value).map_err(invalid("figure"))?;
                label("figure", &figure.label)?;
                label("figure", figure.versus.as_ref().map_or("", |(_, label)| label))?;
                unit("figure", &figure.unit)?;
                self.spec.figures.push(figure);
                check_count("figure", self.spec.figures.len(), MAX_FIGURES)?;
            }
            "threshold" => {
                self.spec.threshold = Some(spec::parse_threshold(value).map_err(invalid("threshold"))?);
            }
            "span" => {
                let span = spec::parse_span(value).map_err(invalid("span"))?;
                label("span", &span.label)?;
                self.spec.span = Some(span);
            }
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
            "distinct" => self.distinct = column_names(value),
            "not-additive" => self.spec.not_additive = column_names(value),
            "parameter" => {
                let parameter = Parameter::parse(value)?;
                let name = parameter.name.as_str();
                if STANDARD_PARAMETERS.contains(&name)
                    || name.starts_with(FILTER_PREFIX)
                    || self.parameters.iter().any(|existing| existing.name == name)
                {
                    return Err(InvalidHeader::DuplicateParameter(abbreviate(&parameter.name)));
                }
                self.parameters.push(parameter);
            }
            // Prose may contain a colon.
            prose if prose.contains(' ') => {}
            unknown => return Err(InvalidHeader::UnknownKey(abbreviate(unknown))),
        }
        Ok(())
    }

    /// Checks that a figure does not add up what cannot be added up.
    fn check_sums(&self, key: &str, value: &str) -> Result<(), InvalidHeader> {
        let figure = (key == "figure").then(|| spec::parse_figure(value).ok()).flatten();
        let Some(FigureSpec { aggregate, versus, .. }) = figure else { return Ok(()) };
        for aggregate in iter::once(aggregate).chain(versus.map(|(aggregate, _)| aggregate)) {
            let Aggregate::Sum(column) = aggregate else { continue };
            for (key, columns) in [("distinct", &self.distinct), ("not-additive", &self.spec.not_additive)] {
                if columns.contains(&column) {
                    return Err(InvalidHeader::NotAdditive { column: abbreviate(&column), key });
                }
            }
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
                    name: abbreviate(name),
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

/// Frames repeat labels and units, so they are short.
fn label<'a>(key: &'static str, text: &'a str) -> Result<&'a str, InvalidHeader> {
    check_length(key, text, MAX_LABEL_CHARS)
}

fn unit<'a>(key: &'static str, text: &'a str) -> Result<&'a str, InvalidHeader> {
    check_length(key, text, MAX_UNIT_CHARS)
}

fn check_length<'a>(key: &'static str, text: &'a str, max: usize) -> Result<&'a str, InvalidHeader> {
    let chars = text.chars().count();
    if chars > max {
        return Err(InvalidHeader::TooLong { key, text: abbreviate(text), chars, max });
    }
    Ok(text)
}

fn check_count(key: &'static str, count: usize, max: usize) -> Result<(), InvalidHeader> {
    if count > max {
        return Err(InvalidHeader::TooMany { key, count, max });
    }
    Ok(())
}

fn column_names(value: &str) -> Vec<String> {
    value.split(',').map(|column| column.trim().to_owned()).collect()
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

    #[test]
    fn the_parts_of_a_frame_are_few_and_short() {
        let lines = |line: &dyn Fn(usize) -> String, count: usize| {
            error(&(0..count).map(line).collect::<Vec<_>>().join("\n"))
        };
        let figure = |_: usize| "-- figure: sum(a) \"x\"".to_owned();
        assert_eq!(lines(&figure, 16), "");
        assert_eq!(lines(&figure, 17), "17: figure: 17 lines or names are too many; the maximum is 16");
        let column = |index: usize| format!("-- column: c{index} hidden");
        assert_eq!(lines(&column, 200), "");
        assert!(lines(&column, 201).starts_with("201: column: 201 "));
        assert_eq!(error(&format!("-- events: {}", vec!["a"; 50].join(","))), "");
        assert!(error(&format!("-- events: {}", vec!["a"; 51].join(","))).contains("51 lines or names"));

        for (max, before, after) in [
            (200, "title: ", ""),
            (200, "events: ", ""),
            (200, "figure: sum(a) \"", "\""),
            (200, "figure: sum(a) \"x\" versus sum(b) \"", "\""),
            (200, "column: a measure \"", "\""),
            (200, "span: hour_start \"", "\""),
            (32, "unit: ", ""),
            (32, "column: a measure ", ""),
            (32, "figure: sum(a) ", " \"x\""),
        ] {
            let header = |chars: usize| format!("-- {before}{}{after}", "ä".repeat(chars));
            assert_eq!(error(&header(max)), "", "{before}");
            let rejected = error(&header(max + 1));
            assert!(
                rejected.ends_with(&format!("has {} characters; the maximum is {max}", max + 1)),
                "{rejected}"
            );
        }
    }

    #[test]
    fn a_figure_is_not_the_sum_of_what_cannot_be_added_up() {
        let sum = "-- figure: sum(a) \"x\"";
        assert_eq!(error(&format!("{sum}\n-- distinct: b")), "");
        assert_eq!(
            error(&format!("{sum}\n-- distinct: b, a")),
            "1: figure: sum(a) adds up a column that is distinct; use first, last or max"
        );
        let compared = "-- not-additive: a, b\n-- figure: max(a) \"x\" versus sum(b) \"y\"";
        assert!(error(compared).starts_with("2: figure: sum(b) adds up a column that is not-additive"));
        assert_eq!(error("-- distinct: a\n-- figure: max(a) \"x\""), "");
    }

    #[test]
    fn errors_repeat_only_the_start_of_a_long_value() {
        let long = "x".repeat(10_000);
        for header in [
            format!("-- chart: {long}"),
            format!("-- {long}: x"),
            format!("-- title: {long}"),
            format!("-- column: {long} hidden\n-- column: {long} hidden"),
            format!("-- parameter: {long} UInt16 = 1\n-- parameter: {long} UInt16 = 1"),
            format!("-- parameter: {long}"),
            format!("-- parameter: a {long} = 1"),
            format!("-- span: {long} \"x\""),
        ] {
            let error = error(&header);
            assert!(!error.is_empty() && error.len() < 1_000, "{error}");
        }
    }
}

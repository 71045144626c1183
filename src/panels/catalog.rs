//! Panels as files: a header of comments, then a statement.
//!
//! ```sql
//! -- title: Top features
//! -- description: Which features are used, by how many people
//! -- unit: users
//! -- chart: horizontal-bar
//! -- refresh: 10s
//! -- distinct: unique_users
//! -- parameter: limit UInt16 = 10 from 1 to 100: how many features at most
//! SELECT …
//! ```
//!
//! `title` and `chart` (number, line, bar, horizontal-bar, table) are required. `distinct` names the columns that hold
//! distinct counts, so that the answer can say whether they are exact; `grain: coarse` asks for buckets of an hour, or of
//! a day for 7 days. The statement uses its parameters as `{name:Type}`, and these, which every panel has:
//! `range_start` and `range_end` (`DateTime('UTC')`), `buckets` (`Array(UInt32)`: the starts of the buckets in seconds),
//! `time_zone` (`String`), `hour_start`, `week_ago_start` and `week_ago_now` (`DateTime('UTC')`). Those that say which rows
//! of the rollups make up the range are [`SeriesLevel`](super::range::SeriesLevel) (`step`, a `UInt16`, and `steps_end`) and
//! [`RangePartition`](super::range::RangePartition) (`quarters_from`, `hours_from`, `six_hours_from`, `six_hours_to`, `hours_to`,
//! `quarters_to`), all `DateTime('UTC')`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::range::Granularity;
use crate::proto::v1::Chart;

/// The panels that come with Millrace.
const BUILT_IN: &[(&str, &str)] = &[
    ("active_users", include_str!("../../queries/panels/active_users.sql")),
    ("error_rate", include_str!("../../queries/panels/error_rate.sql")),
    ("live_visitors", include_str!("../../queries/panels/live_visitors.sql")),
    ("signup_funnel", include_str!("../../queries/panels/signup_funnel.sql")),
    ("top_features", include_str!("../../queries/panels/top_features.sql")),
    ("top_pages", include_str!("../../queries/panels/top_pages.sql")),
    ("traffic_anomaly", include_str!("../../queries/panels/traffic_anomaly.sql")),
    ("traffic_by_country", include_str!("../../queries/panels/traffic_by_country.sql")),
];

/// How often a panel is computed again when its file does not say.
const DEFAULT_REFRESH: Duration = Duration::from_secs(10);

/// The longest name of a panel.
const MAX_NAME_BYTES: usize = 64;
/// The longest value of a parameter: an event's longest texts, the addresses of pages, are kept up to 500 characters.
const MAX_VALUE_BYTES: usize = 1_024;
/// How much of a caller's text a message repeats.
const MAX_MESSAGE_CHARS: usize = 100;

/// What every panel may use; its own parameters have other names.
const STANDARD_PARAMETERS: [&str; 15] = [
    "range_start",
    "range_end",
    "buckets",
    "time_zone",
    "step",
    "steps_end",
    "quarters_from",
    "hours_from",
    "six_hours_from",
    "six_hours_to",
    "hours_to",
    "quarters_to",
    "hour_start",
    "week_ago_start",
    "week_ago_now",
];

/// The panels there are at one time.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Catalog {
    /// The panels, by name.
    pub panels: BTreeMap<String, Arc<Panel>>,
    /// The files that are no usable panel.
    pub broken: Vec<BrokenPanel>,
}

/// A panel.
#[derive(Clone, Debug, PartialEq)]
pub struct Panel {
    /// The file's name without ".sql".
    pub name: String,
    /// What it is called on the dashboard.
    pub title: String,
    /// The question it answers.
    pub description: String,
    /// The unit of its figures.
    pub unit: String,
    /// How it is drawn.
    pub chart: Chart,
    /// How often it is computed again when no event lands.
    pub refresh: Duration,
    /// How fine its buckets are.
    pub granularity: Granularity,
    /// The columns that hold distinct counts.
    pub distinct: Vec<String>,
    /// What can be asked beside range and time zone.
    pub parameters: Vec<Parameter>,
    /// The whole file: what a reader wants to see, and what is run.
    pub sql: String,
    /// Whether it came with Millrace.
    pub built_in: bool,
}

/// What can be asked of a panel.
#[derive(Clone, Debug, PartialEq)]
pub struct Parameter {
    /// Its name.
    pub name: String,
    /// Its ClickHouse type.
    pub kind: ParameterType,
    /// Its value where none is given.
    pub default: String,
    /// The least and the greatest value.
    pub bounds: Option<(f64, f64)>,
    /// What it means.
    pub description: String,
}

/// The types that a parameter may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ParameterType {
    /// A whole number.
    UInt16,
    /// A whole number.
    UInt32,
    /// A whole number that may be negative.
    Int64,
    /// A number.
    Float64,
    /// Text.
    String,
}

impl ParameterType {
    const ALL: [Self; 5] = [Self::UInt16, Self::UInt32, Self::Int64, Self::Float64, Self::String];

    /// ClickHouse's name of it.
    pub fn name(self) -> &'static str {
        match self {
            Self::UInt16 => "UInt16",
            Self::UInt32 => "UInt32",
            Self::Int64 => "Int64",
            Self::Float64 => "Float64",
            Self::String => "String",
        }
    }
}

/// A file that is no usable panel.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{file}:{line}: {message}")]
pub struct BrokenPanel {
    /// The file.
    pub file: String,
    /// The line at fault, from 1; 0 where it is not known.
    pub line: u32,
    /// What is wrong.
    pub message: String,
}

impl Parameter {
    /// Brings a value into its one form ("+5" and "0005" are "5"), so that the same question is the same; the reason of a
    /// refusal names what is allowed.
    pub fn canonicalize(&self, value: &str) -> Result<String, String> {
        let name = &self.name;
        if value.len() > MAX_VALUE_BYTES {
            return Err(format!(
                "{name}: the value has {} bytes; {MAX_VALUE_BYTES} are possible",
                value.len()
            ));
        }
        let (number, text) = match self.kind {
            ParameterType::String => return Ok(value.to_owned()),
            ParameterType::UInt16 => parse_integer::<u16>(value).unzip(),
            ParameterType::UInt32 => parse_integer::<u32>(value).unzip(),
            ParameterType::Int64 => {
                value.parse::<i64>().ok().map(|number| (number as f64, number.to_string())).unzip()
            }
            ParameterType::Float64 => {
                // Without the sign of a zero.
                let number =
                    value.parse::<f64>().ok().filter(|number| number.is_finite()).map(|number| number + 0.0);
                number.map(|number| (number, format_float(number))).unzip()
            }
        };
        let allowed = match (number, self.bounds) {
            (Some(_), None) => true,
            (Some(number), Some((min, max))) => (min..=max).contains(&number),
            (None, _) => false,
        };
        if let Some(text) = text.filter(|_| allowed) {
            return Ok(text);
        }
        let kind = if self.kind == ParameterType::Float64 { "a number" } else { "a whole number" };
        let value = abbreviate(value);
        Err(match self.bounds {
            Some((min, max)) => {
                format!("{name}: {value:?} is not possible; {kind} from {min} to {max} is")
            }
            None => format!("{name}: {value:?} is not possible; {kind} ({}) is", self.kind.name()),
        })
    }
}

fn parse_integer<T: std::str::FromStr + ToString + Copy + Into<f64>>(value: &str) -> Option<(f64, String)> {
    value.parse::<T>().ok().map(|number| (number.into(), number.to_string()))
}

/// One text for a number, which has no exponent unless it would be long.
fn format_float(number: f64) -> String {
    const MAX_PLAIN_BYTES: usize = 20;
    let plain = number.to_string();
    if plain.len() > MAX_PLAIN_BYTES { format!("{number:e}") } else { plain }
}

/// What a caller gave, as far as a message repeats it.
pub(crate) fn abbreviate(text: &str) -> String {
    match text.char_indices().nth(MAX_MESSAGE_CHARS) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}…", &text[..end]),
    }
}

impl Catalog {
    /// The built-in panels.
    pub fn built_in() -> Result<Self, BrokenPanel> {
        let panels = BUILT_IN.iter().map(|(name, text)| {
            let panel = Panel { built_in: true, ..parse(name, text)? };
            Ok(((*name).to_owned(), Arc::new(panel)))
        });
        Ok(Self { panels: panels.collect::<Result<_, _>>()?, broken: Vec::new() })
    }
}

/// Reads a panel's file.
pub fn parse(name: &str, text: &str) -> Result<Panel, BrokenPanel> {
    let valid_name = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-');
    if name.is_empty() || name.len() > MAX_NAME_BYTES || !valid_name {
        return Err(BrokenPanel {
            file: format!("{name}.sql"),
            line: 0,
            message: format!(
                "the file's name is the panel's: 1 to {MAX_NAME_BYTES} letters, digits, \"_\" and \"-\" are possible"
            ),
        });
    }
    let broken = |line: usize, message: String| BrokenPanel {
        file: format!("{name}.sql"),
        line: u32::try_from(line).unwrap_or(u32::MAX),
        message,
    };
    let mut panel = Panel {
        name: name.to_owned(),
        title: String::new(),
        description: String::new(),
        unit: String::new(),
        chart: Chart::Unspecified,
        refresh: DEFAULT_REFRESH,
        granularity: Granularity::Fine,
        distinct: Vec::new(),
        parameters: Vec::new(),
        sql: text.trim_end().trim_end_matches(';').to_owned(),
        built_in: false,
    };
    let mut header_lines = 0;
    for (number, line) in (1..).zip(text.lines()) {
        let Some(comment) = line.trim().strip_prefix("--") else {
            break;
        };
        header_lines = number;
        let Some((key, value)) = comment.split_once(':') else {
            continue; // a comment in words
        };
        panel.set_header(key.trim(), value.trim()).map_err(|message| broken(number, message))?;
    }
    if panel.title.is_empty() {
        return Err(broken(1, "the header has no title; add a line like \"-- title: Active users\"".into()));
    }
    if panel.chart == Chart::Unspecified {
        return Err(broken(1, format!("the header has no chart; add \"-- chart: \" and one of {CHARTS}")));
    }
    if text.lines().skip(header_lines).all(|line| line.trim().is_empty()) {
        return Err(broken(header_lines + 1, "there is no statement after the header".into()));
    }
    Ok(panel)
}

const CHARTS: &str = "number, line, bar, horizontal-bar, table";

impl Panel {
    fn set_header(&mut self, key: &str, value: &str) -> Result<(), String> {
        match key {
            "title" => self.title = value.to_owned(),
            "description" => self.description = value.to_owned(),
            "unit" => self.unit = value.to_owned(),
            "chart" => {
                self.chart = match value {
                    "number" => Chart::Number,
                    "line" => Chart::Line,
                    "bar" => Chart::Bar,
                    "horizontal-bar" => Chart::HorizontalBar,
                    "table" => Chart::Table,
                    other => return Err(format!("chart: {other:?} is not possible; one of {CHARTS} is")),
                }
            }
            "refresh" => {
                let seconds = value.strip_suffix('s').and_then(|number| number.parse::<u64>().ok());
                self.refresh = match seconds {
                    Some(seconds @ 1..=3_600) => Duration::from_secs(seconds),
                    _ => return Err(format!("refresh: {value:?} is not possible; 1s to 3600s is")),
                }
            }
            "grain" => {
                self.granularity = match value {
                    "fine" => Granularity::Fine,
                    "coarse" => Granularity::Coarse,
                    other => return Err(format!("grain: {other:?} is not possible; fine or coarse is")),
                }
            }
            "distinct" => self.distinct = value.split(',').map(|column| column.trim().to_owned()).collect(),
            "parameter" => {
                let parameter = parse_parameter(value)?;
                let name = parameter.name.as_str();
                if STANDARD_PARAMETERS.contains(&name)
                    || self.parameters.iter().any(|known| known.name == name)
                {
                    return Err(format!("parameter: there is a {name:?} already; choose another name"));
                }
                self.parameters.push(parameter);
            }
            // A comment in words may hold a colon.
            other if other.contains(' ') => {}
            other => return Err(format!("the header has {other:?}, which is not known")),
        }
        Ok(())
    }
}

/// Reads `name Type = default from least to greatest: description`.
fn parse_parameter(text: &str) -> Result<Parameter, String> {
    let malformed =
        || format!("parameter: {text:?} is not of the form \"name Type = default from 1 to 9: description\"");
    let (definition, description) = text.split_once(':').unwrap_or((text, ""));
    let (head, rest) = definition.split_once('=').ok_or_else(malformed)?;
    let (name, kind) = head.trim().split_once(' ').ok_or_else(malformed)?;
    let kind = ParameterType::ALL.into_iter().find(|known| known.name() == kind.trim()).ok_or_else(|| {
        let known = ParameterType::ALL.map(ParameterType::name).join(", ");
        format!("parameter: the type {:?} is not possible; one of {known} is", kind.trim())
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
    let mut parameter = Parameter {
        name: name.to_owned(),
        kind,
        default: String::new(),
        bounds,
        description: description.trim().to_owned(),
    };
    parameter.default = parameter.canonicalize(default)?;
    Ok(parameter)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_built_in_panel_parses_and_is_registered() {
        let panels = Catalog::built_in().unwrap().panels;
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("queries/panels");
        let mut on_disk: Vec<String> = std::fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned())
            .collect();
        on_disk.sort();
        assert_eq!(panels.keys().cloned().collect::<Vec<_>>(), on_disk);
        assert!(panels.values().all(|panel| panel.built_in && !panel.description.is_empty()));
    }

    #[test]
    fn a_parameter_definition_has_type_default_bounds_and_description() {
        let parameter = parse_parameter("limit UInt16 = 10 from 1 to 100: how many: at most").unwrap();
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
            parameter.canonicalize("0").unwrap_err(),
            "limit: \"0\" is not possible; a whole number from 1 to 100 is"
        );
        assert!(parameter.canonicalize("1.5").is_err() && parameter.canonicalize("x").is_err());
    }

    #[test]
    fn equal_values_have_one_canonical_form() {
        let canonical = |kind: &str, value: &str| {
            let default = if kind == "String" { "x" } else { "1" };
            parse_parameter(&format!("p {kind} = {default}")).unwrap().canonicalize(value)
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
        assert_eq!(canonical("UInt16", &long).unwrap_err(), "p: the value has 2001 bytes; 1024 are possible");
        assert!(canonical("String", &long).is_err() && canonical("String", &long[..1_024]).is_ok());
        assert!(canonical("UInt16", &long[..1_000]).is_ok());
        assert!(canonical("UInt16", &"x".repeat(1_000)).unwrap_err().len() < 300);
    }

    #[test]
    fn a_parse_error_names_the_line() {
        let cases = [
            ("SELECT 1", 1, "no title"),
            ("-- title: x\nSELECT 1", 1, "no chart"),
            ("-- title: x\n-- chart: pie\nSELECT 1", 2, "\"pie\""),
            ("-- title: x\n-- chart: line\n-- refresh: soon\nSELECT 1", 3, "\"soon\""),
            ("-- title: x\n-- chart: line\n-- parameter: a Date = 1\nSELECT 1", 3, "\"Date\""),
            (
                "-- title: x\n-- chart: line\n-- parameter: a UInt16 = 0 from 1 to 2\nSELECT 1",
                3,
                "from 1 to 2",
            ),
            ("-- title: x\n-- chart: line\n-- titel: y\nSELECT 1", 3, "\"titel\""),
            (
                "-- title: x\n-- chart: line\n-- parameter: buckets UInt16 = 1\nSELECT 1",
                3,
                "\"buckets\" already",
            ),
            ("-- title: x\n-- chart: line\n\n", 3, "no statement"),
        ];
        for (text, line, part) in cases {
            let broken = parse("p", text).unwrap_err();
            assert_eq!((broken.file.as_str(), broken.line), ("p.sql", line), "{broken}");
            assert!(broken.message.contains(part), "{broken} lacks {part:?}");
        }
    }
}

//! Panels as files: a header of comments, then a statement.
//!
//! ```sql
//! -- title: Top features
//! -- description: Features by number of users
//! -- unit: users
//! -- chart: horizontal-bar
//! -- refresh: 10s
//! -- distinct: unique_users
//! -- parameter: limit UInt16 = 10 from 1 to 100: maximum number of features
//! SELECT …
//! ```
//!
//! `title` and `chart` are required. `distinct` names the columns that are distinct counts, so that the result can say
//! whether they are exact. `grain: coarse` selects [`Granularity::Coarse`]. docs/panels.md documents the header and the
//! parameters that every panel has (`STANDARD_PARAMETERS`).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::parameter::{InvalidDefinition, Parameter};
use super::range::Granularity;
use super::template;

/// The panels that are compiled into the binary.
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

/// Used if the header has no `refresh`.
const DEFAULT_REFRESH: Duration = Duration::from_secs(10);
/// The longest `refresh`, in seconds.
const MAX_REFRESH_SECONDS: u64 = 3_600;
/// The longest name of a panel.
const MAX_NAME_BYTES: usize = 64;

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

/// All panels at one point in time.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Catalog {
    /// By name.
    pub panels: BTreeMap<String, Arc<Panel>>,
    /// The files that are not usable. A panel of the same name stays in `panels` if an earlier version was usable.
    pub broken: Vec<BrokenPanel>,
}

/// A panel.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Panel {
    /// The file's name without `.sql`.
    pub name: String,
    /// The heading on the dashboard.
    pub title: String,
    /// What it shows; may be empty.
    pub description: String,
    /// The unit of its values; may be empty.
    pub unit: String,
    /// How the dashboard draws it.
    pub chart: Chart,
    /// The time between two computations for subscribers if no event lands.
    pub refresh: Duration,
    /// The width of its buckets.
    pub granularity: Granularity,
    /// The columns that are distinct counts.
    pub distinct: Vec<String>,
    /// Its own parameters.
    pub parameters: Vec<Parameter>,
    /// The file with its header and with templates expanded. This text is executed and shown.
    pub sql: String,
    /// Whether it is compiled in. A file of the same name replaces it.
    pub built_in: bool,
}

/// How a panel is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Chart {
    /// The first column of the first row, large.
    Number,
    /// A line chart over the first column.
    Line,
    /// Vertical bars over the first column.
    Bar,
    /// Horizontal bars, one per value of the first column.
    HorizontalBar,
    /// All columns and rows.
    Table,
}

/// A file that is not a usable panel.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{file}:{line}: {message}")]
pub(crate) struct BrokenPanel {
    /// The file's name; the folder's path if the folder itself cannot be read.
    pub file: String,
    /// The line of the problem, from 1; 0 if unknown.
    pub line: u32,
    /// What is wrong, and how to fix it.
    pub message: String,
}

impl Catalog {
    /// The built-in panels.
    pub(crate) fn built_in() -> Result<Self, BrokenPanel> {
        let panels = BUILT_IN.iter().map(|(name, text)| {
            let panel = Panel { built_in: true, ..parse(name, text)? };
            Ok(((*name).to_owned(), Arc::new(panel)))
        });
        Ok(Self { panels: panels.collect::<Result<_, _>>()?, broken: Vec::new() })
    }
}

/// Parses a panel's file and expands its templates. The statement itself is not checked.
pub(crate) fn parse(name: &str, text: &str) -> Result<Panel, BrokenPanel> {
    let broken = |line: usize, message: String| BrokenPanel {
        file: format!("{name}.sql"),
        line: u32::try_from(line).unwrap_or(u32::MAX),
        message,
    };
    let valid_name = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-');
    if name.is_empty() || name.len() > MAX_NAME_BYTES || !valid_name {
        let message = format!(
            "the file's name is invalid; expected 1 to {MAX_NAME_BYTES} letters, digits, \"_\" and \"-\" before .sql"
        );
        return Err(broken(0, message));
    }
    let mut header = Header::default();
    let mut header_lines = 0;
    for (number, line) in (1..).zip(text.lines()) {
        let Some(comment) = line.trim().strip_prefix("--") else {
            break;
        };
        header_lines = number;
        let Some((key, value)) = comment.split_once(':') else {
            continue;
        };
        header.set(key.trim(), value.trim()).map_err(|error| broken(number, error.to_string()))?;
    }
    let Header { title, description, unit, chart, refresh, granularity, distinct, parameters } = header;
    if title.is_empty() {
        return Err(broken(
            1,
            "the header has no title; add a line such as \"-- title: Active users\"".into(),
        ));
    }
    let Some(chart) = chart else {
        return Err(broken(1, format!("the header has no chart; add \"-- chart: \" and one of {CHARTS}")));
    };
    if text.lines().skip(header_lines).all(|line| line.trim().is_empty()) {
        return Err(broken(header_lines + 1, "the file has no statement after its header".into()));
    }
    let sql = template::expand(text).map_err(|error| broken(error.line, error.to_string()))?;
    Ok(Panel {
        name: name.to_owned(),
        title,
        description,
        unit,
        chart,
        refresh: refresh.unwrap_or(DEFAULT_REFRESH),
        granularity,
        distinct,
        parameters,
        sql: sql.trim_end().trim_end_matches(';').to_owned(),
        built_in: false,
    })
}

const CHARTS: &str = "number, line, bar, horizontal-bar, table";
const HEADER_KEYS: &str = "title, description, unit, chart, refresh, grain, distinct, parameter";

/// Why a line of the header is invalid.
#[derive(Debug, thiserror::Error)]
enum InvalidHeader {
    #[error("{key}: {value:?} is invalid; expected {expected}")]
    Value { key: &'static str, value: String, expected: String },
    #[error("parameter: the name {0:?} is taken; choose another name")]
    DuplicateParameter(String),
    #[error(transparent)]
    Parameter(#[from] InvalidDefinition),
    #[error("the header key {0:?} is unknown; expected one of {HEADER_KEYS}")]
    UnknownKey(String),
}

/// The header's lines that have been parsed.
#[derive(Default)]
struct Header {
    title: String,
    description: String,
    unit: String,
    chart: Option<Chart>,
    refresh: Option<Duration>,
    granularity: Granularity,
    distinct: Vec<String>,
    parameters: Vec<Parameter>,
}

impl Header {
    fn set(&mut self, key: &str, value: &str) -> Result<(), InvalidHeader> {
        let invalid = |key, expected: &str| InvalidHeader::Value {
            key,
            value: value.to_owned(),
            expected: expected.to_owned(),
        };
        match key {
            "title" => self.title = value.to_owned(),
            "description" => self.description = value.to_owned(),
            "unit" => self.unit = value.to_owned(),
            "chart" => {
                self.chart = Some(match value {
                    "number" => Chart::Number,
                    "line" => Chart::Line,
                    "bar" => Chart::Bar,
                    "horizontal-bar" => Chart::HorizontalBar,
                    "table" => Chart::Table,
                    _ => return Err(invalid("chart", &format!("one of {CHARTS}"))),
                });
            }
            "refresh" => {
                let seconds = value.strip_suffix('s').and_then(|number| number.parse::<u64>().ok());
                let seconds = seconds.filter(|seconds| (1..=MAX_REFRESH_SECONDS).contains(seconds));
                let expected = format!("1s to {MAX_REFRESH_SECONDS}s");
                let seconds = seconds.ok_or_else(|| invalid("refresh", &expected))?;
                self.refresh = Some(Duration::from_secs(seconds));
            }
            "grain" => {
                self.granularity = match value {
                    "fine" => Granularity::Fine,
                    "coarse" => Granularity::Coarse,
                    _ => return Err(invalid("grain", "fine or coarse")),
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
        assert!(panels.values().all(|panel| !panel.sql.contains("{{")), "templates are expanded");
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
                "\"buckets\" is taken",
            ),
            ("-- title: x\n-- chart: line\n\n", 3, "no statement"),
            ("-- title: x\n-- chart: line\nSELECT\n  {{distinct_count(a)}}", 4, "distinct_count"),
        ];
        for (text, line, part) in cases {
            let broken = parse("p", text).unwrap_err();
            assert_eq!((broken.file.as_str(), broken.line), ("p.sql", line), "{broken}");
            assert!(broken.message.contains(part), "{broken} lacks {part:?}");
        }
    }
}

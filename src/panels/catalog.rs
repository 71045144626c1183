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
//! whether they are exact. `grain: coarse` selects [`Granularity::Coarse`]. How the panel is drawn is in
//! [`spec`](super::spec). docs/panels.md documents the header and the parameters that every panel has.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::buckets::Granularity;
use super::header::Header;
use super::parameter::Parameter;
use super::spec::{Chart, Spec};
use super::template::Statement;

/// A panel that is compiled into the binary: its name and its file.
type BuiltIn = (&'static str, &'static str);

// `BUILT_IN`: build.rs lists the files of queries/panels.
include!(concat!(env!("OUT_DIR"), "/built_in_panels.rs"));

/// Used if the header has no `refresh`.
const DEFAULT_REFRESH: Duration = Duration::from_secs(10);
/// The longest name of a panel.
const MAX_NAME_BYTES: usize = 64;
/// How many panels an error message names.
const MAX_NAMES: usize = 20;

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
    /// The chart type.
    pub chart: Chart,
    /// How the dashboard draws it.
    pub spec: Spec,
    /// The time between two computations for subscribers if no event lands.
    pub refresh: Duration,
    /// The width of its buckets.
    pub granularity: Granularity,
    /// The columns that are distinct counts.
    pub distinct: Vec<String>,
    /// Its own parameters.
    pub parameters: Vec<Parameter>,
    /// The file with its header.
    pub sql: String,
    /// The file with its templates parsed.
    pub statement: Statement,
    /// Whether its result has a time axis or figures, which can be compared with those of an earlier period. From the
    /// header, until the panel has been computed.
    pub comparable: bool,
    /// Whether it is compiled in. A file of the same name replaces it.
    pub built_in: bool,
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

    /// The names of the panels for an error message. With more than [`MAX_NAMES`] the last ones are only counted.
    pub(super) fn describe_names(&self) -> String {
        let names: Vec<&str> = self.panels.keys().map(String::as_str).take(MAX_NAMES).collect();
        match self.panels.len() - names.len() {
            0 => names.join(", "),
            more => format!("{} and {more} more", names.join(", ")),
        }
    }
}

/// Parses a panel's file and its templates. The statement itself is not checked.
pub(crate) fn parse(name: &str, text: &str) -> Result<Panel, BrokenPanel> {
    let valid_name = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-');
    if name.is_empty() || name.len() > MAX_NAME_BYTES || !valid_name {
        let message = format!(
            "the file's name is invalid; expected 1 to {MAX_NAME_BYTES} letters, digits, \"_\" and \"-\" before .sql"
        );
        return Err(BrokenPanel { file: format!("{name}.sql"), line: 0, message });
    }
    parse_text(name, text, None)
}

/// Parses a statement that is not a file: its header may be missing, then it is a table.
pub(crate) fn parse_statement(name: &str, text: &str) -> Result<Panel, BrokenPanel> {
    parse_text(name, text, Some(Chart::Table))
}

/// `chart` is used if the header has none; then it needs no title either.
fn parse_text(name: &str, text: &str, chart: Option<Chart>) -> Result<Panel, BrokenPanel> {
    let broken = |line: usize, message: String| BrokenPanel {
        file: format!("{name}.sql"),
        line: u32::try_from(line).unwrap_or(u32::MAX),
        message,
    };
    let (header, header_lines) =
        Header::parse(text).map_err(|(line, error)| broken(line, error.to_string()))?;
    let Header {
        title,
        description,
        unit,
        chart: own_chart,
        refresh,
        granularity,
        distinct,
        spec,
        parameters,
    } = header;
    if title.is_empty() && chart.is_none() {
        return Err(broken(
            1,
            "the header has no title; add a line such as \"-- title: Active users\"".into(),
        ));
    }
    let Some(chart) = own_chart.or(chart) else {
        return Err(broken(
            1,
            format!("the header has no chart; add \"-- chart: \" and one of {}", Chart::EXPECTED),
        ));
    };
    if text.lines().skip(header_lines).all(|line| line.trim().is_empty()) {
        return Err(broken(header_lines + 1, "the file has no statement after its header".into()));
    }
    let sql = text.trim_end().trim_end_matches(';');
    let statement = Statement::parse(sql).map_err(|error| broken(error.line, error.to_string()))?;
    Ok(Panel {
        name: name.to_owned(),
        title,
        description,
        unit,
        chart,
        comparable: spec.is_comparable(chart),
        spec,
        refresh: refresh.unwrap_or(DEFAULT_REFRESH),
        granularity,
        distinct,
        parameters,
        sql: sql.to_owned(),
        statement,
        built_in: false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_built_in_panel_parses_and_the_typed_calls_have_theirs() {
        let panels = Catalog::built_in().unwrap().panels;
        for name in [
            "active_users",
            "signup_funnel",
            "top_features",
            "error_rate",
            "live_visitors",
            "top_pages",
            "traffic_by_country",
            "traffic_anomaly",
        ] {
            assert!(panels.contains_key(name), "{name}");
        }
        assert!(panels.values().all(|panel| panel.built_in && !panel.description.is_empty()));
        assert!(panels.values().all(|panel| panel.statement.has_rows()), "all can be filtered");
    }

    #[test]
    fn an_error_names_at_most_twenty_panels() {
        let mut catalog = Catalog::default();
        let panel = Arc::new(parse("p", "-- title: x\n-- chart: line\nSELECT 1").unwrap());
        catalog.panels = (1..=20).map(|number| (format!("p{number:03}"), Arc::clone(&panel))).collect();
        assert!(catalog.describe_names().ends_with("p019, p020"), "{}", catalog.describe_names());
        catalog.panels.extend((21..=500).map(|number| (format!("p{number:03}"), Arc::clone(&panel))));
        assert!(
            catalog.describe_names().ends_with("p019, p020 and 480 more"),
            "{}",
            catalog.describe_names()
        );
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
            ("-- title: x\n-- chart: line\n-- order: first\nSELECT 1", 3, "order: \"first\" is invalid"),
            ("-- title: x\n-- chart: line\n-- size: huge\nSELECT 1", 3, "expected small, medium or large"),
            ("-- title: x\n-- top: 0\n-- chart: line\nSELECT 1", 2, "top: \"0\""),
            ("-- title: x\n-- chart: line\n-- events: a,,b\nSELECT 1", 3, "\"a,,b\""),
            ("-- title: x\n-- chart: line\n-- column: a axis\nSELECT 1", 3, "column: \"a axis\""),
            (
                "-- title: x\n-- chart: line\n-- column: a time\n-- column: a hidden\nSELECT 1",
                4,
                "\"a\" has two lines",
            ),
            ("-- title: x\n-- chart: line\n-- figure: sum(a)\nSELECT 1", 3, "figure: \"sum(a)\""),
            (
                "-- title: x\n-- chart: line\n-- threshold: 1 %\nSELECT 1",
                3,
                "a number or the name of a column",
            ),
            ("-- title: x\n-- chart: line\n-- span: an hour\nSELECT 1", 3, "span: \"an hour\""),
            (
                "-- title: x\n-- chart: line\n-- span: minutes \"x\"\nSELECT 1",
                3,
                "{minutes} is not a parameter",
            ),
            ("-- title: x\n-- figure: sum(a) \"{b}\"\n-- chart: line\nSELECT 1", 2, "{b} is not a parameter"),
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

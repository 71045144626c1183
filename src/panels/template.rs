//! Templates in panel statements: what to read from the rollup, or from the events if the rollup does not hold it.
//!
//! | template | value |
//! | --- | --- |
//! | `{{series('page_view', 'country_code')}}` | rows of the range, with the bucket that they belong to |
//! | `{{total('page_view', 'page_url')}}` | rows of the range, without `bucket` |
//! | `{{window('page_view', window_minutes)}}` | rows of the last minutes, a parameter of the panel or a number |
//! | `{{span('page_view', hour_start, minute_start)}}` | rows between two of the [`MOMENTS`] |
//! | `{{distinct_count(visitors)}}` | a distinct count, from the sets of the rows of a group |
//!
//! The first argument is an event, `''` for all events, or a list: `['', 'error_occurred']`. The second one, a dimension, is
//! optional except in `window` and `span`, which have none. All but the last are subqueries with the columns `event_name`,
//! `value` and [`COLUMNS`](super::rows::COLUMNS). A group can have several rows, so a statement adds up counts and merges sets.
//!
//! They are expanded for each query, by its range, its filters and its project. An expansion has no line breaks, so that
//! the lines in ClickHouse's errors are those of the file.

use super::buckets::Buckets;
use super::filter::{EVENT_NAME, Filters};
use super::rows::{Rows, TemplateSpan};
use crate::clickhouse::template::render;
use crate::properties::{EVENT_DIMENSIONS, Properties};

/// Times that `span` can name.
pub(super) const MOMENTS: [&str; 7] = [
    "range_start",
    "range_end",
    "hour_start",
    "minute_start",
    "minute_end",
    "week_ago_start",
    "week_ago_minute",
];

/// A distinct count of a group of rows (docs/decisions/0010-distinct-counts.md). `{{few}}` is the set's exact form up to 100
/// ([`MAX_EXACT_DISTINCT`](super::query::MAX_EXACT_DISTINCT)), and 101 beyond. Each value sets one of 2^20 bits: linear
/// counting estimates the number of values from the number of set bits (Whang et al., 1990). Above about 4 million values,
/// which set 1,025,466 bits, the bits of a sixteenth of the values are more precise. A set whose bits are all set counts as
/// one with a bit left, since log(0) is infinite.
const DISTINCT_COUNT: &str = "if(uniqUpToMerge(100)({{few}}) <= 100, uniqUpToMerge(100)({{few}}), greatest(101, \
     toUInt64(round(if(groupBitmapMerge({{set}}) < 1025466, \
     -1048576 * log(1 - groupBitmapMerge({{set}}) / 1048576), \
     -16777216 * log(1 - least(groupBitmapMerge({{sampled}}), 1048575) / 1048576))))))";

/// A template with wrong arguments.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{{{{{name}(…)}}}}: expected {expected}")]
pub(super) struct TemplateError {
    /// The line in the file, from 1.
    pub(super) line: usize,
    name: &'static str,
    expected: &'static str,
}

/// A panel's statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Statement {
    parts: Vec<Part>,
    /// Whether it counts sessions, which the rollup has only without a breakdown.
    counts_sessions: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    Rows(Rows),
}

/// Where a query's figures come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    Rollup,
    Events,
}

/// Why a statement cannot be expanded for a query.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ExpansionError {
    /// A template names a dimension that is not declared.
    #[error("the dimension {dimension:?} is not declared; declared are {available}")]
    UnknownDimension {
        /// The name.
        dimension: String,
        /// The declared ones.
        available: String,
    },
    /// A window's parameter has no such value.
    #[error("window: {0:?} is neither a number of minutes nor a parameter of the panel")]
    UnknownWindow(String),
}

/// What a statement is expanded for.
pub(super) struct Expansion<'a> {
    pub(super) source: Source,
    pub(super) filters: &'a Filters,
    pub(super) properties: &'a Properties,
    pub(super) buckets: &'a Buckets,
    /// Seconds since 1970 UTC.
    pub(super) moment: &'a dyn Fn(&str) -> i64,
    /// The value of a parameter of the panel.
    pub(super) parameter: &'a dyn Fn(&str) -> Option<String>,
}

impl Statement {
    /// Parses the templates of a panel's file. Other double braces stay: `format` uses them in its patterns.
    pub(super) fn parse(text: &str) -> Result<Self, TemplateError> {
        let mut parts = Vec::new();
        let mut plain = String::new();
        let mut counts_sessions = false;
        let mut rest = text;
        while let Some(at) = rest.find("{{") {
            let (before, call) = rest.split_at(at);
            plain.push_str(before);
            let Some((name, expected)) = TEMPLATES.into_iter().find(|(name, _)| is_call(call, name)) else {
                plain.push_str("{{");
                rest = &call[2..];
                continue;
            };
            let line = text[..text.len() - call.len()].matches('\n').count() + 1;
            let invalid = || TemplateError { line, name, expected };
            let (arguments, after) = call[2 + name.len() + 1..].split_once(")}}").ok_or_else(invalid)?;
            let arguments = parse_arguments(arguments).ok_or_else(invalid)?;
            if name == "distinct_count" {
                let set = parse_set(&arguments).ok_or_else(invalid)?;
                counts_sessions |= set.ends_with("sessions");
                plain.push_str(&distinct_count(set));
            } else {
                parts.push(Part::Text(std::mem::take(&mut plain)));
                parts.push(Part::Rows(parse_rows(name, arguments).ok_or_else(invalid)?));
            }
            rest = after;
        }
        plain.push_str(rest);
        counts_sessions |= plain_words(text).any(|word| matches!(word, "few_sessions" | "sampled_sessions"));
        parts.push(Part::Text(plain));
        Ok(Self { parts, counts_sessions })
    }

    /// Whether it reads rows by a template, so that it can be filtered.
    pub(crate) fn has_rows(&self) -> bool {
        self.rows().next().is_some()
    }

    /// Whether it has a row or more per bucket.
    pub(super) fn has_series(&self) -> bool {
        self.rows().any(|rows| rows.span == TemplateSpan::Series)
    }

    fn rows(&self) -> impl Iterator<Item = &Rows> {
        self.parts.iter().filter_map(|part| match part {
            Part::Rows(rows) => Some(rows),
            Part::Text(_) => None,
        })
    }

    /// Whether the rollup has the figures. It has one dimension per row, and sessions only without one.
    pub(super) fn source(&self, filters: &Filters) -> Source {
        let mut filtered = filters.dimensions().filter(|dimension| *dimension != EVENT_NAME);
        let (filtered, has_more) = (filtered.next(), filtered.next().is_some());
        let is_in_rollup = |rows: &Rows| {
            let by = filtered.unwrap_or_default();
            let is_crossed = !by.is_empty() && !rows.dimension.is_empty() && by != rows.dimension;
            let has_dimension = !by.is_empty() || !rows.dimension.is_empty();
            !(has_more || is_crossed || has_dimension && self.counts_sessions)
        };
        if self.rows().all(is_in_rollup) { Source::Rollup } else { Source::Events }
    }

    /// The statement for a query. Its filters are the parameters `filter_0`, `filter_1` … in their order.
    pub(super) fn expand(&self, expansion: &Expansion<'_>) -> Result<String, ExpansionError> {
        let mut sql = String::new();
        for part in &self.parts {
            match part {
                Part::Text(text) => sql.push_str(text),
                Part::Rows(rows) => {
                    check_dimension(&rows.dimension, expansion.properties)?;
                    sql.push_str(&rows.subquery(expansion)?);
                }
            }
        }
        Ok(sql)
    }
}

/// Checks that a breakdown or a filter by this dimension is possible.
pub(super) fn check_dimension(dimension: &str, properties: &Properties) -> Result<(), ExpansionError> {
    if dimension.is_empty() || properties.dimensions().any(|declared| declared == dimension) {
        return Ok(());
    }
    let available: Vec<&str> = std::iter::once(EVENT_NAME).chain(properties.dimensions()).collect();
    Err(ExpansionError::UnknownDimension {
        dimension: super::abbreviate(dimension),
        available: available.join(", "),
    })
}

/// The events that have a dimension. Empty: all.
pub(crate) fn events_of<'a>(dimension: &str, properties: &'a Properties) -> &'a [String] {
    if EVENT_DIMENSIONS.contains(&dimension) {
        return &[];
    }
    properties.iter().find(|property| property.name == dimension).map_or(&[], |property| &property.events)
}

/// Each template with its arguments, for messages.
const TEMPLATES: [(&str, &str); 5] = [
    (
        "series",
        "an event, or a list of events, and optionally a dimension, such as {{series('page_view', 'country_code')}}",
    ),
    (
        "total",
        "an event, or a list of events, and optionally a dimension, such as {{total('page_view', 'page_url')}}",
    ),
    (
        "window",
        "an event, or a list of events, and a number of minutes or a parameter, such as {{window('page_view', window_minutes)}}",
    ),
    (
        "span",
        "an event, or a list of events, and two of range_start, range_end, hour_start, minute_start, minute_end, \
         week_ago_start and week_ago_minute, such as {{span('page_view', hour_start, minute_end)}}",
    ),
    ("distinct_count", "{{distinct_count(visitors)}} or {{distinct_count(sessions)}}"),
];

fn is_call(text: &str, name: &str) -> bool {
    text[2..].strip_prefix(name).is_some_and(|rest| rest.starts_with('('))
}

#[derive(Debug, PartialEq)]
enum Argument {
    Texts(Vec<String>),
    Name(String),
}

/// Quoted texts, lists of them, and names.
fn parse_arguments(text: &str) -> Option<Vec<Argument>> {
    let mut arguments = Vec::new();
    let mut rest = text.trim();
    loop {
        let argument;
        if let Some(list) = rest.strip_prefix('[') {
            let (items, after) = list.split_once(']')?;
            let texts: Option<Vec<String>> = items.split(',').map(|item| quoted(item.trim())).collect();
            (argument, rest) = (Argument::Texts(texts?), after);
        } else if let Some(quoted) = rest.strip_prefix('\'') {
            let (text, after) = quoted.split_once('\'')?;
            (argument, rest) = (Argument::Texts(vec![checked(text)?]), after);
        } else {
            let end = rest.find(',').unwrap_or(rest.len());
            let name = rest[..end].trim();
            let is_name = !name.is_empty()
                && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.'));
            (argument, rest) = (is_name.then(|| Argument::Name(name.to_owned()))?, &rest[end..]);
        }
        arguments.push(argument);
        rest = rest.trim_start();
        if rest.is_empty() {
            return Some(arguments);
        }
        rest = rest.strip_prefix(',')?.trim_start();
    }
}

fn quoted(text: &str) -> Option<String> {
    checked(text.strip_prefix('\'')?.strip_suffix('\'')?)
}

/// A text that needs no escapes in SQL.
fn checked(text: &str) -> Option<String> {
    let is_plain = |c: char| !c.is_control() && !matches!(c, '\'' | '\\' | '{' | '}');
    text.chars().all(is_plain).then(|| text.to_owned())
}

/// `visitors` or `sessions`, possibly qualified.
fn parse_set(arguments: &[Argument]) -> Option<&str> {
    match arguments {
        [Argument::Name(set)] => {
            let column = set.rsplit('.').next()?;
            matches!(column, "visitors" | "sessions").then_some(set.as_str())
        }
        _ => None,
    }
}

/// The expression of a distinct count: `visitors` or `sessions`, possibly qualified.
pub(crate) fn distinct_count(set: &str) -> String {
    let (table, column) = set.rsplit_once('.').map_or(("", set), |(table, column)| (table, column));
    let dot = if table.is_empty() { "" } else { "." };
    let (few, sampled) = (format!("{table}{dot}few_{column}"), format!("{table}{dot}sampled_{column}"));
    render(DISTINCT_COUNT, [("few", few.as_str()), ("set", set), ("sampled", sampled.as_str())])
}

fn parse_rows(name: &str, arguments: Vec<Argument>) -> Option<Rows> {
    let mut arguments = arguments.into_iter();
    let Some(Argument::Texts(events)) = arguments.next() else { return None };
    let rest: Vec<Argument> = arguments.collect();
    let (dimension, span) = match (name, rest.as_slice()) {
        ("series" | "total", dimension) => {
            let dimension = match dimension {
                [] => String::new(),
                [Argument::Texts(texts)] if texts.len() == 1 => texts[0].clone(),
                _ => return None,
            };
            let is_name = dimension.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_'));
            let span = if name == "series" { TemplateSpan::Series } else { TemplateSpan::Total };
            (is_name.then_some(dimension)?, span)
        }
        ("window", [Argument::Name(minutes)]) => (String::new(), TemplateSpan::Window(minutes.clone())),
        ("span", [Argument::Name(from), Argument::Name(to)])
            if MOMENTS.contains(&from.as_str()) && MOMENTS.contains(&to.as_str()) =>
        {
            (String::new(), TemplateSpan::Span(from.clone(), to.clone()))
        }
        _ => return None,
    };
    Some(Rows { events, dimension, span })
}

fn plain_words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_alphanumeric() && c != '_')
}

#[cfg(test)]
pub(super) mod tests {
    use jiff::tz::TimeZone;

    use super::super::buckets::BucketRequest;
    use super::super::query::MAX_EXACT_DISTINCT;
    use super::super::range::TimeRange;
    use super::*;

    pub(in crate::panels) fn filters(filters: &[(&str, &[&str])]) -> Filters {
        let owned = filters.iter().map(|(dimension, values)| {
            ((*dimension).to_owned(), values.iter().map(|value| (*value).to_owned()).collect())
        });
        Filters::parse(owned).unwrap()
    }

    pub(in crate::panels) fn expand(text: &str, filters: &Filters) -> (Source, String) {
        let statement = Statement::parse(text).unwrap();
        let source = statement.source(filters);
        let now = "2026-11-21T00:02:20Z".parse().unwrap();
        let range = BucketRequest::default();
        let buckets = Buckets::new(TimeRange::Today, range, &TimeZone::UTC, now).unwrap();
        let expansion = Expansion {
            source,
            filters,
            properties: &Properties::built_in(),
            buckets: &buckets,
            moment: &|name| if name == "minute_start" { 120 } else { 180 },
            parameter: &|name| (name == "minutes").then(|| "2".to_owned()),
        };
        (source, statement.expand(&expansion).unwrap())
    }

    #[test]
    fn the_rollup_has_the_answer_unless_two_dimensions_are_crossed() {
        let source =
            |text: &str, given: &[(&str, &[&str])]| Statement::parse(text).unwrap().source(&filters(given));
        let (country, browser) = (("country_code", &["DE"][..]), ("browser", &["Firefox"][..]));
        let event = ("event_name", &["page_view"][..]);
        let (plain, broken_down) = ("{{series('')}}", "{{series('page_view', 'country_code')}}");
        for filters in [&[][..], &[event], &[country], &[country, event]] {
            assert_eq!(source(plain, filters), Source::Rollup, "{filters:?}");
            assert_eq!(source(broken_down, filters), Source::Rollup, "{filters:?}");
        }
        assert_eq!(source(plain, &[country, browser]), Source::Events);
        assert_eq!(source(broken_down, &[browser]), Source::Events);
        assert_eq!(source(&format!("{plain} {broken_down}"), &[browser]), Source::Events);
        let sessions = "{{distinct_count(sessions)}} {{series('')}}";
        assert_eq!(source(sessions, &[event]), Source::Rollup);
        assert_eq!(source(sessions, &[country]), Source::Events);
        assert_eq!(source("{{distinct_count(sessions)}} {{series('', 'browser')}}", &[]), Source::Events);
    }

    #[test]
    fn a_distinct_count_merges_the_three_sets() {
        let (_, sql) = expand("SELECT {{distinct_count(t.visitors)}}", &Filters::default());
        assert!(sql.contains("uniqUpToMerge(100)(t.few_visitors) <= 100"), "{sql}");
        assert!(
            sql.contains("groupBitmapMerge(t.visitors)")
                && sql.contains("groupBitmapMerge(t.sampled_visitors)")
        );
        assert!(DISTINCT_COUNT.contains(&format!("<= {MAX_EXACT_DISTINCT},")));
        assert!(DISTINCT_COUNT.contains(&format!("greatest({},", MAX_EXACT_DISTINCT + 1)));
    }

    #[test]
    fn other_braces_stay() {
        for text in ["SELECT {limit:UInt16}", "SELECT format('{{{}}}', 'x')", "SELECT {{unknown(a, b)}} {{"] {
            assert_eq!(expand(text, &Filters::default()).1, text);
        }
    }

    #[test]
    fn invalid_arguments_are_reported_with_their_line() {
        for call in [
            "series(",
            "series()",
            "series(page_view)",
            "series('a', 'b', 'c')",
            "series('a', country_code)",
            "series('a', 'x y')",
            "series('a\\'b')",
            "total([])",
            "total(['a', b])",
            "window('a')",
            "window('a', 'b')",
            "span('a', yesterday, minute_end)",
            "distinct_count(people)",
            "distinct_count(visitors, sessions)",
        ] {
            let end = if call == "series(" { "" } else { "}}" };
            let error = Statement::parse(&format!("SELECT 1,\n  {{{{{call}{end}")).unwrap_err();
            assert_eq!(error.line, 2, "{call}");
            assert!(error.to_string().contains("such as {{") || error.name == "distinct_count", "{error}");
        }
    }

    #[test]
    fn an_undeclared_dimension_is_named() {
        let error = check_dimension("colour", &Properties::built_in()).unwrap_err().to_string();
        assert!(
            error.contains("\"colour\" is not declared; declared are event_name, country_code"),
            "{error}"
        );
    }
}

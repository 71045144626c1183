//! Insights, dashboards and annotations: what is valid, and how they are read from files and written to them.

use std::collections::BTreeMap;
use std::sync::Arc;

use prost::Message;
use prost_reflect::DynamicMessage;

use super::layout::Grid;
use super::yaml::{self, Node, Problem};
use super::{Library, read, write};
use crate::error::Error;
use crate::explore::request::Scope;
use crate::panels::abbreviate;
use crate::project::Project;
use crate::properties::Properties;
use crate::proto::json::descriptor;
use crate::proto::v1::{self, InsightChart};

/// The longest name.
const MAX_NAME_BYTES: usize = 64;
const MAX_TITLE_BYTES: usize = 200;
const MAX_DESCRIPTION_BYTES: usize = 2_000;
const MAX_ITEMS: usize = 100;

/// A message that is the content of a file.
pub(super) trait Document: Message + Default + Clone + PartialEq + 'static {
    /// The name of the message in the contracts.
    const MESSAGE: &'static str;
    /// The word for messages.
    const WORD: &'static str;
    /// The folder of its files.
    const FOLDER: &'static str;

    fn name(&self) -> &str;
    fn project(&self) -> &str;
    fn etag(&self) -> &str;
    /// Sets what is not in the file.
    fn set_origin(&mut self, name: &str, etag: &str, built_in: bool);
    /// Removes what the server sets and no file has.
    fn clear_computed(&mut self);
    /// Checks the contents.
    fn check(&self, scope: &Scope<'_>) -> Result<(), Invalid>;
    fn of(library: &Library) -> &BTreeMap<String, Arc<Self>>;
}

/// Why a document is not valid.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Invalid {
    /// The index of the item at fault.
    item: Option<usize>,
    message: String,
}

impl Invalid {
    fn new(message: impl Into<String>) -> Self {
        Self { item: None, message: message.into() }
    }

    /// The line that it is about: of the field that the message begins with, if there is one in the item or the query.
    fn line(&self, root: &Node) -> u32 {
        let query = ["trend", "funnel", "retention", "paths"].iter().find_map(|key| root.get(key));
        let node = match (self.item, root.get("items").map(|entry| &entry.value.value)) {
            (Some(index), Some(yaml::Value::List(nodes))) => nodes.get(index).unwrap_or(root),
            _ => root,
        };
        let field = self.message.split(':').next().unwrap_or_default().rsplit('.').next().unwrap_or_default();
        let field = node.find(field).map(|entry| entry.line);
        match (field, self.item, query) {
            (Some(line), _, _) => line,
            (None, None, Some(query)) => query.line,
            (None, _, _) => node.line,
        }
    }
}

impl From<Invalid> for Error {
    fn from(invalid: Invalid) -> Self {
        match invalid.item {
            Some(index) => Error::invalid(format!("items[{index}]: {}", invalid.message)),
            None => Error::invalid(invalid.message),
        }
    }
}

/// Checks the name of a file.
pub(super) fn check_name(name: &str) -> Result<(), String> {
    let is_valid = (1..=MAX_NAME_BYTES).contains(&name.len())
        && name.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-'));
    match is_valid {
        true => Ok(()),
        false => {
            let name = abbreviate(name);
            Err(format!(
                "name: {name:?} is invalid; expected 1 to {MAX_NAME_BYTES} of a-z, 0-9, \"_\" and \"-\""
            ))
        }
    }
}

/// Parses a file. What is not in the file is not set.
pub(super) fn parse<D: Document>(text: &str, properties: &Properties) -> Result<D, Problem> {
    parse_node(&yaml::parse(text)?, properties)
}

/// Parses the tree of a file.
pub(super) fn parse_node<D: Document>(root: &Node, properties: &Properties) -> Result<D, Problem> {
    let message = read::message(&descriptor(D::MESSAGE), root)?;
    let document: D = message.transcode_to().map_err(|error| Problem::new(1, error.to_string()))?;
    // Whether a query is valid does not depend on the project.
    let scope = Scope { project: &Project::default(), properties };
    document.check(&scope).map_err(|invalid| {
        let line = invalid.line(root);
        Problem::new(line, Error::from(invalid).message)
    })?;
    Ok(document)
}

/// The file of a valid document.
///
/// # Errors
/// The file would not be read as the same document: it has something that files cannot have.
pub(super) fn render<D: Document>(document: &D, properties: &Properties) -> Result<String, String> {
    let mut content = document.clone();
    content.set_origin("", "", false);
    content.clear_computed();
    let mut message = DynamicMessage::new(descriptor(D::MESSAGE));
    message.transcode_from(&content).map_err(|error| error.to_string())?;
    let text = write::file(&message);
    match parse::<D>(&text, properties) {
        Ok(read) if read == content => Ok(text),
        Ok(_) => Err("the file would be read differently".to_owned()),
        Err(problem) => Err(problem.message),
    }
}

fn check_head(title: &str, description: &str, project: &str) -> Result<(), Invalid> {
    if title.trim().is_empty() {
        return Err(Invalid::new("title: it is missing; add one for the heading"));
    }
    for (name, text, max) in
        [("title", title, MAX_TITLE_BYTES), ("description", description, MAX_DESCRIPTION_BYTES)]
    {
        if text.len() > max {
            let length = text.len();
            return Err(Invalid::new(format!("{name}: it has {length} bytes; the maximum is {max}")));
        }
    }
    match project.parse::<Project>() {
        Err(error) if !project.is_empty() => Err(Invalid::new(format!("project: {error}"))),
        _ => Ok(()),
    }
}

/// A query of an insight or of an item.
enum Query<'a> {
    Trend(&'a v1::QueryTrendRequest),
    Funnel(&'a v1::QueryFunnelRequest),
    Retention(&'a v1::QueryRetentionRequest),
    Paths(&'a v1::QueryPathsRequest),
}

impl Query<'_> {
    fn check(&self, scope: &Scope<'_>) -> Result<(), Invalid> {
        let checked = match *self {
            Self::Trend(query) => scope.trend(query.clone()).map(drop),
            Self::Funnel(query) => scope.funnel(query.clone()).map(drop),
            Self::Retention(query) => scope.retention(query.clone()).map(drop),
            Self::Paths(query) => scope.paths(query.clone()).map(drop),
        };
        checked.map_err(|error| Invalid::new(error.message))
    }

    fn check_chart(&self, chart: i32) -> Result<(), Invalid> {
        use InsightChart::{
            Area, Bar, Flow, HorizontalBar, Line, Number, Stacked, Steps, Table, TimeToConvert,
        };
        let (word, charts): (_, &[InsightChart]) = match self {
            Self::Trend(_) => ("a trend", &[Line, Area, Stacked, Bar, HorizontalBar, Number, Table]),
            Self::Funnel(_) => ("a funnel", &[Steps, Line, TimeToConvert, Number, Table]),
            Self::Retention(_) => ("a retention", &[Table, Line]),
            Self::Paths(_) => ("paths", &[Flow, Table]),
        };
        check_chart(word, charts, chart)
    }
}

fn check_chart(word: &str, charts: &[InsightChart], chart: i32) -> Result<(), Invalid> {
    let given = InsightChart::try_from(chart);
    if given.is_ok_and(|given| given == InsightChart::Unspecified || charts.contains(&given)) {
        return Ok(());
    }
    let short =
        |chart: &InsightChart| chart.as_str_name().trim_start_matches("INSIGHT_CHART_").to_lowercase();
    let given = given.map_or_else(|_| chart.to_string(), |given| short(&given));
    let charts: Vec<String> = charts.iter().map(short).collect();
    let expected = match charts.is_empty() {
        true => "none".to_owned(),
        false => charts.join(", "),
    };
    Err(Invalid::new(format!("chart: {given} is not a chart of {word}; expected {expected}")))
}

impl Document for v1::Insight {
    const MESSAGE: &'static str = "Insight";
    const WORD: &'static str = "insight";
    const FOLDER: &'static str = "insights";

    fn name(&self) -> &str {
        &self.name
    }

    fn project(&self) -> &str {
        &self.project
    }

    fn etag(&self) -> &str {
        &self.etag
    }

    fn set_origin(&mut self, name: &str, etag: &str, built_in: bool) {
        (self.name, self.etag, self.built_in) = (name.to_owned(), etag.to_owned(), built_in);
    }

    fn clear_computed(&mut self) {}

    fn check(&self, scope: &Scope<'_>) -> Result<(), Invalid> {
        use v1::insight::Query as Message;
        check_head(&self.title, &self.description, &self.project)?;
        let query = match &self.query {
            None => {
                return Err(Invalid::new(
                    "the query is missing; add one of trend, funnel, retention and paths",
                ));
            }
            Some(Message::Trend(query)) => Query::Trend(query),
            Some(Message::Funnel(query)) => Query::Funnel(query),
            Some(Message::Retention(query)) => Query::Retention(query),
            Some(Message::Paths(query)) => Query::Paths(query),
        };
        query.check_chart(self.chart)?;
        query.check(scope)
    }

    fn of(library: &Library) -> &BTreeMap<String, Arc<Self>> {
        &library.insights
    }
}

impl Document for v1::Dashboard {
    const MESSAGE: &'static str = "Dashboard";
    const WORD: &'static str = "dashboard";
    const FOLDER: &'static str = "dashboards";

    fn name(&self) -> &str {
        &self.name
    }

    fn project(&self) -> &str {
        &self.project
    }

    fn etag(&self) -> &str {
        &self.etag
    }

    fn set_origin(&mut self, name: &str, etag: &str, built_in: bool) {
        (self.name, self.etag, self.built_in) = (name.to_owned(), etag.to_owned(), built_in);
    }

    fn clear_computed(&mut self) {
        for item in &mut self.items {
            (item.placement, item.error) = (None, String::new());
        }
    }

    fn check(&self, scope: &Scope<'_>) -> Result<(), Invalid> {
        check_head(&self.title, &self.description, &self.project)?;
        if let Some(range) = &self.range {
            // The range of a query, as the one part of it.
            let event = v1::TrendSeries::default();
            let query = v1::QueryTrendRequest {
                series: vec![event],
                range: Some(range.clone()),
                ..Default::default()
            };
            Query::Trend(&query).check(scope).map_err(|Invalid { message, .. }| {
                match message.starts_with("range") {
                    true => Invalid::new(message),
                    false => Invalid::new(format!("range: {message}")),
                }
            })?;
        }
        if self.items.len() > MAX_ITEMS {
            let given = self.items.len();
            return Err(Invalid::new(format!("items: {given} are given; the maximum is {MAX_ITEMS}")));
        }
        let mut grid = Grid::default();
        for (index, item) in self.items.iter().enumerate() {
            let of_item = |invalid: Invalid| Invalid { item: Some(index), ..invalid };
            check_item(item, scope).map_err(of_item)?;
            if let Some(layout) = item.layout {
                grid.take(layout).map_err(|message| of_item(Invalid::new(message)))?;
            }
        }
        Ok(())
    }

    fn of(library: &Library) -> &BTreeMap<String, Arc<Self>> {
        &library.dashboards
    }
}

impl Document for v1::Annotation {
    const MESSAGE: &'static str = "Annotation";
    const WORD: &'static str = "annotation";
    const FOLDER: &'static str = "annotations";

    fn name(&self) -> &str {
        &self.name
    }

    fn project(&self) -> &str {
        &self.project
    }

    fn etag(&self) -> &str {
        &self.etag
    }

    /// None is built in.
    fn set_origin(&mut self, name: &str, etag: &str, _built_in: bool) {
        (self.name, self.etag) = (name.to_owned(), etag.to_owned());
    }

    fn clear_computed(&mut self) {}

    fn check(&self, _: &Scope<'_>) -> Result<(), Invalid> {
        check_head(&self.title, &self.description, &self.project)?;
        if self.at.is_none() {
            return Err(Invalid::new(
                "at: it is missing; add when it happened, such as 2026-11-22T09:30:00Z",
            ));
        }
        Ok(())
    }

    fn of(library: &Library) -> &BTreeMap<String, Arc<Self>> {
        &library.annotations
    }
}

fn check_item(item: &v1::DashboardItem, scope: &Scope<'_>) -> Result<(), Invalid> {
    use v1::dashboard_item::Content;
    if item.title.len() > MAX_TITLE_BYTES {
        let length = item.title.len();
        return Err(Invalid::new(format!("title: it has {length} bytes; the maximum is {MAX_TITLE_BYTES}")));
    }
    let query = match &item.content {
        None => {
            return Err(Invalid::new(
                "the content is missing; add one of panel, insight, trend, funnel, retention and paths",
            ));
        }
        Some(Content::Panel(name)) if name.is_empty() => {
            return Err(Invalid::new("panel: the name is empty"));
        }
        Some(Content::Panel(_)) => return check_chart("a panel, which has its own", &[], item.chart),
        // The insight may be made later, so its charts are not known.
        Some(Content::Insight(name)) => {
            return check_name(name).map_err(|message| Invalid::new(message.replacen("name", "insight", 1)));
        }
        Some(Content::Trend(query)) => Query::Trend(query),
        Some(Content::Funnel(query)) => Query::Funnel(query),
        Some(Content::Retention(query)) => Query::Retention(query),
        Some(Content::Paths(query)) => Query::Paths(query),
    };
    if item.title.trim().is_empty() {
        return Err(Invalid::new("title: it is missing; a query needs one for its heading"));
    }
    query.check_chart(item.chart)?;
    query.check(scope)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn insight(text: &str) -> Result<v1::Insight, Problem> {
        parse(text, &Properties::built_in())
    }

    fn dashboard(text: &str) -> Result<v1::Dashboard, Problem> {
        parse(text, &Properties::built_in())
    }

    const INSIGHT: &str = r#"title: Revenue per visitor
description: "Only paid plans: \"pro\" and above"
project: shop
chart: area
trend:
  series:
    - event_name: purchase
      aggregation: sum
      property: amount
    - event_name: page_view
      aggregation: visitors
  filter:
    all:
      - field:
          field: plan
          operator: is_not
          values: ["null", free, "on"]
      - not:
          did:
            event_name: refund
            within: 14d
            times: 2
  range:
    time_range: 7d
    time_zone: Europe/Madrid
  bucket: 6_hours
  compare: previous_period
  formula: A / B
  breakdown: [country_code]
  limit: 5
"#;

    #[test]
    fn a_file_is_the_message_of_the_request_and_is_written_as_it_was() {
        let insight = insight(INSIGHT).unwrap();
        let Some(v1::insight::Query::Trend(trend)) = &insight.query else { panic!("{insight:?}") };
        assert_eq!(trend.series[0].aggregation(), v1::Aggregation::Sum);
        assert_eq!(
            (trend.bucket(), trend.compare()),
            (v1::Bucket::Bucket6Hours, v1::Compare::PreviousPeriod)
        );
        assert_eq!(trend.range.as_ref().unwrap().time_range(), v1::TimeRange::TimeRange7d);
        assert_eq!(insight.chart(), InsightChart::Area);
        assert_eq!(render(&insight, &Properties::built_in()).unwrap(), INSIGHT);
    }

    #[test]
    fn long_and_short_forms_are_the_same() {
        let long = "title: x\nfunnel:\n  steps: [{event_name: a}, {event_name: b, filter: {any: {filters: \
                    [{field: {field: plan, operator: FIELD_OPERATOR_IS, values: [pro]}}]}}}]\n  window: 604800s\n  \
                    order: FUNNEL_ORDER_STRICT";
        let short = "title: x\nfunnel:\n  steps:\n  - event_name: a\n  - event_name: b\n    filter:\n      any:\n      - \
                     field: {field: plan, operator: is, values: pro}\n  window: 7d\n  order: strict";
        assert_eq!(insight(long).unwrap(), insight(short).unwrap());
    }

    #[test]
    fn what_is_wrong_is_named_with_its_line() {
        for (text, line, part) in [
            (
                "title: x\ntrend:\n  serie: []",
                3,
                "\"serie\" is not a field here; expected one of series, filter",
            ),
            ("title: x\nname: y\ntrend: {}", 2, "\"name\" is not a field here"),
            ("title: x", 1, "the query is missing"),
            ("trend:\n  series: [{}]", 1, "title: it is missing"),
            ("title: x\ntrend: {series: [{}]}\nfunnel: {}", 3, "there is trend already"),
            ("title: x\ntrend:\n  limit: 5\n  series: []", 4, "series: 0 are given"),
            ("title: x\ntrend:\n  series: [{}]\n  formula: \"A +\"", 4, "formula"),
            (
                "title: x\ntrend:\n  series: [{}]\n  limit: many",
                4,
                "limit: expected a whole number from 0 on, not \"many\"",
            ),
            (
                "title: x\ntrend:\n  series:\n  - aggregation: median",
                4,
                "aggregation: expected one of events, visitors",
            ),
            (
                "title: x\ntrend:\n  series: [{}]\n  filter:\n    field: {field: plan, operator: equals, values: [a]}",
                5,
                "operator: expected one of is, is_not",
            ),
            (
                "title: x\nchart: flow\ntrend:\n  series: [{}]",
                2,
                "flow is not a chart of a trend; expected line, area",
            ),
            ("title: x\nfunnel:\n  window: soon", 3, "window: expected a duration such as 30m"),
            ("title: x\nproject: Shop\ntrend:\n  series: [{}]", 2, "project: \"Shop\" is not a project"),
            ("title: x\nretention:\n  start: {}", 2, "return: it is missing"),
            ("title: [x]", 1, "title: expected a single value, not a list"),
            ("- x", 1, "expected a mapping of title, description"),
        ] {
            let problem = insight(text).unwrap_err();
            assert!(problem.line == line && problem.message.contains(part), "{text}\n{problem}");
        }
        for (text, line, part) in [
            ("title: x\nitems:\n- panel: a\n  insight: b", 4, "there is panel already"),
            ("title: x\nitems:\n- panel: a\n- title: y", 4, "items[1]: the content is missing"),
            ("title: x\nitems:\n- panel: a\n  chart: line", 4, "a panel, which has its own"),
            ("title: x\nitems:\n- insight: ../a", 3, "items[0]: insight: \"../a\" is invalid"),
            ("title: x\nitems:\n- trend:\n    series: [{}]", 3, "title: it is missing; a query needs one"),
            ("title: x\nitems:\n- title: y\n  trend:\n    series: []", 5, "items[0]: series: 0 are given"),
            (
                "title: x\nitems:\n- panel: a\n  layout: {x: 1, width: 12, height: 1}",
                4,
                "a width of 12 needs 0 to 0",
            ),
            (
                "title: x\nitems:\n- panel: a\n  layout: {width: 6, height: 2}\n- panel: b\n  layout: {x: 5, y: 1, width: 1, \
                 height: 1}",
                6,
                "items[1]: layout: it overlaps",
            ),
            ("title: x\nrange:\n  time_zone: Mars", 2, "range: "),
            ("title: x\nitems:\n- panel: a\n  placement: {}", 4, "\"placement\" is not a field"),
        ] {
            let problem = dashboard(text).unwrap_err();
            assert!(problem.line == line && problem.message.contains(part), "{text}\n{problem}");
        }
        let many = format!("title: x\nitems:\n{}", "- panel: a\n".repeat(101));
        assert!(dashboard(&many).unwrap_err().message.contains("101 are given; the maximum is 100"));
    }

    #[test]
    fn the_examples_of_the_documentation_are_valid() {
        let text = include_str!("../../docs/insights.md");
        let examples: Vec<&str> =
            text.split("```yaml\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect();
        assert_eq!(examples.len(), 6);
        for example in examples {
            let properties = Properties::built_in();
            if example.contains("\nitems:") {
                render(&dashboard(example).unwrap(), &properties).map(drop).unwrap();
            } else if example.contains("\nat: ") {
                let annotation: v1::Annotation = parse(example, &properties).unwrap();
                render(&annotation, &properties).map(drop).unwrap();
            } else {
                render(&insight(example).unwrap(), &properties).map(drop).unwrap();
            }
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_as_it_was_written(title in "\\PC{1,20}", description in any::<String>(), value in any::<String>()) {
            let values = vec![format!("{value}."), "null".into(), "~".into(), "1".into(), " x".into(), "- a".into()];
            let field = v1::FieldCondition { field: "plan".into(), operator: 0, values };
            let condition = Some(v1::event_filter::Condition::Field(field));
            let trend = v1::QueryTrendRequest {
                series: vec![v1::TrendSeries::default()],
                filter: Some(v1::EventFilter { condition }),
                ..Default::default()
            };
            let query = Some(v1::insight::Query::Trend(trend));
            let insight = v1::Insight { title: format!("t{title}"), description, query, ..Default::default() };
            let properties = Properties::built_in();
            let scope = Scope { project: &Project::default(), properties: &properties };
            prop_assume!(insight.check(&scope).is_ok());
            prop_assert!(render(&insight, &properties).is_ok(), "{:?}", render(&insight, &properties));
        }
    }
}

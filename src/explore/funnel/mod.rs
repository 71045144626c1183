//! Funnels: how many go from step to step. ClickHouse sorts the events by visitor; [`matching`] decides for each of them, and
//! [`result`] adds up.

pub(crate) mod matching;
pub(crate) mod result;

use jiff::Timestamp;

use super::error::ExploreError;
use super::rows::{Rows, SESSION, Selection, Span, VISITOR, VISITOR_ID, in_names};
use super::runner::{Cost, Execution, Statement};
use super::stream::Row;
use super::time::{QueryTime, TimeFrame};
use super::trend::NONE;
use crate::filter::sql::{Params, condition, text};
use crate::filter::{Field, Filter};
use crate::panels::PanelSources;
use crate::panels::query::ResultContext;
use crate::panels::template::Source;
use crate::project::Project;
use matching::{Chain, Event, Exclusion, Order, Rules};
use result::{Figures, Shape, Totals};

/// The label of the values beyond the limit.
const OTHER: &str = "(other)";

/// Events of a visitor that are considered; further ones are left out, so that one of millions, a robot, does not cost memory.
const MAX_EVENTS: usize = 10_000;

/// A funnel with all that its result depends on. Validated.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct FunnelQuery {
    pub(crate) project: Project,
    /// 2 to 10.
    pub(crate) steps: Vec<Step>,
    pub(crate) window_seconds: i64,
    pub(crate) order: Order,
    pub(crate) exclusions: Vec<(Step, Exclusion)>,
    pub(crate) group_by: GroupBy,
    pub(crate) breakdown: Option<Field>,
    pub(crate) attribution: Attribution,
    pub(crate) limit: usize,
    pub(crate) time: QueryTime,
}

/// An event that is a step, or an exclusion.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Step {
    /// Empty for any event.
    pub(crate) event_name: String,
    pub(crate) filter: Filter,
}

/// What goes through the funnel.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum GroupBy {
    Visitor,
    Session,
    Field(Field),
}

/// Which event's value of the breakdown counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Attribution {
    First,
    Last,
    /// From 0.
    Step(usize),
}

/// The result of a funnel.
#[derive(Clone, Debug)]
pub(crate) struct FunnelResult {
    pub(crate) overall: Figures,
    pub(crate) breakdown: Vec<(String, Figures)>,
    /// The starts of the buckets of entries, in seconds since 1970 UTC.
    pub(crate) buckets: Vec<i64>,
    /// Visitors with more than [`MAX_EVENTS`].
    pub(crate) truncated: u64,
    pub(crate) context: ResultContext,
    pub(crate) cost: Cost,
}

impl Step {
    /// The condition that a row of a subquery with the columns of `events` is this step.
    pub(super) fn condition(&self, rows: &Rows<'_>, params: &mut Params) -> String {
        let mut conditions = Vec::new();
        if !self.event_name.is_empty() {
            conditions.push(in_names(&[&self.event_name], params));
        }
        if !self.filter.is_empty() {
            conditions.push(condition(&self.filter, params, &|did, params| rows.did(did, params)));
        }
        if conditions.is_empty() { "1".to_owned() } else { conditions.join(" AND ") }
    }
}

/// The names of all events that are one of these; none if any event can be.
pub(super) fn names_of<'a>(steps: impl IntoIterator<Item = &'a Step>) -> Vec<&'a str> {
    let names: Option<Vec<&str>> =
        steps.into_iter().map(|step| Some(&*step.event_name).filter(|name| !name.is_empty())).collect();
    names.unwrap_or_default()
}

impl GroupBy {
    /// The key of a group, a number; 0 for events without one. And its id.
    fn key(&self, params: &mut Params) -> (String, String, bool) {
        match self {
            Self::Visitor => (VISITOR.to_owned(), VISITOR_ID.to_owned(), true),
            Self::Session => (SESSION.to_owned(), "events.session_id".to_owned(), false),
            Self::Field(field) => {
                let text = text(field, params);
                (format!("if({text} = '', 0, xxh3(toString({text})))"), format!("toString({text})"), false)
            }
        }
    }
}

impl FunnelQuery {
    fn rules(&self, frame: &TimeFrame) -> Rules {
        Rules {
            steps: self.steps.len(),
            order: self.order,
            window_ms: self.window_seconds * 1_000,
            entry_start: frame.buckets.starts[0] * 1_000,
            entry_end: frame.buckets.end * 1_000,
            exclusions: self.exclusions.iter().map(|(_, exclusion)| *exclusion).collect(),
        }
    }

    /// The statement whose rows are events, sorted by group. `with_ids` adds the ids of groups.
    fn statement(&self, frame: &TimeFrame, with_ids: bool) -> Statement {
        let mut params = Params::default();
        let span = Span { end: frame.buckets.end + self.window_seconds, ..frame.span() };
        let events = self.steps.iter().chain(self.exclusions.iter().map(|(step, _)| step));
        // Any other event can be between two steps in strict order.
        let event_names = match self.order {
            Order::Strict => Vec::new(),
            Order::Sequential | Order::Any => names_of(events.clone()),
        };
        let all = Filter::default();
        let rows = Rows { event_names, filter: &all, span, did_span: span };
        let bits: Vec<String> = events
            .enumerate()
            .map(|(bit, step)| format!("if({}, {}, 0)", step.condition(&rows, &mut params), 1_u32 << bit))
            .collect();
        let has_did = self.steps.iter().chain(self.exclusions.iter().map(|(step, _)| step));
        let has_did = has_did.clone().any(|step| step.filter.has_did());
        let (key, id, has_visitor) = self.group_by.key(&mut params);
        let mut columns = vec![
            (key, "group_key"),
            ("toUnixTimestamp64Milli(events.timestamp)".to_owned(), "time"),
            (format!("toUInt32({})", bits.join(" + ")), "matches"),
        ];
        if let Some(breakdown) = &self.breakdown {
            columns.push((format!("toString({})", text(breakdown, &mut params)), "value"));
        }
        if with_ids {
            columns.push((id, "id"));
        }
        let scan = Some(rows.scan(&mut params));
        let rows = rows.select(&Selection { columns, has_visitor: has_visitor || has_did }, &mut params);
        let is_relevant = match self.order {
            Order::Strict => "",
            Order::Sequential | Order::Any => " AND matches != 0",
        };
        let value = if self.breakdown.is_some() { ", value" } else { "" };
        let id = if with_ids { ", id" } else { "" };
        let sql = format!(
            "SELECT group_key, time, matches{value}{id} FROM ({rows}) WHERE group_key != 0{is_relevant} ORDER BY group_key, time"
        );
        Statement { sql, params, scan }
    }

    /// The value of the breakdown that counts for a chain. `None` if it does not reach the step.
    fn attributed<'a>(&self, chain: &Chain, values: &'a [String]) -> Option<&'a str> {
        let event = match self.attribution {
            Attribution::First => chain.first(),
            Attribution::Last => chain.last(),
            Attribution::Step(step) => chain.get(step),
        }?;
        let value = &*values[event.index];
        Some(if value.is_empty() { NONE } else { value })
    }

    /// Calls `found` with the chain of each group, the value of the breakdown, and the group's id. Returns how many groups had too
    /// many events.
    pub(super) async fn for_each_chain(
        &self,
        frame: &TimeFrame,
        with_ids: bool,
        execution: &mut Execution<'_>,
        mut found: impl FnMut(&Chain, Option<&str>, &str),
    ) -> Result<u64, ExploreError> {
        let rules = self.rules(frame);
        let has_value = self.breakdown.is_some();
        let mut truncated = 0;
        let add = |group: &mut Group, row: &Row<'_>| group.push(row, has_value, with_ids);
        let finish = |group: &mut Group| {
            truncated += u64::from(group.is_truncated);
            if let Some(chain) = rules.chain(&mut group.events) {
                let value = if has_value { self.attributed(&chain, &group.values) } else { None };
                found(&chain, value, &group.id);
            }
            group.clear();
        };
        let texts = usize::from(has_value) + usize::from(with_ids);
        execution.for_each_group(&self.statement(frame, with_ids), texts, add, finish).await?;
        Ok(truncated)
    }

    /// Computes the funnel.
    pub(super) async fn execute(
        &self,
        sources: &PanelSources,
        execution: &mut Execution<'_>,
    ) -> Result<FunnelResult, ExploreError> {
        let frame = self.time.resolve(sources, Source::Events, Timestamp::now())?;
        let mut totals = Totals::new(Shape {
            steps: self.steps.len(),
            window_ms: self.window_seconds * 1_000,
            buckets: frame.buckets.starts.clone(),
            now: frame.now.as_millisecond(),
        });
        let truncated = self
            .for_each_chain(&frame, false, execution, |chain, value, _| {
                totals.add(chain);
                if let Some(value) = value {
                    totals.add_to(value, chain);
                }
            })
            .await?;
        let (overall, breakdown) = totals.top(self.limit, OTHER);
        Ok(FunnelResult {
            overall,
            breakdown,
            buckets: frame.buckets.starts.clone(),
            truncated,
            context: frame.context(Source::Events, false),
            cost: execution.cost,
        })
    }
}

/// The events of one group.
#[derive(Default)]
struct Group {
    id: String,
    events: Vec<Event>,
    values: Vec<String>,
    is_truncated: bool,
}

impl Group {
    fn clear(&mut self) {
        self.id.clear();
        self.events.clear();
        self.values.clear();
        self.is_truncated = false;
    }

    fn push(&mut self, row: &Row<'_>, has_value: bool, with_id: bool) {
        if self.events.len() == MAX_EVENTS {
            self.is_truncated = true;
            return;
        }
        if with_id && self.events.is_empty() {
            self.id.push_str(row.texts[row.text_count - 1]);
        }
        self.events.push(Event { time: row.time, matches: row.matches, index: self.events.len() });
        if has_value {
            self.values.push(row.texts[0].to_owned());
        }
    }
}

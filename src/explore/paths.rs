//! Paths: what visitors do before or after an event. ClickHouse sorts the steps by visitor; the transitions are counted here, in
//! bounded memory.

use std::collections::HashMap;

use jiff::Timestamp;
use regex::Regex;

use super::error::ExploreError;
use super::funnel::Step;
use super::rows::{Rows, Selection, VISITOR};
use super::runner::{Cost, Execution, Statement};
use super::stream::Row;
use super::time::{QueryTime, TimeFrame};
use super::trend::NONE;
use crate::filter::sql::{Params, text};
use crate::filter::{Field, Filter, pattern};
use crate::panels::PanelSources;
use crate::panels::query::ResultContext;
use crate::panels::template::Source;
use crate::project::Project;

/// A pause of this length ends a visit.
const VISIT_PAUSE_MS: i64 = 30 * 60 * 1_000;
/// Steps of a visitor that are considered, so that a robot does not cost memory.
const MAX_VISITOR_STEPS: usize = 10_000;
/// Names of steps that are told apart.
const MAX_NAMES: usize = 50_000;
/// Transitions that are counted apart.
const MAX_TRANSITIONS: usize = 500_000;
/// What is beyond these limits.
const OTHER: &str = "(other)";

/// Paths with all that their result depends on. Validated.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct PathsQuery {
    pub(crate) project: Project,
    /// Where paths begin, or end.
    pub(crate) anchor: Option<Step>,
    pub(crate) is_before: bool,
    /// Empty for all.
    pub(crate) event_names: Vec<String>,
    pub(crate) filter: Filter,
    /// Whose value names a step; the event's name without one.
    pub(crate) field: Option<Field>,
    /// Patterns with the names that replace what they match; an empty one leaves the step out.
    pub(crate) rules: Vec<(String, String)>,
    pub(crate) steps: usize,
    pub(crate) limit: usize,
    pub(crate) time: QueryTime,
}

/// The result of a paths query.
#[derive(Clone, Debug)]
pub(crate) struct PathsResult {
    pub(crate) transitions: Vec<Transition>,
    pub(crate) paths: u64,
    /// Visitors with more than [`MAX_VISITOR_STEPS`].
    pub(crate) truncated: u64,
    pub(crate) context: ResultContext,
    pub(crate) cost: Cost,
}

/// How often one step follows another.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Transition {
    /// From 1.
    pub(crate) step: usize,
    pub(crate) from: String,
    /// Empty for the end of a visit.
    pub(crate) to: String,
    pub(crate) count: u64,
    pub(crate) average_ms: f64,
}

const IS_STEP: u32 = 1;
const IS_ANCHOR: u32 = 2;

/// The index of a name in [`Names`].
type NameId = u32;

/// The names of steps, after the rules.
struct Names {
    rules: Vec<(Regex, String)>,
    /// By the name before the rules.
    ids: HashMap<String, Option<NameId>>,
    /// By the name after the rules.
    known: HashMap<String, NameId>,
    names: Vec<String>,
}

const OTHER_ID: NameId = 0;

impl Names {
    fn new(rules: &[(String, String)]) -> Self {
        let compiled = rules.iter().filter_map(|(text, name)| Some((pattern(text).ok()?, name.clone())));
        Self {
            rules: compiled.collect(),
            ids: HashMap::new(),
            known: HashMap::from([(OTHER.to_owned(), OTHER_ID)]),
            names: vec![OTHER.to_owned()],
        }
    }

    /// The name that a step has. `None` if it is left out.
    fn id(&mut self, name: &str) -> Option<NameId> {
        if let Some(id) = self.ids.get(name) {
            return *id;
        }
        if self.ids.len() == MAX_NAMES {
            return Some(OTHER_ID);
        }
        let cleaned = self.rules.iter().find(|(pattern, _)| pattern.is_match(name));
        let cleaned = cleaned.map_or(name, |(_, cleaned)| cleaned);
        let id = if cleaned.is_empty() {
            None
        } else {
            let next = NameId::try_from(self.names.len()).expect("at most MAX_NAMES");
            let id = *self.known.entry(cleaned.to_owned()).or_insert(next);
            if id == next {
                self.names.push(cleaned.to_owned());
            }
            Some(id)
        };
        self.ids.insert(name.to_owned(), id);
        id
    }
}

/// A step of a visit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct VisitStep {
    time: i64,
    name: NameId,
    is_anchor: bool,
}

/// The steps of one visitor.
#[derive(Default)]
struct Visitor {
    steps: Vec<VisitStep>,
    is_truncated: bool,
}

/// Counts the transitions of visits.
struct Counter {
    steps: usize,
    is_before: bool,
    has_anchor: bool,
    paths: u64,
    /// By step, from and to (`None` for the end of the visit): how often, and the sum of the times between.
    transitions: HashMap<(usize, NameId, Option<NameId>), (u64, i64)>,
}

impl Counter {
    fn new(query: &PathsQuery) -> Self {
        Self {
            steps: query.steps,
            is_before: query.is_before,
            has_anchor: query.anchor.is_some(),
            paths: 0,
            transitions: HashMap::new(),
        }
    }

    /// Adds the steps of a visitor, by time.
    fn add(&mut self, steps: &[VisitStep]) {
        for visit in steps.chunk_by(|a, b| b.time - a.time < VISIT_PAUSE_MS) {
            self.add_visit(visit);
        }
    }

    fn add_visit(&mut self, visit: &[VisitStep]) {
        let is_start = |step: &VisitStep| step.is_anchor || !self.has_anchor;
        let part = if self.is_before {
            visit.iter().rposition(is_start).map(|end| &visit[..=end])
        } else {
            visit.iter().position(is_start).map(|start| &visit[start..])
        };
        let Some(part) = part else { return };
        let mut path = part.to_vec();
        // Repetitions are one step, which has the time of the first one.
        path.dedup_by_key(|step| step.name);
        if self.is_before {
            path.reverse();
        }
        self.paths += 1;
        for index in 0..self.steps.min(path.len()) {
            let from = path[index];
            let to = path.get(index + 1);
            let mut key = (index + 1, from.name, to.map(|to| to.name));
            if self.transitions.len() == MAX_TRANSITIONS && !self.transitions.contains_key(&key) {
                key = (index + 1, OTHER_ID, Some(OTHER_ID));
            }
            let (count, time) = self.transitions.entry(key).or_default();
            *count += 1;
            *time += to.map_or(0, |to| (to.time - from.time).abs());
        }
    }

    /// The most frequent transitions of each step; the others together.
    fn top(self, limit: usize, names: &Names) -> Vec<Transition> {
        let name = |id: NameId| names.names[id as usize].clone();
        let mut all: Vec<Transition> = self
            .transitions
            .into_iter()
            .map(|((step, from, to), (count, time))| Transition {
                step,
                from: name(from),
                to: to.map_or_else(String::new, name),
                count,
                average_ms: time as f64 / count as f64,
            })
            .collect();
        all.sort_by(|a, b| {
            (a.step, std::cmp::Reverse(a.count), &a.from, &a.to).cmp(&(
                b.step,
                std::cmp::Reverse(b.count),
                &b.from,
                &b.to,
            ))
        });
        let mut listed = Vec::new();
        for step in all.chunk_by(|a, b| a.step == b.step) {
            let (top, rest) = step.split_at(limit.min(step.len()));
            listed.extend_from_slice(top);
            let count: u64 = rest.iter().map(|transition| transition.count).sum();
            if count > 0 {
                let time: f64 =
                    rest.iter().map(|transition| transition.average_ms * transition.count as f64).sum();
                listed.push(Transition {
                    step: step[0].step,
                    from: OTHER.to_owned(),
                    to: OTHER.to_owned(),
                    count,
                    average_ms: time / count as f64,
                });
            }
        }
        listed
    }
}

impl PathsQuery {
    /// The statement whose rows are steps, sorted by visitor.
    fn statement(&self, frame: &TimeFrame) -> Statement {
        let mut params = Params::default();
        let all = Filter::default();
        let anchor_name = self.anchor.as_ref().map(|anchor| &*anchor.event_name);
        let mut event_names: Vec<&str> = self.event_names.iter().map(String::as_str).collect();
        if !event_names.is_empty() {
            match anchor_name {
                Some("") => event_names.clear(),
                name => event_names.extend(name),
            }
        }
        let rows = Rows { event_names, filter: &all, span: frame.span(), did_span: frame.span() };
        let step = Step { event_name: String::new(), filter: self.filter.clone() };
        let mut is_step = step.condition(&rows, &mut params);
        if !self.event_names.is_empty() {
            let names: Vec<&str> = self.event_names.iter().map(String::as_str).collect();
            is_step = format!("{is_step} AND {}", super::rows::in_names(&names, &mut params));
        }
        let is_anchor = match &self.anchor {
            Some(anchor) => anchor.condition(&rows, &mut params),
            None => "0".to_owned(),
        };
        let name = match &self.field {
            Some(field) => {
                let text = text(field, &mut params);
                format!("if({text} = '', '{NONE}', toString({text}))")
            }
            None => "toString(events.event_name)".to_owned(),
        };
        let columns = vec![
            (VISITOR.to_owned(), "visitor"),
            ("toUnixTimestamp64Milli(events.timestamp)".to_owned(), "time"),
            (format!("toUInt32(if({is_step}, {IS_STEP}, 0) + if({is_anchor}, {IS_ANCHOR}, 0))"), "matches"),
            (name, "name"),
        ];
        let scan = Some(rows.scan(&mut params));
        let rows = rows.select(&Selection { columns, has_visitor: true }, &mut params);
        let sql = format!(
            "SELECT visitor, time, matches, name FROM ({rows}) WHERE visitor != 0 AND matches != 0 ORDER BY visitor, time"
        );
        Statement { sql, params, scan }
    }

    /// Computes the paths.
    pub(super) async fn execute(
        &self,
        sources: &PanelSources,
        execution: &mut Execution<'_>,
    ) -> Result<PathsResult, ExploreError> {
        let frame = self.time.resolve(sources, Source::Events, Timestamp::now())?;
        let mut names = Names::new(&self.rules);
        let mut counter = Counter::new(self);
        let mut truncated = 0;
        let add = |visitor: &mut Visitor, row: &Row<'_>| {
            let Some(name) = names.id(row.texts[0]) else { return };
            if visitor.steps.len() == MAX_VISITOR_STEPS {
                visitor.is_truncated = true;
            } else {
                let is_anchor = row.matches & IS_ANCHOR != 0;
                visitor.steps.push(VisitStep { time: row.time, name, is_anchor });
            }
        };
        let finish = |visitor: &mut Visitor| {
            truncated += u64::from(visitor.is_truncated);
            // By name within a millisecond, so that equal data has equal paths.
            visitor.steps.sort_unstable_by_key(|step| (step.time, step.name));
            counter.add(&visitor.steps);
            visitor.steps.clear();
            visitor.is_truncated = false;
        };
        execution.for_each_group(&self.statement(&frame), 1, add, finish).await?;
        let paths = counter.paths;
        Ok(PathsResult {
            transitions: counter.top(self.limit, &names),
            paths,
            truncated,
            context: frame.context(Source::Events, false),
            cost: execution.cost,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counter(is_before: bool, has_anchor: bool) -> Counter {
        Counter { steps: 2, is_before, has_anchor, paths: 0, transitions: HashMap::new() }
    }

    /// Steps of one visitor: minute, name, whether it is the anchor.
    fn steps(list: &[(i64, NameId, bool)]) -> Vec<VisitStep> {
        list.iter()
            .map(|(minute, name, is_anchor)| VisitStep {
                time: minute * 60_000,
                name: *name,
                is_anchor: *is_anchor,
            })
            .collect()
    }

    fn transitions(counter: &Counter) -> Vec<(usize, NameId, Option<NameId>, u64)> {
        let mut all: Vec<_> = counter
            .transitions
            .iter()
            .map(|((step, from, to), (count, _))| (*step, *from, *to, *count))
            .collect();
        all.sort_unstable();
        all
    }

    #[test]
    fn a_pause_of_half_an_hour_ends_a_visit_and_repetitions_are_one_step() {
        let mut counter = counter(false, false);
        counter.add(&steps(&[(0, 1, false), (5, 1, false), (10, 2, false), (39, 3, false), (69, 1, false)]));
        assert_eq!(counter.paths, 2);
        assert_eq!(transitions(&counter), [(1, 1, None, 1), (1, 1, Some(2), 1), (2, 2, Some(3), 1)]);
        assert_eq!(counter.transitions[&(1, 1, Some(2))].1, 10 * 60_000);
    }

    #[test]
    fn paths_begin_at_the_first_anchor_or_lead_to_the_last_one() {
        let visit = steps(&[(0, 1, false), (1, 2, true), (2, 3, false), (3, 2, true), (4, 4, false)]);
        let mut after = counter(false, true);
        after.add(&visit);
        assert_eq!(transitions(&after), [(1, 2, Some(3), 1), (2, 3, Some(2), 1)]);
        let mut before = counter(true, true);
        before.add(&visit);
        assert_eq!(transitions(&before), [(1, 2, Some(3), 1), (2, 3, Some(2), 1)]);
        let mut without = counter(false, true);
        without.add(&steps(&[(0, 1, false)]));
        assert_eq!((without.paths, without.transitions.len()), (0, 0));
    }

    #[test]
    fn rules_give_steps_one_name_or_leave_them_out() {
        let rule = |pattern: &str, name: &str| (pattern.to_owned(), name.to_owned());
        let mut names = Names::new(&[rule("^/user/\\d+", "/user/:id"), rule("^/api/", "")]);
        let user = names.id("/user/1");
        assert_eq!((user, names.id("/user/2")), (names.id("/user/3"), user));
        assert_eq!(names.id("/api/x"), None);
        assert_ne!(names.id("/about"), user);
    }

    #[test]
    fn transitions_beyond_the_limit_are_counted_together() {
        let mut counter = counter(false, false);
        let mut names = Names::new(&[]);
        let ids: Vec<NameId> = ["a", "b", "c"].iter().filter_map(|name| names.id(name)).collect();
        for (name, visits) in [(ids[0], 3), (ids[1], 2), (ids[2], 1)] {
            for _ in 0..visits {
                counter.add(&steps(&[(0, name, false)]));
            }
        }
        let listed: Vec<(String, u64)> = counter
            .top(1, &names)
            .into_iter()
            .map(|transition| (transition.from, transition.count))
            .collect();
        assert_eq!(listed, [("a".to_owned(), 3), (OTHER.to_owned(), 3)]);
    }
}

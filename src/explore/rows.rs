//! The rows of `events` that a query reads, as a subquery.

use crate::filter::sql::{Param, Params, condition};
use crate::filter::{Did, Filter};
use crate::people::session_links_within;

/// What a statement reads.
#[derive(Clone, Debug)]
pub(crate) struct Rows<'a> {
    /// One of these names, if there are any; otherwise any event.
    pub(crate) event_names: Vec<&'a str>,
    /// Only events that pass.
    pub(crate) filter: &'a Filter,
    pub(crate) span: Span,
    /// The span that conditions on what a visitor did are about: that of the query, also in one of its buckets.
    pub(crate) did_span: Span,
}

/// A span of time, in seconds since 1970 UTC. The end is exclusive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) start: i64,
    pub(crate) end: i64,
}

impl Span {
    /// The condition that a time of `events` is in the span. The bounds have the type of the column: with others ClickHouse's
    /// index analysis skips rows of the last second.
    pub(super) fn condition(self) -> String {
        let Self { start, end } = self;
        format!(
            "events.timestamp >= toDateTime64({start}, 3, 'UTC') AND events.timestamp < toDateTime64({end}, 3, 'UTC')"
        )
    }
}

/// The hash of the visitor of an event, 0 without one: of the user, of the user that the session is linked to, or of the
/// session.
pub(super) const VISITOR: &str = "multiIf(isNotNull(events.user_id), xxh3(assumeNotNull(events.user_id)), link.user != 0, \
                                  link.user, events.session_id != '', xxh3(events.session_id), 0)";
/// The id of the same visitor; empty without one.
pub(super) const VISITOR_ID: &str = "multiIf(isNotNull(events.user_id), assumeNotNull(events.user_id), link.user_id != '', \
                                     link.user_id, events.session_id)";
/// The hash of the session of an event, 0 without one.
pub(super) const SESSION: &str = "if(events.session_id = '', 0, xxh3(events.session_id))";

/// What a subquery selects.
pub(super) struct Selection {
    /// Expressions with their aliases.
    pub(super) columns: Vec<(String, &'static str)>,
    /// Whether an expression is [`VISITOR`] or [`VISITOR_ID`].
    pub(super) has_visitor: bool,
}

impl Rows<'_> {
    /// The subquery without parentheses. The statement has the parameters `project` and `people_mark` besides `params`.
    pub(super) fn select(&self, selection: &Selection, params: &mut Params) -> String {
        let columns: Vec<String> =
            selection.columns.iter().map(|(expression, alias)| format!("{expression} AS {alias}")).collect();
        let has_visitor = selection.has_visitor || self.filter.has_did();
        format!(
            "SELECT {} FROM events{} WHERE {}",
            columns.join(", "),
            if has_visitor { self.join_links(params) } else { String::new() },
            self.condition(params)
        )
    }

    /// A statement that reads the same events without deciding anything about them, for an estimate.
    pub(super) fn scan(&self, params: &mut Params) -> String {
        format!("SELECT 1 FROM events WHERE {}", self.span_conditions(params).join(" AND "))
    }

    /// The condition that the rows have to meet.
    fn condition(&self, params: &mut Params) -> String {
        let mut conditions = self.span_conditions(params);
        if !self.filter.is_empty() {
            conditions.push(condition(self.filter, params, &|did, params| self.did(did, params)));
        }
        conditions.join(" AND ")
    }

    /// The conditions without the filter.
    fn span_conditions(&self, params: &mut Params) -> Vec<String> {
        let mut conditions = vec!["events.project = {project:String}".to_owned(), self.span.condition()];
        if !self.event_names.is_empty() {
            conditions.push(in_names(&self.event_names, params));
        }
        conditions
    }

    /// Joins the user of the session of an event, as `link.user`, a hash, and `link.user_id`.
    pub(crate) fn join_links(&self, params: &mut Params) -> String {
        let sessions = format!(
            "SELECT xxh3(events.session_id) FROM events WHERE {} AND isNull(events.user_id) AND events.session_id != ''",
            self.span_conditions(params).join(" AND ")
        );
        format!(
            " LEFT ANY JOIN (SELECT session, user_id, xxh3(user_id) AS user FROM {}) AS link \
             ON xxh3(events.session_id) = link.session",
            session_links_within(&sessions)
        )
    }

    /// The condition that the visitor of a row did something.
    pub(crate) fn did(&self, did: &Did, params: &mut Params) -> String {
        let Span { start, end } = self.did_span;
        let span = Span { start: did.within_seconds.map_or(start, |seconds| end - seconds), end };
        let rows = Rows {
            event_names: if did.event_name.is_empty() { Vec::new() } else { vec![&did.event_name] },
            filter: &did.filter,
            span,
            did_span: span,
        };
        let selection = Selection { columns: vec![(VISITOR.to_owned(), "visitor")], has_visitor: true };
        let did_rows = rows.select(&selection, params);
        let times = did.times;
        format!(
            "{VISITOR} IN (SELECT visitor FROM ({did_rows}) WHERE visitor != 0 GROUP BY visitor HAVING count() >= {times})"
        )
    }
}

/// The condition that an event has one of these names.
pub(super) fn in_names(names: &[&str], params: &mut Params) -> String {
    let mut names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    names.sort_unstable();
    names.dedup();
    format!("events.event_name IN {}", params.add(Param::Texts(names)))
}

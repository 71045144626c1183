//! People: who did the events. For every session its first user, for every person the first and last time, country and
//! device, the first time of each event, and the traits.
//!
//! Events are added to the tables of people (`queries/schema/0008_people.sql`) by a task that follows the writer ([`task`]), not
//! with each insert: an insert into a table costs about 10 ms of processor time, whatever its size, and a materialized view is
//! such an insert for each batch ([decision 0011](../../../docs/decisions/0011-people.md)).
//!
//! The mark tells which events were added: those of all batches with lower ids. The subqueries of [`PeopleTables`] combine the
//! tables with the events above the mark, so they are exact as soon as an event has landed. Only a replayed dead letter counts
//! a moment later: its events are added after they were inserted, before the letter is deleted.

pub(crate) mod grpc;
pub(crate) mod http;
mod query;
pub(crate) mod service;
pub(crate) mod task;

use tokio::sync::watch;
use uuid::Uuid;

use crate::clickhouse::template::render;
use crate::filter::sql::Params;
use crate::project::Project;

const SESSION_LINKS: &str = include_str!("../../queries/people/session_links.sql");
const SESSION_LINKS_WITHIN: &str = include_str!("../../queries/people/session_links_within.sql");
const PENDING_USERS: &str = include_str!("../../queries/people/pending_users.sql");
const FIRST_SEEN: &str = include_str!("../../queries/people/first_seen.sql");
const FIRST_EVENTS: &str = include_str!("../../queries/people/first_events.sql");

/// Up to where events were added to the tables of people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PeopleProgress {
    /// The events of batches with lower ids were added. Nil until the server has read it.
    pub(crate) mark: Uuid,
    /// Since when the tables have all events: a Monday. `None` without an older event that is missing.
    pub(crate) complete_since: Option<jiff::civil::Date>,
}

/// Subqueries of the tables of people. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct PeopleTables {
    progress: watch::Receiver<PeopleProgress>,
    /// Whether a session has a row on each shard that has events of it.
    is_distributed: bool,
}

/// Like [`PeopleTables::session_links`], but only for the sessions whose hashes a statement selects, and for a statement with the
/// parameters `project` and `people_mark` ([`PeopleTables::mark`]).
pub(crate) fn session_links_within(sessions: &str) -> String {
    let pending = "toUInt128(events.batch) >= toUInt128({people_mark:String})";
    subquery(SESSION_LINKS_WITHIN, "{project:String}", pending, &[("sessions", sessions.to_owned())])
}

impl PeopleTables {
    /// Tables of which nothing was read yet.
    #[cfg(test)]
    pub(crate) fn for_tests() -> Self {
        let progress = PeopleProgress { mark: Uuid::nil(), complete_since: None };
        Self { progress: watch::channel(progress).1, is_distributed: false }
    }

    /// The parameter `people_mark` of statements with [`session_links_within`].
    pub(crate) fn mark(&self) -> String {
        self.progress.borrow().mark.as_u128().to_string()
    }

    /// Up to where events were added.
    pub(crate) fn progress(&self) -> PeopleProgress {
        self.progress.borrow().clone()
    }

    /// `(SELECT session UInt64, user_id String ...)`: the first user of every session of a project that has one. `session` is
    /// xxh3 of the session id. Join it with ANY.
    pub(crate) fn session_links(&self, project: &Project, params: &mut Params) -> String {
        let first_users = match self.is_distributed {
            true => {
                "(SELECT project, session, min(first_user) AS first_user FROM session_users GROUP BY project, session)"
            }
            false => "session_users FINAL",
        };
        self.render(SESSION_LINKS, project, params, &[("first_users", first_users.to_owned())])
    }

    /// `(SELECT visitor UInt64, first_seen DateTime64(3, 'UTC') ...)`: when every visitor of a project was seen for the first
    /// time, also before the retention of events. `visitor` is xxh3 of the user id, of the first user of the session, or of
    /// the session id.
    pub(crate) fn first_seen(&self, project: &Project, params: &mut Params) -> String {
        let links = self.session_links(project, params);
        self.render(FIRST_SEEN, project, params, &[("session_links", links)])
    }

    /// Like [`Self::first_seen`], but when they did an event for the first time: `(SELECT visitor UInt64, first_time ...)`.
    pub(crate) fn first_events(&self, project: &Project, event_name: &str, params: &mut Params) -> String {
        let links = self.session_links(project, params);
        let event_name = params.text(event_name);
        self.render(FIRST_EVENTS, project, params, &[("session_links", links), ("event_name", event_name)])
    }

    /// The condition for rows of `events` that were not added yet.
    pub(crate) fn pending(&self, params: &mut Params) -> String {
        let mark = params.text(&self.progress.borrow().mark.as_u128().to_string());
        format!("toUInt128(events.batch) >= toUInt128({mark})")
    }

    fn render(
        &self,
        statement: &str,
        project: &Project,
        params: &mut Params,
        values: &[(&str, String)],
    ) -> String {
        let (project, pending) = (params.text(project.as_str()), self.pending(params));
        subquery(statement, &project, &pending, values)
    }
}

fn subquery(statement: &str, project: &str, pending: &str, values: &[(&str, String)]) -> String {
    let pending_users = render(PENDING_USERS, [("project", project), ("pending", pending)]);
    let mut all = vec![
        ("project", project.to_owned()),
        ("pending", pending.to_owned()),
        ("pending_users", pending_users),
    ];
    all.extend(values.iter().cloned());
    let all = all.into_iter().filter(|(name, _)| statement.contains(&format!("{{{{{name}}}}}")));
    let lines = render(statement, all);
    lines.lines().filter(|line| !line.trim_start().starts_with("--")).collect::<Vec<_>>().join("\n")
}

//! The statements about people.

use std::time::Duration;

use clickhouse::{Row, RowOwned, RowRead};
use serde::{Deserialize, Serialize};

use super::{PENDING_USERS, PeopleTables};
use crate::clickhouse::template::render;
use crate::clickhouse::{ClickHouse, ClickHouseError};
use crate::error::{Error, ErrorCode};
use crate::filter::sql::{Param, Params};
use crate::project::Project;

const RESOLVE: &str = include_str!("../../queries/people/resolve.sql");
const PERSON: &str = include_str!("../../queries/people/person.sql");
const LINKED_SESSIONS: &str = include_str!("../../queries/people/linked_sessions.sql");
const TRAITS: &str = include_str!("../../queries/people/traits.sql");
const PERSON_SESSIONS: &str = include_str!("../../queries/people/person_sessions.sql");
const EVENT_COUNTS: &str = include_str!("../../queries/people/event_counts.sql");
const SESSIONS: &str = include_str!("../../queries/people/sessions.sql");
const TIMELINE: &str = include_str!("../../queries/people/timeline.sql");
const SEARCH: &str = include_str!("../../queries/people/search.sql");
const TRAIT_PEOPLE: &str = include_str!("../../queries/people/trait_people.sql");

/// Bounds of what a statement may cost.
const SETTINGS: [(&str, &str); 7] = [
    ("readonly", "1"),
    ("cancel_http_readonly_queries_on_client_close", "1"),
    ("max_execution_time", "10"),
    ("max_memory_usage", "1000000000"),
    ("max_bytes_before_external_group_by", "300000000"),
    ("join_use_nulls", "0"),
    ("max_threads", "2"),
];
const RETRY_DELAY: Duration = Duration::from_secs(1);

/// Why a request about people fails.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PeopleError {
    /// A field of the request is invalid.
    #[error("{0}")]
    Invalid(String),
    /// Nobody with this id was seen.
    #[error("id: nobody with the user_id or session_id {0:?} was seen")]
    Unknown(String),
    /// ClickHouse did not execute a statement.
    #[error("the people cannot be read: {0}")]
    ClickHouse(#[from] ClickHouseError),
}

impl From<PeopleError> for Error {
    fn from(error: PeopleError) -> Self {
        let code = match &error {
            PeopleError::Invalid(_) => ErrorCode::Invalid,
            PeopleError::Unknown(_) => ErrorCode::NotFound,
            PeopleError::ClickHouse(_) => ErrorCode::Unavailable { retry_after: RETRY_DELAY },
        };
        Self::new(code, error.to_string())
    }
}

/// A statement, with its parameters.
pub(super) struct Statement<'a> {
    tables: &'a PeopleTables,
    pub(super) params: Params,
    values: Vec<(&'static str, String)>,
}

impl<'a> Statement<'a> {
    pub(super) fn new(tables: &'a PeopleTables, project: &Project) -> Self {
        let mut params = Params::default();
        let (project, pending) = (params.text(project.as_str()), tables.pending(&mut params));
        let pending_users = render(PENDING_USERS, [("project", &project), ("pending", &pending)]);
        let values = vec![("project", project), ("pending", pending), ("pending_users", pending_users)];
        Self { tables, params, values }
    }

    pub(super) fn set(&mut self, name: &'static str, value: String) {
        self.values.push((name, value));
    }

    fn render(&self, text: &str) -> String {
        let used = self.values.iter().filter(|(name, _)| text.contains(&format!("{{{{{name}}}}}")));
        render(text, used.map(|(name, value)| (*name, value)))
    }

    /// Selects the rows of a person.
    pub(super) fn set_person(&mut self, person: &PersonId) {
        let id = self.params.text(&person.id);
        self.set("id", id.clone());
        if person.is_user {
            let linked = self.render(LINKED_SESSIONS);
            self.set("linked_sessions", linked.clone());
            let of_sessions = format!("(SELECT session_id FROM {linked})");
            self.set("is_person", format!("(id = {id} AND is_user OR NOT is_user AND id IN {of_sessions})"));
            self.set(
                "is_event",
                format!(
                    "(events.user_id = {id} OR events.user_id IS NULL AND events.session_id IN {of_sessions})"
                ),
            );
        } else {
            self.set("is_person", format!("(id = {id} AND NOT is_user)"));
            self.set("is_event", format!("(events.user_id IS NULL AND events.session_id = {id})"));
        }
    }

    /// Limits `events` to the times in which the person was seen: they are ordered by time within an event name.
    pub(super) fn set_bounds(&mut self, person: &PersonRow, before_ms: Option<i64>) {
        let is_complete = self.tables.progress().complete_since.is_none();
        let first = if is_complete { person.first_seen } else { 0 };
        let last = before_ms.unwrap_or(i64::MAX).min(person.last_seen);
        let (first, last) = (self.params.text(&first.to_string()), self.params.text(&last.to_string()));
        self.set(
            "bounds",
            format!(
                "events.timestamp BETWEEN fromUnixTimestamp64Milli(toInt64({first}), 'UTC') \
                 AND fromUnixTimestamp64Milli(toInt64({last}), 'UTC')"
            ),
        );
    }

    /// Selects people by the beginning of their ids and a trait, after the last person of the previous page.
    pub(super) fn set_search(&mut self, search: &Search) {
        let mut conditions = Vec::new();
        if !search.id_prefix.is_empty() {
            conditions.push(format!("startsWith(id, {})", self.params.text(&search.id_prefix)));
        }
        if let Some((name, value)) = &search.with_trait {
            let values = vec![value.clone(), serde_json::Value::from(value.as_str()).to_string()];
            let (name, values) = (self.params.text(name), self.params.add(Param::Texts(values)));
            self.set("trait_name", name);
            self.set("trait_values", values);
            conditions.push(format!("(id, is_user) IN {}", self.render(TRAIT_PEOPLE)));
        }
        conditions.push("1".to_owned());
        let selected = conditions.join(" AND ");
        self.set("selected_people", selected.clone());
        self.set("selected_events", selected);
        let after = search.after.as_ref().map(|Seen { last_seen, person: PersonId { id, is_user } }| {
            let (last_seen, id) = (self.params.text(&last_seen.to_string()), self.params.text(id));
            format!("(-last_seen, id, is_user) > (-toInt64({last_seen}), {id}, {is_user})")
        });
        self.set("after", after.unwrap_or_else(|| "1".to_owned()));
    }

    async fn fetch<T: RowOwned + RowRead>(
        &self,
        clickhouse: &ClickHouse,
        text: &str,
    ) -> Result<Vec<T>, PeopleError> {
        let client = clickhouse.client()?;
        let mut query = self.params.bind(client.query_raw(&self.render(text)));
        for (name, value) in SETTINGS {
            query = query.with_setting(name, value);
        }
        query.fetch_all::<T>().await.map_err(|error| PeopleError::ClickHouse(error.into()))
    }

    pub(super) async fn person(&self, clickhouse: &ClickHouse) -> Result<Option<PersonRow>, PeopleError> {
        let row = self.fetch::<PersonRow>(clickhouse, PERSON).await?.pop();
        Ok(row.filter(|row| row.parts > 0))
    }
    pub(super) async fn traits(&self, clickhouse: &ClickHouse) -> Result<Vec<TraitRow>, PeopleError> {
        self.fetch(clickhouse, TRAITS).await
    }
    pub(super) async fn linked(&self, clickhouse: &ClickHouse) -> Result<Vec<LinkedRow>, PeopleError> {
        self.fetch(clickhouse, PERSON_SESSIONS).await
    }
    pub(super) async fn event_counts(
        &self,
        clickhouse: &ClickHouse,
    ) -> Result<Vec<EventCountRow>, PeopleError> {
        self.fetch(clickhouse, EVENT_COUNTS).await
    }
    pub(super) async fn sessions(&self, clickhouse: &ClickHouse) -> Result<Vec<SessionRow>, PeopleError> {
        self.fetch(clickhouse, SESSIONS).await
    }
    pub(super) async fn timeline(&self, clickhouse: &ClickHouse) -> Result<Vec<TimelineRow>, PeopleError> {
        self.fetch(clickhouse, TIMELINE).await
    }
    pub(super) async fn search(&self, clickhouse: &ClickHouse) -> Result<Vec<FoundRow>, PeopleError> {
        self.fetch(clickhouse, SEARCH).await
    }

    /// Whom an id stands for: a user, or a session without one.
    pub(super) async fn resolve(
        clickhouse: &ClickHouse,
        tables: &'a PeopleTables,
        project: &Project,
        id: &str,
    ) -> Result<PersonId, PeopleError> {
        #[derive(Row, Serialize, Deserialize)]
        struct Resolved {
            is_user: bool,
            linked_user: String,
        }
        let mut statement = Self::new(tables, project);
        let parameter = statement.params.text(id);
        statement.set("id", parameter);
        let resolved = statement.fetch::<Resolved>(clickhouse, RESOLVE).await?.pop();
        Ok(match resolved {
            Some(Resolved { is_user: false, linked_user }) if !linked_user.is_empty() => {
                PersonId { id: linked_user, is_user: true }
            }
            resolved => PersonId { id: id.to_owned(), is_user: resolved.is_some_and(|row| row.is_user) },
        })
    }
}

/// A user, or a session without one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct PersonId {
    pub(super) id: String,
    pub(super) is_user: bool,
}

/// A person in the order of a search.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Seen {
    pub(super) last_seen: i64,
    pub(super) person: PersonId,
}

/// A valid search.
#[derive(Clone, Debug, Default)]
pub(super) struct Search {
    pub(super) id_prefix: String,
    /// Name and value.
    pub(super) with_trait: Option<(String, String)>,
    pub(super) after: Option<Seen>,
}

// Times are milliseconds since 1970 UTC.

#[derive(Row, Serialize, Deserialize)]
pub(super) struct PersonRow {
    parts: u64,
    pub(super) first_seen: i64,
    pub(super) last_seen: i64,
    pub(super) first_country: String,
    pub(super) last_country: String,
    pub(super) first_device: String,
    pub(super) last_device: String,
}

#[derive(Row, Serialize, Deserialize)]
pub(super) struct FoundRow {
    pub(super) id: String,
    pub(super) is_user: bool,
    pub(super) first_seen: i64,
    pub(super) last_seen: i64,
    pub(super) first_country: String,
    pub(super) last_country: String,
    pub(super) first_device: String,
    pub(super) last_device: String,
}

#[derive(Row, Serialize, Deserialize)]
pub(super) struct TraitRow {
    pub(super) name: String,
    pub(super) value: String,
    pub(super) time: i64,
}

#[derive(Row, Serialize, Deserialize)]
pub(super) struct LinkedRow {
    pub(super) session_id: String,
    pub(super) total: u64,
}

#[derive(Row, Serialize, Deserialize)]
pub(super) struct EventCountRow {
    pub(super) event_name: String,
    pub(super) count: u64,
    pub(super) last_time: i64,
    pub(super) total: u64,
}

#[derive(Row, Serialize, Deserialize)]
pub(super) struct SessionRow {
    pub(super) start_time: i64,
    pub(super) end_time: i64,
    pub(super) count: u64,
    pub(super) first_event: String,
    pub(super) last_event: String,
    pub(super) first_page: String,
    pub(super) last_page: String,
    pub(super) device: String,
    pub(super) country_code: String,
}

#[derive(Row, Serialize, Deserialize)]
pub(super) struct TimelineRow {
    pub(super) id: String,
    pub(super) event_name: String,
    pub(super) time: i64,
    pub(super) session_id: String,
    pub(super) user_id: String,
    pub(super) device_type: String,
    pub(super) country_code: String,
    pub(super) properties: String,
}

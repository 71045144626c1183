//! The calls of PeopleService, for gRPC and HTTP.

use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::{Semaphore, SemaphorePermit, watch};
use uuid::Uuid;

use super::PeopleTables;
use super::query::{PeopleError, PersonId, PersonRow, Search, Seen, Statement};
use crate::clickhouse::ClickHouse;
use crate::event::MAX_ID_BYTES;
use crate::filter::sql::{condition, text};
use crate::filter::{Field, Filter};
use crate::panels::abbreviate;
use crate::project::Project;
use crate::properties::Properties;
use crate::proto::{timestamp_from_millis, v1};

/// Calls that run at the same time; further ones wait. A call runs up to five statements, one after the other.
const CONCURRENT_CALLS: usize = 2;
const MAX_TRAIT_BYTES: usize = 1_024;
const MAX_TOKEN_BYTES: usize = 2_048;

/// Answers questions about people. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct PeopleService {
    clickhouse: ClickHouse,
    tables: PeopleTables,
    properties: watch::Receiver<Arc<Properties>>,
    permits: Arc<Semaphore>,
}

impl PeopleService {
    pub(crate) fn new(
        clickhouse: ClickHouse,
        tables: PeopleTables,
        properties: watch::Receiver<Arc<Properties>>,
    ) -> Self {
        Self { clickhouse, tables, properties, permits: Arc::new(Semaphore::new(CONCURRENT_CALLS)) }
    }

    async fn permit(&self) -> Option<SemaphorePermit<'_>> {
        // Never closed.
        self.permits.acquire().await.ok()
    }

    /// GetPerson.
    pub(crate) async fn get_person(
        &self,
        project: &Project,
        request: v1::GetPersonRequest,
    ) -> Result<v1::GetPersonResponse, PeopleError> {
        let _permit = self.permit().await;
        let (id, person, mut statement) = self.find(project, &request.id).await?;
        let traits = statement.traits(&self.clickhouse).await?;
        let linked = if id.is_user { statement.linked(&self.clickhouse).await? } else { Vec::new() };
        statement.set_bounds(&person, None);
        let counts = statement.event_counts(&self.clickhouse).await?;
        Ok(v1::GetPersonResponse {
            traits: traits
                .into_iter()
                .map(|row| v1::PersonTrait {
                    name: row.name,
                    value_json: row.value,
                    time: Some(timestamp_from_millis(row.time)),
                })
                .collect(),
            session_count: linked.first().map_or(0, |row| row.total),
            session_ids: linked.into_iter().map(|row| row.session_id).collect(),
            event_count: counts.first().map_or(0, |row| row.total),
            events: counts
                .into_iter()
                .map(|row| v1::PersonEvent {
                    event_name: row.event_name,
                    events: row.count,
                    last_time: Some(timestamp_from_millis(row.last_time)),
                })
                .collect(),
            person: Some(v1::Person {
                id: id.id,
                is_user: id.is_user,
                first_seen: Some(timestamp_from_millis(person.first_seen)),
                last_seen: Some(timestamp_from_millis(person.last_seen)),
                first_country: person.first_country,
                last_country: person.last_country,
                first_device: person.first_device,
                last_device: person.last_device,
            }),
            complete_since: self.complete_since(),
        })
    }

    /// ListSessions.
    pub(crate) async fn list_sessions(
        &self,
        project: &Project,
        request: v1::ListSessionsRequest,
    ) -> Result<v1::ListSessionsResponse, PeopleError> {
        let page_size = page_size(request.page_size, 20, 100)?;
        let before: Option<i64> = parse_token(&request.page_token)?;
        let _permit = self.permit().await;
        let (_, person, mut statement) = self.find(project, &request.id).await?;
        // A later page begins before the earliest session of this one, and sessions do not overlap.
        statement.set_bounds(&person, before.map(|start| start - 1));
        let page = self.field("page_url", &mut statement);
        statement.set("page", page);
        statement.set("limit", (page_size + 1).to_string());
        let mut rows = statement.sessions(&self.clickhouse).await?;
        let next_page_token =
            cut(&mut rows, page_size).map_or_else(String::new, |last| token(&last.start_time));
        let sessions = rows.into_iter().map(|row| v1::PersonSession {
            start_time: Some(timestamp_from_millis(row.start_time)),
            end_time: Some(timestamp_from_millis(row.end_time)),
            events: row.count,
            first_event: row.first_event,
            last_event: row.last_event,
            first_page: row.first_page,
            last_page: row.last_page,
            device_type: row.device,
            country_code: row.country_code,
        });
        Ok(v1::ListSessionsResponse { sessions: sessions.collect(), next_page_token })
    }

    /// GetTimeline.
    pub(crate) async fn get_timeline(
        &self,
        project: &Project,
        request: v1::GetTimelineRequest,
    ) -> Result<v1::GetTimelineResponse, PeopleError> {
        let page_size = page_size(request.page_size, 100, 1_000)?;
        let after: Option<(i64, Uuid)> = parse_token(&request.page_token)?;
        let properties = Arc::clone(&self.properties.borrow());
        let filter = Filter::parse(request.filter.as_ref(), &properties);
        let filter = filter.map_err(|error| PeopleError::Invalid(error.to_string()))?;
        if filter.has_did() {
            let reason =
                "filter: a timeline is of one visitor, so it has no conditions on what the visitor did";
            return Err(PeopleError::Invalid(reason.to_owned()));
        }
        let _permit = self.permit().await;
        let (_, person, mut statement) = self.find(project, &request.id).await?;
        statement.set_bounds(&person, after.map(|(time, _)| time));
        let filter = condition(&filter, &mut statement.params, &|_, _| "1".to_owned());
        statement.set("filter", filter);
        let after = after.map_or_else(
            || "1".to_owned(),
            |(time, id)| {
                let (time, id) =
                    (statement.params.text(&time.to_string()), statement.params.text(&id.to_string()));
                format!(
                    "(events.timestamp, events.event_id) < (fromUnixTimestamp64Milli(toInt64({time}), 'UTC'), toUUID({id}))"
                )
            },
        );
        statement.set("after_cursor", after);
        statement.set("limit", (page_size + 1).to_string());
        let mut rows = statement.timeline(&self.clickhouse).await?;
        let next_page_token =
            cut(&mut rows, page_size).map_or_else(String::new, |last| token(&(last.time, &last.id)));
        let events = rows.into_iter().map(|row| v1::TimelineEvent {
            event_id: row.id,
            event_name: row.event_name,
            timestamp: Some(timestamp_from_millis(row.time)),
            session_id: row.session_id,
            user_id: row.user_id,
            device_type: row.device_type,
            country_code: row.country_code,
            properties_json: row.properties,
        });
        Ok(v1::GetTimelineResponse { events: events.collect(), next_page_token })
    }

    /// SearchPeople.
    pub(crate) async fn search_people(
        &self,
        project: &Project,
        request: v1::SearchPeopleRequest,
    ) -> Result<v1::SearchPeopleResponse, PeopleError> {
        let v1::SearchPeopleRequest { id_prefix, trait_name, trait_value, page_size: size, page_token } =
            request;
        let page_size = page_size(size, 20, 100)?;
        for (name, value, max) in [
            ("id_prefix", &id_prefix, MAX_ID_BYTES),
            ("trait_name", &trait_name, MAX_TRAIT_BYTES),
            ("trait_value", &trait_value, MAX_TRAIT_BYTES),
        ] {
            check_length(name, value, max)?;
        }
        if trait_name.is_empty() != trait_value.is_empty() {
            let reason = "trait_name and trait_value: one of them is missing; give both, or none";
            return Err(PeopleError::Invalid(reason.to_owned()));
        }
        let with_trait = (!trait_name.is_empty()).then_some((trait_name, trait_value));
        let search = Search { id_prefix, with_trait, after: parse_token::<Seen>(&page_token)? };
        let _permit = self.permit().await;
        let mut statement = Statement::new(&self.tables, project);
        statement.set_search(&search);
        statement.set("limit", (page_size + 1).to_string());
        let mut rows = statement.search(&self.clickhouse).await?;
        let next_page_token = cut(&mut rows, page_size).map_or_else(String::new, |last| {
            let person = PersonId { id: last.id.clone(), is_user: last.is_user };
            token(&Seen { last_seen: last.last_seen, person })
        });
        let people = rows.into_iter().map(|row| v1::Person {
            id: row.id,
            is_user: row.is_user,
            first_seen: Some(timestamp_from_millis(row.first_seen)),
            last_seen: Some(timestamp_from_millis(row.last_seen)),
            first_country: row.first_country,
            last_country: row.last_country,
            first_device: row.first_device,
            last_device: row.last_device,
        });
        let people = people.collect();
        Ok(v1::SearchPeopleResponse { people, next_page_token, complete_since: self.complete_since() })
    }

    /// The person of an id, and a statement about that person.
    async fn find(
        &self,
        project: &Project,
        id: &str,
    ) -> Result<(PersonId, PersonRow, Statement<'_>), PeopleError> {
        if id.is_empty() {
            return Err(PeopleError::Invalid("id: it is empty; give a user_id or a session_id".to_owned()));
        }
        check_length("id", id, MAX_ID_BYTES)?;
        let person_id = Statement::resolve(&self.clickhouse, &self.tables, project, id).await?;
        let mut statement = Statement::new(&self.tables, project);
        statement.set_person(&person_id);
        let person = statement.person(&self.clickhouse).await?;
        let person = person.ok_or_else(|| PeopleError::Unknown(abbreviate(id)))?;
        Ok((person_id, person, statement))
    }

    fn field(&self, name: &str, statement: &mut Statement<'_>) -> String {
        let properties = Arc::clone(&self.properties.borrow());
        // The name is one of this crate.
        Field::parse(name, &properties)
            .map_or_else(|_| "''".to_owned(), |field| text(&field, &mut statement.params))
    }

    fn complete_since(&self) -> Option<prost_types::Timestamp> {
        let date = self.tables.progress().complete_since?;
        let start = date.to_zoned(jiff::tz::TimeZone::UTC).ok()?;
        Some(timestamp_from_millis(start.timestamp().as_millisecond()))
    }
}

fn page_size(given: u32, default: usize, max: usize) -> Result<usize, PeopleError> {
    match given as usize {
        0 => Ok(default),
        size if size <= max => Ok(size),
        size => Err(PeopleError::Invalid(format!("page_size: {size} is given; expected 1 to {max}"))),
    }
}

fn check_length(name: &str, value: &str, max: usize) -> Result<(), PeopleError> {
    if value.len() > max {
        let value = abbreviate(value);
        return Err(PeopleError::Invalid(format!("{name}: {value:?} has more than {max} bytes")));
    }
    Ok(())
}

/// Removes the row after the page, and returns the last row of the page then.
fn cut<T>(rows: &mut Vec<T>, page_size: usize) -> Option<&T> {
    let has_more = rows.len() > page_size;
    rows.truncate(page_size);
    rows.last().filter(|_| has_more)
}

/// Tokens are JSON in hexadecimal: opaque, and safe in an address.
fn token(cursor: &impl Serialize) -> String {
    let json = serde_json::to_vec(cursor).unwrap_or_default();
    json.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn parse_token<T: DeserializeOwned>(token: &str) -> Result<Option<T>, PeopleError> {
    if token.is_empty() {
        return Ok(None);
    }
    let is_hex = token.len() <= MAX_TOKEN_BYTES && token.bytes().all(|byte| byte.is_ascii_hexdigit());
    let bytes = is_hex.then(|| {
        token
            .as_bytes()
            .chunks(2)
            .map(|pair| std::str::from_utf8(pair).ok().and_then(|pair| u8::from_str_radix(pair, 16).ok()))
    });
    let bytes: Option<Vec<u8>> = bytes.and_then(Iterator::collect);
    let cursor = bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok());
    let invalid = || {
        let token = abbreviate(token);
        PeopleError::Invalid(format!(
            "page_token: {token:?} is not the next_page_token of a response to this call"
        ))
    };
    cursor.map(Some).ok_or_else(invalid)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_round_trip_and_others_are_rejected() {
        let person = PersonId { id: "\u{e4} 'x'".to_owned(), is_user: true };
        assert_eq!(parse_token::<PersonId>(&token(&person)).unwrap(), Some(person));
        assert_eq!(parse_token::<i64>("").unwrap(), None);
        for invalid in ["x", "7", "7b7d", &token(&7_i64)] {
            let error = parse_token::<PersonId>(invalid).unwrap_err().to_string();
            assert!(error.starts_with("page_token: ") && error.contains(invalid), "{error}");
        }
    }

    #[test]
    fn the_row_after_a_page_tells_that_there_is_another() {
        let mut rows = vec![1, 2, 3];
        assert_eq!(cut(&mut rows, 2), Some(&2));
        assert_eq!(rows, [1, 2]);
        assert_eq!(cut(&mut rows, 2), None);
    }
}

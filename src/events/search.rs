//! Searches among the stored events.

use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use prost::Message as _;
use serde::Deserialize;
use tokio::sync::{Semaphore, watch};
use twox_hash::XxHash3_64;
use uuid::Uuid;

use super::EventsError;
use super::page_token::{PageToken, Position};
use crate::clickhouse::{ClickHouse, ClickHouseError, template};
use crate::explore::rows::{Rows, Span};
use crate::filter::Filter;
use crate::filter::sql::{self, Params};
use crate::panels::range::TimeRange;
use crate::panels::row_filters;
use crate::panels::wall_clock::parse_time_zone;
use crate::people::PeopleTables;
use crate::project::Project;
use crate::properties::Properties;
use crate::proto::{timestamp_from_millis, v1};

const SEARCH: &str = include_str!("../../queries/events/search.sql");

/// The settings of a statement. With readonly=1 it cannot write or change them.
const SETTINGS: [(&str, &str); 11] = [
    ("readonly", "1"),
    ("cancel_http_readonly_queries_on_client_close", "1"),
    ("max_execution_time", "10"),
    ("max_memory_usage", "1000000000"),
    ("max_result_bytes", "67108864"),
    ("result_overflow_mode", "throw"),
    ("output_format_json_quote_64bit_integers", "0"),
    ("output_format_parallel_formatting", "0"),
    ("optimize_use_projections", "0"),
    ("compile_expressions", "0"),
    // The lists of values of a filter.
    ("max_query_size", "1048576"),
];

/// How long a page may take, and the stored events of a tail.
const PAGE_TIMEOUT: Duration = Duration::from_secs(15);
const RECENT_TIMEOUT: Duration = Duration::from_secs(1);
/// How far back the stored events of a tail reach, and how much is read for them.
const RECENT_MS: i64 = 24 * 3_600_000;
const MAX_RECENT_ROWS_TO_READ: &str = "20000000";

/// The first window, and by which factor each further one is longer. A busy project fills a page from seconds; a quiet one needs
/// eight statements to reach back 90 days.
const FIRST_WINDOW_MS: i64 = 10_000;
const WINDOW_FACTOR: i64 = 8;

/// Searches that run at once, and how long another one waits for its turn.
const MAX_CONCURRENT_SEARCHES: usize = 2;
const MAX_QUEUE_WAIT: Duration = Duration::from_secs(5);

const DEFAULT_PAGE_SIZE: u32 = 50;
const MAX_PAGE_SIZE: u32 = 500;

/// Searches stored events. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Search {
    clickhouse: ClickHouse,
    people: PeopleTables,
    properties: watch::Receiver<Arc<Properties>>,
    permits: Arc<Semaphore>,
}

/// Requests a page.
#[derive(Debug)]
pub(super) struct PageRequest {
    pub(super) filter: Option<v1::EventFilter>,
    pub(super) range: TimeRange,
    /// An IANA name; `None` is UTC.
    pub(super) time_zone: Option<String>,
    pub(super) page_size: Option<u32>,
    /// Empty for the first page.
    pub(super) page_token: String,
}

impl PageRequest {
    /// Of what must be the same for every page of a search.
    fn checksum(&self) -> u64 {
        let Self { filter, range, time_zone, .. } = self;
        let mut text = filter.as_ref().map(v1::EventFilter::encode_to_vec).unwrap_or_default();
        text.extend_from_slice(format!("{range:?} {time_zone:?}").as_bytes());
        XxHash3_64::oneshot(&text)
    }
}

/// What is searched.
struct Query<'a> {
    project: &'a Project,
    filter: &'a Filter,
    /// Milliseconds since 1970 UTC; the end is exclusive.
    start_ms: i64,
    end_ms: i64,
    after: Option<Position>,
    /// Only events that were received before, in milliseconds since 1970 UTC.
    received_before_ms: Option<i64>,
    limit: usize,
    max_rows_to_read: &'static str,
}

/// The result of a statement in the format JSONCompact.
#[derive(Deserialize)]
struct Response {
    data: Vec<Row>,
    statistics: Statistics,
}

#[derive(Default, Deserialize)]
struct Statistics {
    elapsed: f64,
    rows_read: u64,
    bytes_read: u64,
}

#[derive(Deserialize)]
struct Row(String, String, i64, i64, String, Option<String>, String, String, String);

impl From<Row> for v1::AcceptedEvent {
    fn from(row: Row) -> Self {
        let Row(
            event_id,
            event_name,
            timestamp,
            received_at,
            session_id,
            user_id,
            device_type,
            country_code,
            properties,
        ) = row;
        Self {
            event_id,
            event_name,
            timestamp: Some(timestamp_from_millis(timestamp)),
            received_at: Some(timestamp_from_millis(received_at)),
            session_id,
            user_id,
            device_type,
            country_code,
            properties_json: properties,
        }
    }
}

impl Search {
    pub(crate) fn new(
        clickhouse: ClickHouse,
        people: PeopleTables,
        properties: watch::Receiver<Arc<Properties>>,
    ) -> Self {
        Self { clickhouse, people, properties, permits: Arc::new(Semaphore::new(MAX_CONCURRENT_SEARCHES)) }
    }

    /// The filter of a request.
    pub(super) fn parse_filter(&self, filter: Option<&v1::EventFilter>) -> Result<Filter, EventsError> {
        Ok(Filter::parse(filter, &self.properties.borrow())?)
    }

    /// One page.
    pub(super) async fn page(
        &self,
        project: &Project,
        request: PageRequest,
    ) -> Result<v1::SearchEventsResponse, EventsError> {
        let checksum = request.checksum();
        let PageRequest { filter, range, time_zone, page_size, page_token } = request;
        let page_size = page_size.unwrap_or(DEFAULT_PAGE_SIZE);
        check_range("page_size", page_size, 1, MAX_PAGE_SIZE)?;
        let filter = self.parse_filter(filter.as_ref())?;
        let (start_ms, end_ms, after) = if page_token.is_empty() {
            let zone = parse_time_zone(time_zone.as_deref())?;
            let (start, end) = range.bounds(&zone, Timestamp::now().as_second())?;
            (start * 1_000, end * 1_000, None)
        } else {
            let PageToken { start_ms, end_ms, position, .. } = PageToken::decode(&page_token, checksum)?;
            (start_ms, end_ms, Some(position))
        };
        let query = Query {
            project,
            filter: &filter,
            start_ms,
            end_ms,
            after,
            received_before_ms: None,
            // One more tells whether there is a further page.
            limit: page_size as usize + 1,
            max_rows_to_read: "0",
        };
        let started_at = Instant::now();
        let rows = tokio::time::timeout(PAGE_TIMEOUT, self.run(&query)).await;
        let (mut rows, statistics) = rows.map_err(|_| EventsError::NoResponse(PAGE_TIMEOUT))??;
        let has_more = rows.len() > page_size as usize;
        rows.truncate(page_size as usize);
        let next_page_token = match rows.last().filter(|_| has_more) {
            Some(Row(event_id, _, timestamp_ms, ..)) => {
                let event_id = Uuid::parse_str(event_id)
                    .map_err(|error| EventsError::InvalidResult(format!("event_id {event_id:?}: {error}")))?;
                let position = Position { timestamp_ms: *timestamp_ms, event_id };
                PageToken { query: checksum, start_ms, end_ms, position }.encode()
            }
            None => String::new(),
        };
        let elapsed = Duration::try_from_secs_f64(statistics.elapsed).unwrap_or(started_at.elapsed());
        Ok(v1::SearchEventsResponse {
            events: rows.into_iter().map(Into::into).collect(),
            next_page_token,
            cost: Some(v1::QueryCost {
                rows_read: statistics.rows_read,
                bytes_read: statistics.bytes_read,
                elapsed: prost_types::Duration::try_from(elapsed).ok(),
            }),
        })
    }

    /// The last stored events that a filter selects and that were received before a time, the oldest first.
    pub(super) async fn recent(
        &self,
        project: &Project,
        filter: &Filter,
        limit: usize,
        received_before_ms: i64,
    ) -> Result<Vec<v1::AcceptedEvent>, EventsError> {
        let query = Query {
            project,
            filter,
            start_ms: received_before_ms - RECENT_MS,
            // Clocks of producers may be ahead.
            end_ms: received_before_ms + RECENT_MS,
            after: None,
            received_before_ms: Some(received_before_ms),
            limit,
            max_rows_to_read: MAX_RECENT_ROWS_TO_READ,
        };
        let rows = tokio::time::timeout(RECENT_TIMEOUT, self.run(&query)).await;
        let (rows, _) = rows.map_err(|_| EventsError::NoResponse(RECENT_TIMEOUT))??;
        Ok(rows.into_iter().rev().map(Into::into).collect())
    }

    /// Reads windows from the newest to the oldest one until there are enough events.
    async fn run(&self, query: &Query<'_>) -> Result<(Vec<Row>, Statistics), EventsError> {
        let permit = tokio::time::timeout(MAX_QUEUE_WAIT, self.permits.acquire()).await;
        let _permit = permit.map_err(|_| EventsError::Busy)?.map_err(|_| EventsError::Busy)?;
        let (mut rows, mut total) = (Vec::new(), Statistics::default());
        let newest = match query.after {
            Some(Position { timestamp_ms, .. }) => query.end_ms.min(timestamp_ms + 1),
            None => query.end_ms,
        };
        let (mut end_ms, mut width) = (newest, FIRST_WINDOW_MS);
        if query.after.is_none() {
            // What is in the future is rare, and read with the first window.
            width += (newest - Timestamp::now().as_millisecond()).max(0);
        }
        while end_ms > query.start_ms && rows.len() < query.limit {
            let start_ms = query.start_ms.max(end_ms.saturating_sub(width));
            let limit = query.limit - rows.len();
            let Response { data, statistics } = self.fetch(query, start_ms..end_ms, limit).await?;
            rows.extend(data);
            total.elapsed += statistics.elapsed;
            total.rows_read += statistics.rows_read;
            total.bytes_read += statistics.bytes_read;
            end_ms = start_ms;
            width = width.saturating_mul(WINDOW_FACTOR);
        }
        Ok((rows, total))
    }

    async fn fetch(
        &self,
        query: &Query<'_>,
        window_ms: std::ops::Range<i64>,
        limit: usize,
    ) -> Result<Response, EventsError> {
        let mut params = Params::default();
        // What a visitor did is asked for the whole range, not for the window.
        let span =
            Span { start: query.start_ms.div_euclid(1_000), end: (query.end_ms + 999).div_euclid(1_000) };
        let every = Filter::default();
        let range = Rows { event_names: Vec::new(), filter: &every, span, did_span: span };
        let mut condition = sql::condition(query.filter, &mut params, &|did, params| range.did(did, params));
        let join = if query.filter.has_did() { range.join_links(&mut params) } else { String::new() };
        if query.received_before_ms.is_some() {
            condition.push_str(
                " AND events.received_at < fromUnixTimestamp64Milli({received_before_ms:Int64}, 'UTC')",
            );
        }
        let position = match query.after {
            Some(_) => {
                "(events.timestamp, events.event_id) < (fromUnixTimestamp64Milli({after_ms:Int64}, 'UTC'), {after_id:UUID})"
            }
            None => "1",
        };
        let statement = template::render(
            SEARCH,
            [("join", join.as_str()), ("position", position), ("condition", condition.as_str())],
        );
        let mut request = self
            .clickhouse
            .client()?
            .query_raw(&statement)
            .with_setting("additional_table_filters", row_filters(query.project, &self.clickhouse))
            .with_setting("max_rows_to_read", query.max_rows_to_read)
            .param("project", query.project.as_str())
            .param("people_mark", self.people.mark())
            .param("start_ms", window_ms.start)
            .param("end_ms", window_ms.end)
            .param("limit", limit);
        if let Some(Position { timestamp_ms, event_id }) = query.after {
            request = request.param("after_ms", timestamp_ms).param("after_id", event_id.to_string());
        }
        if let Some(received_before_ms) = query.received_before_ms {
            request = request.param("received_before_ms", received_before_ms);
        }
        request = params.bind(request);
        for (name, value) in SETTINGS {
            request = request.with_setting(name, value);
        }
        let response = async { request.fetch_bytes("JSONCompact")?.collect().await };
        let response = response.await.map_err(ClickHouseError::from).inspect_err(|error| {
            if error.viewer_message() != error.message {
                tracing::warn!(%error, "search of events failed");
            }
        })?;
        serde_json::from_slice(&response).map_err(|error| EventsError::InvalidResult(error.to_string()))
    }
}

pub(super) fn check_range(name: &'static str, value: u32, min: u32, max: u32) -> Result<(), EventsError> {
    if (min..=max).contains(&value) { Ok(()) } else { Err(EventsError::OutOfRange { name, value, min, max }) }
}

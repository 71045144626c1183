//! Asking a panel: parameters checked, one computation however many ask at once, answers used again for a while.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use jiff::Timestamp;
use moka::future::Cache;
use tokio::sync::{Semaphore, watch};

use super::catalog::{Catalog, Panel, abbreviate};
use super::range::{Buckets, HourComparison, TimeRange, hour_comparison, parse_time_zone};
use super::table::{Cell, ResultTable};
use crate::clickhouse::{ClickHouse, ClickHouseError};
use crate::proto::{self, v1};

/// How much the kept answers may weigh together, in bytes; those used longest ago go first.
const MAX_CACHE_BYTES: u64 = 32 << 20;

/// What a kept answer costs beside its table: question, context and the cache's own books. It also bounds how many
/// answers are kept, since an empty one weighs this much.
const RESULT_OVERHEAD_BYTES: usize = 1_024;

/// How long ClickHouse's answer is waited for: a bit longer than a statement may take.
const QUERY_TIMEOUT: Duration = Duration::from_secs(12);

/// What a panel's statement may do and cost. With readonly=1 it can neither write, nor change these settings, nor use a
/// table function that reads files or opens addresses: those need the right to make temporary tables.
const QUERY_SETTINGS: [(&str, &str); 12] = [
    ("readonly", "1"),
    ("max_execution_time", "10"),
    ("max_result_rows", "50000"),
    ("max_result_bytes", "16777216"),
    ("result_overflow_mode", "throw"),
    ("max_memory_usage", "1000000000"),
    ("date_time_output_format", "iso"),
    ("output_format_json_quote_64bit_integers", "0"),
    ("output_format_json_quote_denormals", "0"),
    ("join_use_nulls", "0"),
    // Compiling a statement at its third run takes longer than it could ever save on rows this few.
    ("compile_expressions", "0"),
    ("compile_aggregate_expressions", "0"),
];

/// How many answers are computed at a time for those who ask; those who watch have turns of their own (`subscriptions.rs`), and inserts
/// need the engine as well.
const MAX_CONCURRENT_QUERIES: usize = 4;
/// How many different questions may wait for that. Further ones are told to come back.
const MAX_QUEUED_QUERIES: usize = 60;
/// How long a question waits.
const MAX_QUEUE_WAIT: Duration = Duration::from_secs(5);

/// How often the same refusal of a panel is logged.
const LOG_INTERVAL: Duration = Duration::from_secs(60);

/// Distinct counts up to here are exact: the rollups keep so many hashes whole. Beyond it counts are off by 0.1 % or so; see
/// docs/decisions/0003-rollups.md.
pub const MAX_EXACT_DISTINCT: u64 = 100;

/// A question. Those that ask for the same are equal once they are [`checked`](Panels::validate).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PanelQuery {
    /// The panel's name.
    pub panel: String,
    /// How far back.
    pub range: TimeRange,
    /// An IANA name; none for UTC.
    pub time_zone: Option<String>,
    /// Values for its parameters; the others have their defaults.
    pub parameters: BTreeMap<String, String>,
}

/// An answer.
#[derive(Debug)]
pub struct PanelResult {
    /// The figures.
    pub table: ResultTable,
    /// What they were computed for.
    pub context: v1::PanelContext,
}

/// Why there is no answer.
#[derive(Clone, Debug, thiserror::Error)]
pub enum PanelError {
    /// There is no such panel.
    #[error("panel: {name:?} is not known; there are {available}")]
    UnknownPanel {
        /// What was asked.
        name: String,
        /// What there is.
        available: String,
    },
    /// The question is wrong.
    #[error("{0}")]
    InvalidQuery(String),
    /// Too many questions are asked at a time.
    #[error("too many different panels are asked for at once; ask again in a second, or watch the panel")]
    Busy,
    /// The value of a panel that is watched found no room.
    #[error(
        "the panels that are watched take all of the memory for them ({0} MiB); end this one with a LIMIT"
    )]
    MemoryExhausted(usize),
    /// ClickHouse gave no answer.
    #[error("the panel {panel} cannot be computed: {}", source.viewer_message())]
    ClickHouse {
        /// The panel.
        panel: String,
        /// What ClickHouse said.
        source: ClickHouseError,
    },
    /// ClickHouse's answer is not readable.
    #[error("the answer of the panel {panel} is not readable: {reason}")]
    InvalidResult {
        /// The panel.
        panel: String,
        /// What is wrong with it.
        reason: String,
    },
}

/// The handle of the panels: cheap to clone.
#[derive(Clone, Debug)]
pub struct Panels {
    clickhouse: ClickHouse,
    catalog: watch::Receiver<Arc<Catalog>>,
    /// By the checksum of the panel's file and the question. None where answers are not kept.
    cache: Option<Cache<(u32, PanelQuery), Arc<PanelResult>>>,
    /// Who asks needs a place, and then a turn.
    queue_permits: Arc<Semaphore>,
    query_permits: Arc<Semaphore>,
    /// Which code was logged for a panel, and when. Panels come from files, so there are few.
    logged: Arc<Mutex<LoggedErrors>>,
}

/// A code and a time by the panel's name.
type LoggedErrors = HashMap<String, (Option<i32>, Instant)>;

impl Panels {
    /// The panels of a catalogue. Answers are used again for `cache_ttl`.
    pub fn new(clickhouse: ClickHouse, cache_ttl: Duration, catalog: watch::Receiver<Arc<Catalog>>) -> Self {
        let cache = (!cache_ttl.is_zero()).then(|| {
            Cache::builder()
                .time_to_live(cache_ttl)
                .max_capacity(MAX_CACHE_BYTES)
                .weigher(|(_, query): &(u32, PanelQuery), result: &Arc<PanelResult>| {
                    u32::try_from(
                        result.table.estimated_bytes() + query.estimated_bytes() + RESULT_OVERHEAD_BYTES,
                    )
                    .unwrap_or(u32::MAX)
                })
                .build()
        });
        let queue_permits = Arc::new(Semaphore::new(MAX_CONCURRENT_QUERIES + MAX_QUEUED_QUERIES));
        let query_permits = Arc::new(Semaphore::new(MAX_CONCURRENT_QUERIES));
        Self { clickhouse, catalog, cache, queue_permits, query_permits, logged: Arc::default() }
    }

    /// The panels there are now; changes with the folder.
    pub fn catalog(&self) -> watch::Receiver<Arc<Catalog>> {
        self.catalog.clone()
    }

    /// The database that is asked.
    pub fn clickhouse(&self) -> &ClickHouse {
        &self.clickhouse
    }

    /// Brings a question into its shortest form, or says what is wrong with it.
    pub fn validate(&self, mut query: PanelQuery) -> Result<PanelQuery, PanelError> {
        let panel = self.panel(&query.panel)?;
        let zone = parse_time_zone(query.time_zone.as_deref()).map_err(PanelError::InvalidQuery)?;
        query.time_zone = zone.iana_name().filter(|name| *name != "UTC").map(str::to_owned);
        let mut parameters = BTreeMap::new();
        for (name, value) in &query.parameters {
            let definition = panel.parameters.iter().find(|parameter| parameter.name == *name);
            let definition = definition.ok_or_else(|| unknown_parameter(&panel, name))?;
            let value = definition.canonicalize(value).map_err(PanelError::InvalidQuery)?;
            if value != definition.default {
                parameters.insert(name.clone(), value);
            }
        }
        query.parameters = parameters;
        Ok(query)
    }

    /// Answers a question. Those who ask the same at the same time share one computation.
    pub async fn query(&self, query: PanelQuery) -> Result<Arc<PanelResult>, PanelError> {
        let query = self.validate(query)?;
        let panel = self.panel(&query.panel)?;
        match &self.cache {
            None => self.compute_with_permit(&panel, &query).await.map(Arc::new),
            Some(cache) => {
                let computation = async { self.compute_with_permit(&panel, &query).await.map(Arc::new) };
                let result = cache.try_get_with(cache_key(&panel, &query), computation).await;
                result.map_err(|error| (*error).clone())
            }
        }
    }

    /// Answers a checked question anew. Whoever asks it for a while gets this answer.
    pub async fn refresh(&self, query: &PanelQuery) -> Result<Arc<PanelResult>, PanelError> {
        let panel = self.panel(&query.panel)?;
        let result = Arc::new(self.compute(&panel, query).await?);
        if let Some(cache) = &self.cache {
            cache.insert(cache_key(&panel, query), Arc::clone(&result)).await;
        }
        Ok(result)
    }

    /// The panel of this name.
    pub fn panel(&self, name: &str) -> Result<Arc<Panel>, PanelError> {
        let catalog = self.catalog.borrow();
        catalog.panels.get(name).cloned().ok_or_else(|| PanelError::UnknownPanel {
            name: abbreviate(name),
            available: catalog.panels.keys().map(String::as_str).collect::<Vec<_>>().join(", "),
        })
    }

    /// Computes an answer when it is its turn. Questions beyond the bound are refused, since each would only make all wait.
    async fn compute_with_permit(
        &self,
        panel: &Panel,
        query: &PanelQuery,
    ) -> Result<PanelResult, PanelError> {
        let _queue_permit = self.queue_permits.try_acquire().map_err(|_| PanelError::Busy)?;
        let permit = tokio::time::timeout(MAX_QUEUE_WAIT, self.query_permits.acquire()).await;
        let _permit = permit.map_err(|_| PanelError::Busy)?.map_err(|_| PanelError::Busy)?;
        self.compute(panel, query).await
    }

    /// Computes the answer of a panel, which need not be in the catalogue.
    pub(super) async fn compute(&self, panel: &Panel, query: &PanelQuery) -> Result<PanelResult, PanelError> {
        let time_frame = TimeFrame::new(panel, query)?;
        let response = self.fetch("", panel, query, &time_frame).await?;
        let table = ResultTable::from_json_compact(&response).map_err(|error| PanelError::InvalidResult {
            panel: panel.name.clone(),
            reason: error.to_string(),
        })?;
        let context = v1::PanelContext {
            range_start: Some(proto::timestamp_from_millis(time_frame.buckets.starts[0] * 1_000)),
            range_end: Some(proto::timestamp_from_millis(time_frame.buckets.end * 1_000)),
            time_zone: time_frame.zone_name,
            computed_at: Some(proto::timestamp_from_millis(time_frame.now.as_millisecond())),
            approximate: is_approximate(&table, &panel.distinct),
        };
        Ok(PanelResult { table, context })
    }

    /// The rows of `EXPLAIN` of a panel's statement, before anything of it is published.
    pub(super) async fn explain(&self, panel: &Panel, explain: Explain) -> Result<Vec<String>, PanelError> {
        let query = PanelQuery::with_defaults(&panel.name);
        // On the line of the statement's first, so that the lines in an error are those of the file.
        let response = self.fetch(explain.prefix(), panel, &query, &TimeFrame::new(panel, &query)?).await?;
        let invalid_result = |reason: String| PanelError::InvalidResult { panel: panel.name.clone(), reason };
        let table =
            ResultTable::from_json_compact(&response).map_err(|error| invalid_result(error.to_string()))?;
        let rows = table.rows.into_iter().map(|mut row| match (row.pop(), row.pop()) {
            (Some(Cell::Text(text)), None) => Ok(text),
            _ => Err(invalid_result("EXPLAIN gives other than one text a row".to_owned())),
        });
        rows.collect()
    }

    /// What viewers are not told is for the operator: once, and again when it changes or a minute has passed, since a
    /// panel that is watched is tried every second.
    fn log(&self, panel: &str, error: &ClickHouseError) {
        if error.viewer_message() == error.message {
            return;
        }
        let mut logged = self.logged.lock().unwrap_or_else(PoisonError::into_inner);
        let already_logged =
            logged.get(panel).is_some_and(|(code, at)| *code == error.code && at.elapsed() < LOG_INTERVAL);
        if !already_logged {
            logged.insert(panel.to_owned(), (error.code, Instant::now()));
            tracing::warn!(panel, %error, "ClickHouse refused a panel");
        }
    }

    async fn fetch(
        &self,
        prefix: &str,
        panel: &Panel,
        query: &PanelQuery,
        TimeFrame { zone_name, buckets, hour, .. }: &TimeFrame,
    ) -> Result<Bytes, PanelError> {
        let failed = |source: ClickHouseError| PanelError::ClickHouse { panel: panel.name.clone(), source };
        let (level, partition) = (buckets.series_level(), buckets.partition());
        let mut statement = self
            .clickhouse
            .client()
            .map_err(failed)?
            .query_raw(&format!("{prefix}{}", panel.sql))
            .param("range_start", buckets.starts[0])
            .param("range_end", buckets.end)
            .param("buckets", &buckets.starts)
            .param("time_zone", zone_name)
            .param("step", level.minutes)
            .param("steps_end", level.end)
            .param("quarters_from", partition.from[0])
            .param("hours_from", partition.from[1])
            .param("six_hours_from", partition.from[2])
            .param("six_hours_to", partition.to[2])
            .param("hours_to", partition.to[1])
            .param("quarters_to", partition.to[0])
            .param("hour_start", hour.start)
            .param("week_ago_start", hour.week_ago_start)
            .param("week_ago_now", hour.week_ago_now);
        for parameter in &panel.parameters {
            statement = statement
                .param(&parameter.name, query.parameters.get(&parameter.name).unwrap_or(&parameter.default));
        }
        for (name, value) in QUERY_SETTINGS {
            statement = statement.with_setting(name, value);
        }
        let response = async { Ok(statement.fetch_bytes("JSONCompact")?.collect().await?) };
        let response = tokio::time::timeout(QUERY_TIMEOUT, response).await;
        response.unwrap_or_else(|_| Err(ClickHouseError::unreachable(timeout_message()))).map_err(|source| {
            self.log(&panel.name, &source);
            failed(source)
        })
    }
}

/// What ClickHouse is asked about a statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Explain {
    /// The tree that its parser makes. Nothing is carried out.
    Ast,
    /// What its analyzer takes each name for. Scalar subqueries are carried out.
    QueryTree,
}

impl Explain {
    fn prefix(self) -> &'static str {
        match self {
            Self::Ast => "EXPLAIN AST ",
            Self::QueryTree => "EXPLAIN QUERY TREE run_passes = 1, passes = 1 ",
        }
    }
}

/// The time that a panel is asked for.
struct TimeFrame {
    now: Timestamp,
    zone_name: String,
    buckets: Buckets,
    hour: HourComparison,
}

impl TimeFrame {
    fn new(panel: &Panel, query: &PanelQuery) -> Result<Self, PanelError> {
        let now = Timestamp::now();
        let zone = parse_time_zone(query.time_zone.as_deref()).map_err(PanelError::InvalidQuery)?;
        let buckets = Buckets::new(query.range, panel.granularity, &zone, now);
        let zone_name = zone.iana_name().unwrap_or("UTC").to_owned();
        Ok(Self { now, zone_name, buckets, hour: hour_comparison(&zone, now) })
    }
}

impl PanelQuery {
    /// About how much memory it takes, in bytes.
    fn estimated_bytes(&self) -> usize {
        let parameters =
            self.parameters.iter().map(|(name, value)| name.len() + value.len() + 2 * size_of::<String>());
        self.panel.len() + self.time_zone.as_ref().map_or(0, String::len) + parameters.sum::<usize>()
    }

    /// The last hour of a panel with its defaults, in UTC.
    pub(super) fn with_defaults(panel: &str) -> Self {
        Self { panel: panel.to_owned(), range: TimeRange::Hour, time_zone: None, parameters: BTreeMap::new() }
    }
}

fn timeout_message() -> String {
    format!("ClickHouse gave no answer in {} s", QUERY_TIMEOUT.as_secs())
}

fn cache_key(panel: &Panel, query: &PanelQuery) -> (u32, PanelQuery) {
    (crc32c::crc32c(panel.sql.as_bytes()), query.clone())
}

fn unknown_parameter(panel: &Panel, name: &str) -> PanelError {
    let known: Vec<&str> = panel.parameters.iter().map(|parameter| parameter.name.as_str()).collect();
    let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
    PanelError::InvalidQuery(format!(
        "parameters: the panel {} has no {:?}; it has {known}",
        panel.name,
        abbreviate(name)
    ))
}

fn is_approximate(table: &ResultTable, distinct: &[String]) -> bool {
    let columns: Vec<usize> = distinct.iter().filter_map(|name| table.column_index(name)).collect();
    table.rows.iter().any(|row| {
        columns.iter().any(|&at| matches!(row[at], Cell::UInt(count) if count > MAX_EXACT_DISTINCT))
    })
}

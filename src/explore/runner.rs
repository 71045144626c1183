//! Executes the statements of queries within their budget: a pool of their own, so that panels and inserts never wait for
//! them, and limits on time, rows and memory.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde::de::DeserializeOwned;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tracing::Instrument as _;

use super::error::ExploreError;
use crate::clickhouse::{ClickHouse, ClickHouseError};
use crate::config::ExploreConfig;
use crate::counters::Histogram;
use crate::filter::sql::Params;
use crate::people::PeopleTables;
use crate::project::Project;
use crate::traces;

/// Settings of every statement. See `panels/query.rs` for those that are the same there.
const SETTINGS: [(&str, &str); 17] = [
    ("readonly", "1"),
    ("cancel_http_readonly_queries_on_client_close", "1"),
    ("date_time_output_format", "iso"),
    ("output_format_json_quote_64bit_integers", "0"),
    ("output_format_json_quote_denormals", "0"),
    ("join_use_nulls", "0"),
    ("compile_expressions", "0"),
    ("compile_aggregate_expressions", "0"),
    ("output_format_parallel_formatting", "0"),
    ("optimize_use_projections", "0"),
    ("optimize_use_implicit_projections", "0"),
    ("max_query_size", "1048576"),
    ("max_result_rows", "200000"),
    ("result_overflow_mode", "throw"),
    // A grouping set without a column has its default there: an empty text, 0.
    ("group_by_use_nulls", "0"),
    ("max_rows_in_set", "50000000"),
    // Sets of sessions are hashes, of which every block of a table has some.
    ("use_index_for_in_with_subqueries", "0"),
];

/// The result of a streamed statement may have as many rows as the statement may read.
const STREAM_RESULT_ROWS: &str = "0";

/// Time for ClickHouse's own error after its time limit.
const TIMEOUT_MARGIN: Duration = Duration::from_secs(2);

/// How long a query waits for others before it is refused.
const MAX_WAIT: Duration = Duration::from_secs(10);
/// How many queries may wait.
const MAX_WAITING: usize = 64;

/// A statement with its parameters.
#[derive(Clone, Debug, Default)]
pub(crate) struct Statement {
    pub(crate) sql: String,
    pub(crate) params: Params,
    /// A statement that reads the same events, for an estimate. `None` if there are few rows to read, however many events there
    /// are.
    pub(crate) scan: Option<String>,
}

/// What a query cost so far.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Cost {
    pub(crate) rows_read: u64,
    pub(crate) bytes_read: u64,
    pub(crate) elapsed: Duration,
}

/// Executes statements. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Runner {
    clickhouse: ClickHouse,
    people: PeopleTables,
    config: Arc<ExploreConfig>,
    waiting: Arc<Semaphore>,
    running: Arc<Semaphore>,
    callers: Arc<Mutex<HashMap<String, usize>>>,
    stats: Arc<ExploreStats>,
}

/// How the statements of queries did. Shared by all clones of [`Runner`].
#[derive(Debug, Default)]
pub(crate) struct ExploreStats {
    /// One statement, from its start to its result or error.
    pub(crate) latency: Histogram,
    pub(crate) failures: AtomicU64,
    /// Queries that were rejected because too many run.
    pub(crate) rejected: AtomicU64,
}

/// The permission to run one query, and what it cost. Its statements run one after the other.
pub(crate) struct Execution<'a> {
    runner: &'a Runner,
    project: &'a Project,
    pub(crate) cost: Cost,
    /// Held by the query of a caller.
    _permits: Option<(OwnedSemaphorePermit, CallerPermit)>,
}

/// One of the queries of a caller.
struct CallerPermit {
    callers: Arc<Mutex<HashMap<String, usize>>>,
    caller: String,
}

impl Drop for CallerPermit {
    fn drop(&mut self) {
        let mut callers = self.callers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(queries) = callers.get_mut(&self.caller) {
            *queries -= 1;
            if *queries == 0 {
                callers.remove(&self.caller);
            }
        }
    }
}

#[derive(serde::Deserialize)]
struct Answer<T> {
    data: Vec<T>,
    statistics: Statistics,
}

#[derive(serde::Deserialize)]
struct Statistics {
    rows_read: u64,
    bytes_read: u64,
}

impl Runner {
    pub(crate) fn new(clickhouse: ClickHouse, people: PeopleTables, config: ExploreConfig) -> Self {
        let running = config.concurrent_queries;
        Self {
            clickhouse,
            people,
            config: Arc::new(config),
            waiting: Arc::new(Semaphore::new(running + MAX_WAITING)),
            running: Arc::new(Semaphore::new(running)),
            callers: Arc::default(),
            stats: Arc::default(),
        }
    }

    /// How the statements did.
    pub(crate) fn stats(&self) -> &Arc<ExploreStats> {
        &self.stats
    }

    /// Waits for the permission to run a query for a caller.
    pub(crate) async fn start<'a>(
        &'a self,
        caller: &str,
        project: &'a Project,
    ) -> Result<Execution<'a>, ExploreError> {
        self.admit(caller, project).await.inspect_err(|_| {
            self.stats.rejected.fetch_add(1, Relaxed);
        })
    }

    async fn admit<'a>(&'a self, caller: &str, project: &'a Project) -> Result<Execution<'a>, ExploreError> {
        let caller = self.caller_permit(caller)?;
        let busy = || ExploreError::Busy {
            running: self.config.concurrent_queries,
            whose: "of all callers",
            setting: "MILLRACE_EXPLORE_QUERIES",
        };
        let _waiting = self.waiting.try_acquire().map_err(|_| busy())?;
        let permit = tokio::time::timeout(MAX_WAIT, Arc::clone(&self.running).acquire_owned()).await;
        let permit = permit.map_err(|_| busy())?.map_err(|_| busy())?;
        Ok(Execution { _permits: Some((permit, caller)), ..self.start_unlimited(project) })
    }

    /// Starts a query whose caller limits how many run.
    pub(super) fn start_unlimited<'a>(&'a self, project: &'a Project) -> Execution<'a> {
        Execution { runner: self, project, cost: Cost::default(), _permits: None }
    }

    fn caller_permit(&self, caller: &str) -> Result<CallerPermit, ExploreError> {
        let mut callers = self.callers.lock().unwrap_or_else(PoisonError::into_inner);
        let queries = callers.entry(caller.to_owned()).or_default();
        if *queries >= self.config.queries_per_caller {
            return Err(ExploreError::Busy {
                running: *queries,
                whose: "with this key",
                setting: "MILLRACE_EXPLORE_QUERIES_PER_KEY",
            });
        }
        *queries += 1;
        Ok(CallerPermit { callers: Arc::clone(&self.callers), caller: caller.to_owned() })
    }

    fn query(
        &self,
        prefix: &str,
        statement: &Statement,
        project: &Project,
    ) -> Result<clickhouse::query::Query, ClickHouseError> {
        let config = &self.config;
        let half_memory = (config.max_memory_bytes / 2).to_string();
        let mut query = self
            .clickhouse
            .client()?
            .query_raw(&format!("{prefix}{}", statement.sql))
            .param("project", project.as_str())
            .param("people_mark", self.people.mark())
            .with_setting("additional_table_filters", crate::panels::row_filters(project, &self.clickhouse))
            .with_setting("max_execution_time", config.timeout.as_secs().max(1).to_string())
            .with_setting("max_memory_usage", config.max_memory_bytes.to_string())
            .with_setting("max_bytes_before_external_group_by", half_memory.clone())
            .with_setting("max_bytes_before_external_sort", half_memory);
        for (name, value) in SETTINGS {
            query = query.with_setting(name, value);
        }
        Ok(statement.params.bind(query))
    }
}

impl Execution<'_> {
    /// The tables of people.
    pub(super) fn people(&self) -> &PeopleTables {
        &self.runner.people
    }

    /// The rows of a statement whose result is small.
    pub(crate) async fn rows<T: DeserializeOwned>(
        &mut self,
        statement: &Statement,
    ) -> Result<Vec<T>, ExploreError> {
        self.check_estimate(statement).await?;
        let answer: Answer<T> = self.fetch("", statement).await?;
        self.cost.rows_read += answer.statistics.rows_read;
        self.cost.bytes_read += answer.statistics.bytes_read;
        Ok(answer.data)
    }

    /// Refuses a statement that would read more events than allowed, before it starts. The estimate is the number of rows in the
    /// blocks that the indexes select. That of the whole statement would take as long as its subqueries, which it executes.
    async fn check_estimate(&mut self, statement: &Statement) -> Result<u64, ExploreError> {
        let Some(scan) = &statement.scan else { return Ok(0) };
        let scan = Statement { sql: scan.clone(), params: statement.params.clone(), scan: None };
        let estimate: Answer<(String, String, u64, u64, u64)> =
            self.fetch("EXPLAIN ESTIMATE ", &scan).await?;
        let rows: u64 = estimate.data.iter().map(|(.., rows, _)| rows).sum();
        let budget = self.runner.config.max_rows;
        if budget > 0 && rows > budget {
            return Err(ExploreError::TooManyRows {
                rows: rows.div_ceil(1_000_000),
                budget: budget / 1_000_000,
            });
        }
        Ok(rows)
    }

    async fn fetch<T: DeserializeOwned>(
        &mut self,
        prefix: &str,
        statement: &Statement,
    ) -> Result<Answer<T>, ExploreError> {
        let mut query = self.runner.query(prefix, statement, self.project)?;
        if prefix.is_empty() {
            query = query.with_setting("max_rows_to_read", self.runner.config.max_rows.to_string());
        }
        let response = async { Ok(query.fetch_bytes("JSONCompact")?.collect().await?) };
        let bytes = self.timed(response).await?;
        serde_json::from_slice(&bytes).map_err(|error| ExploreError::InvalidResult(error.to_string()))
    }

    /// Calls `consume` with each chunk of a result in the format RowBinary. A row may be cut by the end of a chunk.
    pub(super) async fn stream(
        &mut self,
        statement: &Statement,
        mut consume: impl FnMut(&[u8]) -> Result<(), ExploreError>,
    ) -> Result<(), ExploreError> {
        let rows = self.check_estimate(statement).await?;
        let query = self.runner.query("", statement, self.project)?;
        let query = query
            .with_setting("max_result_rows", STREAM_RESULT_ROWS)
            .with_setting("max_rows_to_read", self.runner.config.max_rows.to_string());
        let mut bytes = 0;
        let response = async {
            let mut cursor = query.fetch_bytes("RowBinary")?;
            let mut failure = Ok(());
            while let Some(chunk) = cursor.next().await? {
                bytes += chunk.len() as u64;
                failure = consume(&chunk);
                if failure.is_err() {
                    break;
                }
            }
            Ok(failure)
        };
        self.timed(response).await??;
        self.cost.rows_read += rows;
        self.cost.bytes_read += bytes;
        Ok(())
    }

    async fn timed<T>(
        &mut self,
        response: impl Future<Output = Result<T, ClickHouseError>>,
    ) -> Result<T, ExploreError> {
        let started_at = Instant::now();
        let span = tracing::info_span!(
            target: traces::TARGET,
            "explore statement",
            project = self.project.as_str(),
            otel.status_code = tracing::field::Empty,
            otel.status_description = tracing::field::Empty,
        );
        let limit = self.runner.config.timeout + TIMEOUT_MARGIN;
        let result = tokio::time::timeout(limit, response).instrument(span.clone()).await;
        let elapsed = started_at.elapsed();
        self.cost.elapsed += elapsed;
        self.runner.stats.latency.observe(elapsed);
        let result = result.unwrap_or_else(|_| {
            Err(ClickHouseError::unreachable(format!("no result within {} s", limit.as_secs())))
        });
        result.map_err(|error| {
            traces::record_failure(&span, &error);
            self.runner.stats.failures.fetch_add(1, Relaxed);
            if error.viewer_message() != error.message {
                tracing::warn!(%error, "explore query failed");
            }
            error.into()
        })
    }
}

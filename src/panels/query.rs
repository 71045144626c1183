//! Executes panel queries: validation, concurrency limits, single-flight and caching.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use jiff::Timestamp;
use moka::future::Cache;
use tokio::sync::{Semaphore, watch};
use tracing::Instrument as _;
use tracing::field::Empty;

use super::buckets::BucketWidth;
use super::catalog::{Catalog, Panel};
use super::comparison::Compare;
use super::filter::{EVENT_NAME, Filters, InvalidFilter};
use super::frame::{Frame, HeaderMismatch};
use super::parameter::InvalidValue;
use super::range::{InvalidRange, TimeRange};
use super::sandbox::TABLES;
use super::spec::MAX_LABEL_CHARS;
use super::table::{Cell, ResultTable, Statistics};
use super::template::{Expansion, ExpansionError, Source, check_dimension};
use super::time_frame::TimeFrame;
use super::wall_clock::{UnknownTimeZone, parse_time_zone};
use super::{abbreviate, truncate};
use crate::clickhouse::{ClickHouse, ClickHouseError, ErrorKind};
use crate::counters::Histogram;
use crate::project::Project;
use crate::properties::Properties;
use crate::traces;

/// The size of all cached results, in bytes. The least recently used are evicted.
const MAX_CACHE_BYTES: u64 = 32 << 20;

/// The cost of a cached result besides its table and its query. It also bounds the number of empty results.
const RESULT_OVERHEAD_BYTES: usize = 1_024;

/// How long ClickHouse may take to respond. Longer than `max_execution_time`, so that its own error arrives first.
const QUERY_TIMEOUT: Duration = Duration::from_secs(12);

/// The limits of a panel's statement. With readonly=1 it cannot write, change these settings, or use table functions that
/// read files or open addresses, which need the right to create temporary tables.
const QUERY_SETTINGS: [(&str, &str); 17] = [
    ("readonly", "1"),
    // A statement is cancelled when nobody waits for its result any longer.
    ("cancel_http_readonly_queries_on_client_close", "1"),
    ("max_execution_time", "10"),
    ("max_result_rows", "50000"),
    ("max_result_bytes", "16777216"),
    ("result_overflow_mode", "throw"),
    ("max_memory_usage", "1000000000"),
    ("date_time_output_format", "iso"),
    ("output_format_json_quote_64bit_integers", "0"),
    ("output_format_json_quote_denormals", "0"),
    ("join_use_nulls", "0"),
    // ClickHouse compiles a statement on its third run, which takes longer than it saves on so few rows.
    ("compile_expressions", "0"),
    ("compile_aggregate_expressions", "0"),
    // A statement takes a few milliseconds, most of it before it reads. A result is too small for threads that format it,
    // and the tables have no projections.
    ("output_format_parallel_formatting", "0"),
    ("optimize_use_projections", "0"),
    ("optimize_use_implicit_projections", "0"),
    // The rows of the rollup that cover a range are listed in the statement.
    ("max_query_size", "1048576"),
];

/// Further limits of a statement that reads events because of its filters. The rollup has few rows, events are many.
const EVENTS_SETTINGS: [(&str, &str); 2] =
    [("max_rows_to_read", "200000000"), ("max_bytes_to_read", "20000000000")];

/// Seconds of a day.
const DAY_SECONDS: i64 = 86_400;

/// How many requested results are computed at once. Subscriptions have their own limit, and inserts need the engine too.
const MAX_CONCURRENT_QUERIES: usize = 4;
/// How many further queries may wait. Beyond that they are rejected as [`PanelError::Busy`].
const MAX_QUEUED_QUERIES: usize = 60;
/// How long a query waits before it is rejected as [`PanelError::Busy`].
const MAX_QUEUE_WAIT: Duration = Duration::from_secs(5);

/// How often the same error of a panel is logged.
const LOG_INTERVAL: Duration = Duration::from_secs(60);

/// Distinct counts up to this value are exact; larger ones are estimates (`template.rs`).
pub(crate) const MAX_EXACT_DISTINCT: u64 = 100;

/// A panel with all that its result depends on. [Validated](Panels::validate) queries are equal if they ask for the same
/// result, so caches and subscriptions never mix projects.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct PanelQuery {
    /// Only its events count.
    pub project: Project,
    /// The panel's name.
    pub panel: String,
    /// The range.
    pub range: TimeRange,
    /// The width of buckets; `None` for that of the range.
    pub bucket: Option<BucketWidth>,
    /// The earlier period that is computed too.
    pub compare: Option<Compare>,
    /// Only events that pass count.
    pub filters: Filters,
    /// An IANA name; `None` is UTC.
    pub time_zone: Option<String>,
    /// Values by parameter name. Parameters without a value have their default.
    pub parameters: BTreeMap<String, String>,
}

/// The result of a query.
#[derive(Debug)]
pub(crate) struct PanelResult {
    /// The panel's name.
    pub panel: String,
    /// The rows that ClickHouse returned.
    pub table: ResultTable,
    /// How it is drawn.
    pub frame: Frame,
    /// What they were computed for.
    pub context: ResultContext,
    /// What the statement read.
    pub statistics: Statistics,
    /// The result of the earlier period.
    pub comparison: Option<Box<PanelResult>>,
}

impl PanelResult {
    /// Whether a later result need not be sent to subscribers. The range moves on once a minute, and is shown.
    pub(crate) fn shows_same(&self, later: &Self) -> bool {
        let context = ResultContext { computed_at: self.context.computed_at, ..later.context.clone() };
        let same_comparison = match (&self.comparison, &later.comparison) {
            (Some(earlier), Some(later)) => earlier.shows_same(later),
            (earlier, later) => earlier.is_none() && later.is_none(),
        };
        self.table == later.table && self.frame == later.frame && self.context == context && same_comparison
    }

    /// Memory use in bytes, estimated.
    pub(crate) fn estimated_bytes(&self) -> usize {
        let comparison = self.comparison.as_ref().map_or(0, |comparison| comparison.estimated_bytes());
        self.table.estimated_bytes() + self.frame.estimated_bytes() + comparison
    }
}

/// The time frame of a result, and whether it is exact.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ResultContext {
    /// The start of the first bucket or of the panel's own span, in seconds since 1970 UTC.
    pub range_start: i64,
    /// The end of the range, exclusive, in seconds since 1970 UTC: the start of the next minute.
    pub range_end: i64,
    /// The IANA name of the time zone that the buckets follow.
    pub time_zone: String,
    /// When the query was sent.
    pub computed_at: Timestamp,
    /// Whether a distinct count is above [`MAX_EXACT_DISTINCT`].
    pub approximate: bool,
    /// The start of the bucket that includes the present, in seconds since 1970 UTC. `None` if no bucket does.
    pub partial_from: Option<i64>,
    /// The nominal width of a bucket. `None` if the result has no standard buckets.
    pub bucket: Option<BucketWidth>,
    /// Where the figures come from. `None` if the panel's statement has no template.
    pub source: Option<Source>,
    /// The start of the requested range if it is before what is stored, in seconds since 1970 UTC.
    pub requested_start: Option<i64>,
    /// The label of the panel's own span; `None` if the panel covers the requested range.
    pub span: Option<String>,
}

/// Why there is no result.
#[derive(Clone, Debug, thiserror::Error)]
pub enum PanelError {
    /// No panel has this name.
    #[error("panel: {name:?} is not known; available panels: {available}")]
    UnknownPanel {
        /// The name, abbreviated.
        name: String,
        /// The names of all panels.
        available: String,
    },
    /// The panel has no such parameter.
    #[error("parameters: the panel {panel} has no parameter {name:?}; it has {available}")]
    UnknownParameter {
        /// The panel.
        panel: String,
        /// The name, abbreviated.
        name: String,
        /// The names of its parameters.
        available: String,
    },
    /// A parameter's value has the wrong type or is out of bounds.
    #[error(transparent)]
    InvalidValue(#[from] InvalidValue),
    /// The time zone does not exist.
    #[error(transparent)]
    UnknownTimeZone(#[from] UnknownTimeZone),
    /// The range, or the width of its buckets, is invalid.
    #[error(transparent)]
    InvalidRange(#[from] InvalidRange),
    /// A filter is invalid, or the panel has none.
    #[error(transparent)]
    InvalidFilter(#[from] InvalidFilter),
    /// The panel has neither a series nor a number.
    #[error("compare: the panel {0} has neither a time axis nor figures, so it cannot be compared")]
    NotComparable(String),
    /// A template of the panel does not fit the declared properties.
    #[error("the panel {panel} cannot be computed: {source}")]
    Expansion {
        /// The panel.
        panel: String,
        /// What is wrong.
        source: ExpansionError,
    },
    /// The filters need events, and there are too many of them.
    #[error(
        "the panel {panel} has to read events for these filters, and exceeds its budget ({reason}); narrow the range, or \
         filter by one dimension that the panel is not broken down by"
    )]
    OverBudget {
        /// The panel.
        panel: String,
        /// The limit that was exceeded.
        reason: String,
    },
    /// Too many queries are running and waiting.
    #[error("too many different panel queries at once; retry in a second, or subscribe with WatchPanels")]
    Busy,
    /// The results of all subscribed queries have reached their limit, in MiB.
    #[error("the results of all subscribed panels exceed {0} MiB; return fewer rows, for example with LIMIT")]
    MemoryExhausted(usize),
    /// ClickHouse did not return a result.
    #[error("the panel {panel} cannot be computed: {}", source.viewer_message())]
    ClickHouse {
        /// The panel.
        panel: String,
        /// ClickHouse's error, which may contain values. Viewers get only its `viewer_message`.
        source: ClickHouseError,
    },
    /// A line of the panel's header does not fit the result.
    #[error("the header of the panel {panel} is invalid: {mismatch}")]
    InvalidHeader {
        /// The panel.
        panel: String,
        /// The line and the column.
        mismatch: HeaderMismatch,
    },
    /// ClickHouse's result cannot be decoded, or lacks what the panel's typed message needs.
    #[error("the result of the panel {panel} is invalid: {reason}")]
    InvalidResult {
        /// The panel.
        panel: String,
        /// The column or row at fault.
        reason: String,
    },
}

impl PanelError {
    /// Whether the query itself is at fault: it fails again unless the query or the panel is changed.
    pub(crate) fn is_invalid_query(&self) -> bool {
        matches!(
            self,
            Self::UnknownPanel { .. }
                | Self::UnknownParameter { .. }
                | Self::InvalidValue(_)
                | Self::UnknownTimeZone(_)
                | Self::InvalidRange(_)
                | Self::InvalidFilter(_)
                | Self::NotComparable(_)
        )
    }
}

/// Checks that a result can be converted into its panel's message. The API layer provides it, because panels do not know
/// protobuf.
pub(crate) type ResultCheck = fn(&PanelResult) -> Result<(), PanelError>;

/// What panels read.
#[derive(Clone, Debug)]
pub(crate) struct PanelSources {
    /// The dimensions and measures. They change when declarations are applied.
    pub properties: watch::Receiver<Arc<Properties>>,
    /// How many days events are stored; 0 for indefinitely.
    pub events_retention_days: u32,
    /// How many days the rollup is stored; 0 for indefinitely.
    pub rollup_retention_days: u32,
}

impl Default for PanelSources {
    /// The default project with the built-in properties.
    fn default() -> Self {
        Self {
            properties: watch::channel(Arc::new(Properties::built_in())).1,
            events_retention_days: 0,
            rollup_retention_days: 0,
        }
    }
}

impl PanelSources {
    /// From where on all events are stored, in seconds since 1970 UTC. `None` if they are stored indefinitely. Rows of the
    /// rollup that are a day long end with their first minute, so only whole days count.
    pub(crate) fn stored_from(&self, source: Option<Source>, now: Timestamp) -> Option<i64> {
        let (days, unit) = match source {
            Some(Source::Events) => (self.events_retention_days, 60),
            Some(Source::Rollup) | None => (self.rollup_retention_days, DAY_SECONDS),
        };
        let expired = now.as_second() - i64::from(days) * DAY_SECONDS;
        (days > 0).then(|| expired.div_euclid(unit) * unit + unit)
    }
}

/// Computes and caches results. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Panels {
    clickhouse: ClickHouse,
    sources: PanelSources,
    catalog: watch::Receiver<Arc<Catalog>>,
    check_result: ResultCheck,
    /// The key contains a checksum of the panel's text, so a changed file never gets an old result. `None` if caching is
    /// disabled.
    cache: Option<Cache<(u32, PanelQuery), Arc<PanelResult>>>,
    /// Running and waiting queries.
    queue_permits: Arc<Semaphore>,
    /// Running queries.
    query_permits: Arc<Semaphore>,
    /// The last error that was logged for each panel. Panels come from files, so there are few.
    logged: Arc<Mutex<LoggedErrors>>,
    stats: Arc<PanelStats>,
    /// Whether its statements are those of editors, which read events without a template.
    is_sql: bool,
}

/// How the statements of panels did. Shared by all clones of [`Panels`].
#[derive(Debug, Default)]
pub(crate) struct PanelStats {
    /// One statement, from its start to its result or error.
    pub(crate) latency: Histogram,
    pub(crate) failures: AtomicU64,
    /// By panel. Panels come from files, so there are few.
    by_panel: Mutex<HashMap<String, Arc<PanelFigures>>>,
}

/// How the statements of one panel did.
#[derive(Debug, Default)]
pub(crate) struct PanelFigures {
    pub(crate) latency: Histogram,
    pub(crate) failures: AtomicU64,
    /// The last error, as viewers get it, and its time.
    pub(crate) last_error: Mutex<Option<(String, Timestamp)>>,
}

impl PanelStats {
    /// Of the panels that have been computed.
    pub(crate) fn by_panel(&self) -> Vec<(String, Arc<PanelFigures>)> {
        let by_panel = self.by_panel.lock().unwrap_or_else(PoisonError::into_inner);
        by_panel.iter().map(|(name, figures)| (name.clone(), Arc::clone(figures))).collect()
    }

    fn add(&self, panel: &str, elapsed: Duration, error: Option<&ClickHouseError>) {
        let figures = {
            let mut by_panel = self.by_panel.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(by_panel.entry(panel.to_owned()).or_default())
        };
        for latency in [&self.latency, &figures.latency] {
            latency.observe(elapsed);
        }
        let Some(error) = error else { return };
        for failures in [&self.failures, &figures.failures] {
            failures.fetch_add(1, Relaxed);
        }
        let mut last_error = figures.last_error.lock().unwrap_or_else(PoisonError::into_inner);
        *last_error = Some((error.viewer_message(), Timestamp::now()));
    }
}

/// Error code and time by panel.
type LoggedErrors = HashMap<String, (Option<i32>, Instant)>;

impl Panels {
    /// Serves the panels of `catalog`. Results are reused for `cache_ttl`; zero disables caching.
    pub(crate) fn new(
        clickhouse: ClickHouse,
        sources: PanelSources,
        cache_ttl: Duration,
        catalog: watch::Receiver<Arc<Catalog>>,
        check_result: ResultCheck,
    ) -> Self {
        let cache = (!cache_ttl.is_zero()).then(|| {
            Cache::builder()
                .time_to_live(cache_ttl)
                .max_capacity(MAX_CACHE_BYTES)
                .weigher(|(_, query): &(u32, PanelQuery), result: &Arc<PanelResult>| {
                    u32::try_from(result.estimated_bytes() + query.estimated_bytes() + RESULT_OVERHEAD_BYTES)
                        .unwrap_or(u32::MAX)
                })
                .build()
        });
        Self {
            clickhouse,
            sources,
            catalog,
            check_result,
            cache,
            queue_permits: Arc::new(Semaphore::new(MAX_CONCURRENT_QUERIES + MAX_QUEUED_QUERIES)),
            query_permits: Arc::new(Semaphore::new(MAX_CONCURRENT_QUERIES)),
            logged: Arc::default(),
            stats: Arc::default(),
            is_sql: false,
        }
    }

    /// For statements that are not panels, on a connection of their own. Nothing is cached.
    pub(super) fn for_sql(&self, clickhouse: ClickHouse) -> Self {
        Self { clickhouse, cache: None, stats: Arc::default(), is_sql: true, ..self.clone() }
    }

    /// The current panels. Changes when a file in the panels folder does.
    pub(crate) fn catalog(&self) -> watch::Receiver<Arc<Catalog>> {
        self.catalog.clone()
    }

    /// What panels read.
    pub(crate) fn sources(&self) -> &PanelSources {
        &self.sources
    }

    /// How the statements did.
    pub(crate) fn stats(&self) -> &PanelStats {
        &self.stats
    }

    /// The connection that queries use.
    pub(crate) fn clickhouse(&self) -> &ClickHouse {
        &self.clickhouse
    }

    /// Validates a query and brings it into canonical form: values that equal their default are removed.
    pub(crate) fn validate(&self, query: PanelQuery) -> Result<PanelQuery, PanelError> {
        let panel = self.panel(&query.panel)?;
        self.validate_for(&panel, query)
    }

    /// The same for a panel that need not be in the catalog.
    pub(super) fn validate_for(
        &self,
        panel: &Panel,
        mut query: PanelQuery,
    ) -> Result<PanelQuery, PanelError> {
        let zone = parse_time_zone(query.time_zone.as_deref())?;
        query.time_zone = zone.iana_name().filter(|name| *name != "UTC").map(str::to_owned);
        let mut parameters = BTreeMap::new();
        for (name, value) in &query.parameters {
            let parameter = panel.parameters.iter().find(|parameter| parameter.name == *name);
            let parameter = parameter.ok_or_else(|| unknown_parameter(panel, name))?;
            let value = parameter.canonicalize(value)?;
            if value != parameter.default {
                parameters.insert(name.clone(), value);
            }
        }
        query.parameters = parameters;
        query.range.check(Timestamp::now())?;
        if query.compare.is_some() && !panel.comparable {
            return Err(PanelError::NotComparable(panel.name.clone()));
        }
        if !query.filters.is_empty() && !panel.statement.has_rows() {
            return Err(InvalidFilter::Unsupported(panel.name.clone()).into());
        }
        for dimension in query.filters.dimensions().filter(|dimension| *dimension != EVENT_NAME) {
            if let Err(ExpansionError::UnknownDimension { dimension, available }) =
                check_dimension(dimension, &self.sources.properties.borrow())
            {
                return Err(InvalidFilter::UnknownDimension { dimension, available }.into());
            }
        }
        Ok(query)
    }

    /// Returns the cached result of a query, or computes it. Identical concurrent queries share one computation.
    pub(crate) async fn query(&self, query: PanelQuery) -> Result<Arc<PanelResult>, PanelError> {
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

    /// Computes a query and replaces its cached result. The caller limits concurrency. The query was validated once, but its
    /// panel may have changed.
    pub(crate) async fn refresh(&self, query: &PanelQuery) -> Result<Arc<PanelResult>, PanelError> {
        self.validate(query.clone())?;
        let panel = self.panel(&query.panel)?;
        let result = Arc::new(self.compute(&panel, query).await?);
        if let Some(cache) = &self.cache {
            cache.insert(cache_key(&panel, query), Arc::clone(&result)).await;
        }
        Ok(result)
    }

    /// The panel with this name.
    pub(crate) fn panel(&self, name: &str) -> Result<Arc<Panel>, PanelError> {
        let catalog = self.catalog.borrow();
        catalog.panels.get(name).cloned().ok_or_else(|| PanelError::UnknownPanel {
            name: abbreviate(name),
            available: catalog.describe_names(),
        })
    }

    /// See [`ResultCheck`].
    pub(crate) fn check_result(&self, result: &PanelResult) -> Result<(), PanelError> {
        (self.check_result)(result)
    }

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

    /// Computes a query of a panel, which need not be in the catalog.
    pub(super) async fn compute(&self, panel: &Panel, query: &PanelQuery) -> Result<PanelResult, PanelError> {
        let (source, time_frame) = self.time_frame(panel, query)?;
        let mut result = self.compute_at(panel, query, source, &time_frame).await?;
        if let Some(compare) = query.compare {
            let time_frame = time_frame.compared(panel, query, compare)?;
            let earlier = self.compute_at(panel, query, source, &time_frame).await?;
            let is_stored = time_frame.buckets.requested_start.is_none();
            result.frame.compare_figures(&earlier.frame, compare.label(), is_stored);
            result.context.approximate |= earlier.context.approximate;
            result.comparison = Some(Box::new(earlier));
        }
        Ok(result)
    }

    fn time_frame(
        &self,
        panel: &Panel,
        query: &PanelQuery,
    ) -> Result<(Option<Source>, TimeFrame), PanelError> {
        let now = Timestamp::now();
        let source = panel.statement.has_rows().then(|| panel.statement.source(&query.filters));
        let stored_from = self.sources.stored_from(source, now);
        Ok((source, TimeFrame::new(panel, query, now, stored_from)?))
    }

    async fn compute_at(
        &self,
        panel: &Panel,
        query: &PanelQuery,
        source: Option<Source>,
        time_frame: &TimeFrame,
    ) -> Result<PanelResult, PanelError> {
        let response = self.fetch("", panel, query, source, time_frame).await?;
        let table = decode(panel, &response)?;
        let statistics = Statistics::of(&response);
        let frame = Frame::new(panel, query, &table)
            .map_err(|mismatch| PanelError::InvalidHeader { panel: panel.name.clone(), mismatch })?;
        let (range_start, range_end) = time_frame.span(panel, query)?;
        let buckets = &time_frame.buckets;
        let context = ResultContext {
            range_start,
            range_end,
            partial_from: time_frame.partial_from(panel, &table, &frame),
            bucket: TimeFrame::has_buckets(panel, &frame).then_some(buckets.width),
            span: panel.spec.span.as_ref().map(|span| query.fill(panel, &span.label)),
            time_zone: time_frame.zone_name.clone(),
            computed_at: time_frame.now,
            approximate: is_approximate(&table, &panel.distinct),
            source,
            requested_start: buckets.requested_start.filter(|_| panel.spec.span.is_none()),
        };
        Ok(PanelResult { panel: panel.name.clone(), table, frame, context, statistics, comparison: None })
    }

    /// The panel's statement with default parameters, as ClickHouse gets it.
    pub(super) fn expanded(&self, panel: &Panel) -> Result<String, PanelError> {
        let query = PanelQuery::with_defaults(&panel.name);
        let (source, time_frame) = self.time_frame(panel, &query)?;
        self.statement(panel, &query, source, &time_frame)
    }

    fn statement(
        &self,
        panel: &Panel,
        query: &PanelQuery,
        source: Option<Source>,
        time_frame: &TimeFrame,
    ) -> Result<String, PanelError> {
        let expansion = Expansion {
            source: source.unwrap_or(Source::Rollup),
            filters: &query.filters,
            properties: &self.sources.properties.borrow(),
            buckets: &time_frame.buckets,
            moment: &|name| time_frame.moment(name),
            parameter: &|name| query.value(panel, name).map(str::to_owned),
        };
        let expanded = panel.statement.expand(&expansion);
        expanded.map_err(|source| PanelError::Expansion { panel: panel.name.clone(), source })
    }

    /// The rows of `EXPLAIN` for a panel's statement.
    pub(super) async fn explain(&self, panel: &Panel, explain: Explain) -> Result<Vec<String>, PanelError> {
        let query = PanelQuery::with_defaults(&panel.name);
        let (source, time_frame) = self.time_frame(panel, &query)?;
        // The prefix shares the statement's first line, so that the lines in ClickHouse's errors are those of the file.
        let response = self.fetch(explain.prefix(), panel, &query, source, &time_frame).await?;
        let rows = decode(panel, &response)?.rows.into_iter().map(|mut row| match (row.pop(), row.pop()) {
            (Some(Cell::Text(text)), None) => Ok(text),
            _ => Err(PanelError::InvalidResult {
                panel: panel.name.clone(),
                reason: "a row of EXPLAIN is not a single string".to_owned(),
            }),
        });
        rows.collect()
    }

    /// Logs an error whose message viewers do not get. A subscribed panel is retried every second, so the same error of a
    /// panel is logged once per [`LOG_INTERVAL`].
    fn log(&self, panel: &str, error: &ClickHouseError) {
        if error.viewer_message() == error.message {
            return;
        }
        let mut logged = self.logged.lock().unwrap_or_else(PoisonError::into_inner);
        let already_logged =
            logged.get(panel).is_some_and(|(code, at)| *code == error.code && at.elapsed() < LOG_INTERVAL);
        if !already_logged {
            logged.insert(panel.to_owned(), (error.code, Instant::now()));
            tracing::warn!(panel, %error, "panel query failed");
        }
    }

    async fn fetch(
        &self,
        prefix: &str,
        panel: &Panel,
        query: &PanelQuery,
        source: Option<Source>,
        time_frame: &TimeFrame,
    ) -> Result<Bytes, PanelError> {
        let failed = |error: ClickHouseError| match error.kind {
            ErrorKind::LimitExceeded if source == Some(Source::Events) => {
                PanelError::OverBudget { panel: panel.name.clone(), reason: error.viewer_message() }
            }
            _ => PanelError::ClickHouse { panel: panel.name.clone(), source: error },
        };
        let sql = self.statement(panel, query, source, time_frame)?;
        let TimeFrame { zone_name, buckets, hour, .. } = time_frame;
        let mut statement = self
            .clickhouse
            .client()
            .map_err(failed)?
            .query_raw(&format!("{prefix}{sql}"))
            .with_setting("additional_table_filters", row_filters(&query.project, &self.clickhouse))
            .param("project", query.project.as_str())
            .param("range_start", buckets.starts[0])
            .param("range_end", buckets.end)
            .param("buckets", &buckets.starts)
            .param("running_bucket", time_frame.running_bucket())
            .param("time_zone", zone_name)
            .param("minute_start", time_frame.moment("minute_start"))
            .param("hour_start", hour.start)
            .param("week_ago_start", hour.week_ago_start)
            .param("week_ago_now", hour.week_ago_now);
        for (index, (_, values)) in query.filters.iter().enumerate() {
            statement = statement.param(&format!("filter_{index}"), values);
        }
        if source == Some(Source::Events) || self.is_sql {
            for (name, value) in EVENTS_SETTINGS {
                statement = statement.with_setting(name, value);
            }
        }
        for parameter in &panel.parameters {
            statement = statement
                .param(&parameter.name, query.parameters.get(&parameter.name).unwrap_or(&parameter.default));
        }
        for (name, value) in QUERY_SETTINGS {
            statement = statement.with_setting(name, value);
        }
        let response = async { Ok(statement.fetch_bytes("JSONCompact")?.collect().await?) };
        let span = tracing::info_span!(
            target: traces::TARGET,
            "panel statement",
            panel = panel.name,
            project = query.project.as_str(),
            otel.status_code = Empty,
            otel.status_description = Empty,
        );
        let started_at = Instant::now();
        let response = tokio::time::timeout(QUERY_TIMEOUT, response).instrument(span.clone()).await;
        let response = response.unwrap_or_else(|_| Err(ClickHouseError::unreachable(timeout_message())));
        self.stats.add(&panel.name, started_at.elapsed(), response.as_ref().err());
        response.map_err(|source| {
            traces::record_failure(&span, &source);
            self.log(&panel.name, &source);
            failed(source)
        })
    }
}

/// The row filters of a statement, whatever it reads: only rows of the project. With readonly=1 it cannot change them. They
/// are a map literal; the names of projects need no escapes. Of a cluster, they are about the tables of the shards too.
pub(crate) fn row_filters(project: &Project, clickhouse: &ClickHouse) -> String {
    let of_shards = clickhouse.read_shards().map(|database| format!("{database}."));
    let prefixes = [Some(String::new()), of_shards].into_iter().flatten();
    let filters = prefixes
        .flat_map(|prefix| TABLES.map(|table| format!(r"'{prefix}{table}':'project = \'{project}\''")));
    format!("{{{}}}", filters.collect::<Vec<_>>().join(","))
}

/// A variant of EXPLAIN.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Explain {
    /// The parser's tree. Executes nothing.
    Ast,
    /// The names as the analyzer resolves them. Executes scalar subqueries.
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

impl PanelQuery {
    /// Memory use in bytes, estimated.
    fn estimated_bytes(&self) -> usize {
        let parameters =
            self.parameters.iter().map(|(name, value)| name.len() + value.len() + 2 * size_of::<String>());
        let names = self.panel.len() + self.time_zone.as_ref().map_or(0, String::len);
        names + parameters.sum::<usize>() + self.filters.estimated_bytes()
    }

    /// The value of one of the panel's parameters. `None` if it has no such parameter.
    pub(super) fn value<'a>(&'a self, panel: &'a Panel, name: &str) -> Option<&'a str> {
        let parameter = panel.parameters.iter().find(|parameter| parameter.name == name)?;
        Some(self.parameters.get(name).unwrap_or(&parameter.default))
    }

    /// The value of the parameter that a panel's span names. Its header ensures type and bounds.
    pub(super) fn span_minutes(&self, panel: &Panel, name: &str) -> Result<u32, PanelError> {
        let parameter = panel.parameters.iter().find(|parameter| parameter.name == name);
        let parameter = parameter.ok_or_else(|| unknown_parameter(panel, name))?;
        Ok(parameter.parse_u32(self.parameters.get(name).unwrap_or(&parameter.default))?)
    }

    /// Replaces `{parameter}` in a label by its value, of at most [`MAX_LABEL_CHARS`]. A value is text: what looks like a
    /// parameter in it stays, since values that contain each other would grow without bound.
    pub(super) fn fill(&self, panel: &Panel, label: &str) -> String {
        let mut filled = String::with_capacity(label.len());
        let mut rest = label;
        while let Some((before, after)) = rest.split_once('{') {
            filled.push_str(before);
            let named =
                after.split_once('}').and_then(|(name, after)| Some((self.value(panel, name)?, after)));
            rest = match named {
                Some((value, after)) => {
                    filled.push_str(value);
                    after
                }
                None => {
                    filled.push('{');
                    after
                }
            };
        }
        filled.push_str(rest);
        truncate(&filled, MAX_LABEL_CHARS)
    }

    /// The last hour in UTC, with default parameters.
    pub(crate) fn with_defaults(panel: &str) -> Self {
        Self {
            project: Project::default(),
            panel: panel.to_owned(),
            range: TimeRange::Hour,
            bucket: None,
            compare: None,
            filters: Filters::default(),
            time_zone: None,
            parameters: BTreeMap::new(),
        }
    }
}

fn timeout_message() -> String {
    format!("ClickHouse did not respond within {} s", QUERY_TIMEOUT.as_secs())
}

fn decode(panel: &Panel, response: &[u8]) -> Result<ResultTable, PanelError> {
    ResultTable::from_json_compact(response)
        .map_err(|error| PanelError::InvalidResult { panel: panel.name.clone(), reason: error.to_string() })
}

/// The header is part of `sql`, so a changed label is a new result as well.
fn cache_key(panel: &Panel, query: &PanelQuery) -> (u32, PanelQuery) {
    (crc32c::crc32c(panel.sql.as_bytes()), query.clone())
}

fn unknown_parameter(panel: &Panel, name: &str) -> PanelError {
    let names: Vec<&str> = panel.parameters.iter().map(|parameter| parameter.name.as_str()).collect();
    PanelError::UnknownParameter {
        panel: panel.name.clone(),
        name: abbreviate(name),
        available: if names.is_empty() { "none".to_owned() } else { names.join(", ") },
    }
}

fn is_approximate(table: &ResultTable, distinct: &[String]) -> bool {
    let columns: Vec<usize> = distinct.iter().filter_map(|name| table.column_index(name)).collect();
    table.rows.iter().any(|row| {
        columns.iter().any(|&at| matches!(row[at], Cell::UInt(count) if count > MAX_EXACT_DISTINCT))
    })
}

#[cfg(test)]
mod tests {
    use super::super::catalog::parse;
    use super::*;

    /// A result without rows, like that of a ranking without events.
    fn empty_result(range_end: i64) -> PanelResult {
        let context = ResultContext {
            range_start: range_end - 3_600,
            range_end,
            time_zone: "UTC".into(),
            computed_at: Timestamp::from_second(range_end - 1).unwrap(),
            approximate: false,
            partial_from: None,
            bucket: None,
            span: None,
            source: None,
            requested_start: None,
        };
        let (table, frame) = (ResultTable::default(), Frame::default());
        PanelResult {
            panel: "p".into(),
            table,
            frame,
            context,
            statistics: Statistics::default(),
            comparison: None,
        }
    }

    #[test]
    fn a_result_is_sent_again_when_its_minute_has_passed() {
        let result = empty_result(7_200);
        let computed_at = Timestamp::from_second(7_150).unwrap();
        let later = PanelResult {
            context: ResultContext { computed_at, ..result.context.clone() },
            ..empty_result(7_200)
        };
        assert!(result.shows_same(&later), "only the time of the computation differs");
        assert!(!result.shows_same(&empty_result(7_260)));
    }

    #[test]
    fn a_value_in_a_label_is_not_expanded_again() {
        let panel = parse(
            "p",
            "-- title: T\n-- chart: number\n-- parameter: a String = x\n-- parameter: b String = y\nSELECT 1",
        )
        .unwrap();
        let fill = |a: &str, b: &str, label: &str| {
            let parameters = [("a", a), ("b", b)].map(|(name, value)| (name.to_owned(), value.to_owned()));
            PanelQuery { parameters: parameters.into(), ..PanelQuery::with_defaults("p") }.fill(&panel, label)
        };
        assert_eq!(fill("{b}{b}", "{a}", "{a} and {b}"), "{b}{b} and {a}");
        assert_eq!(fill("1", "2", "{a}{c} {b"), "1{c} {b");
        let long = fill(&"ä".repeat(500), "", "{a}{a}{a}");
        assert_eq!((long.chars().count(), long.ends_with('…')), (MAX_LABEL_CHARS + 1, true));
        assert_eq!(PanelQuery::with_defaults("p").fill(&panel, "{a}, {b}"), "x, y");
    }
}

//! Asking a panel: parameters checked, one computation however many ask at once, answers used again for a while.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use jiff::Timestamp;
use moka::future::Cache;
use tokio::sync::{Semaphore, watch};

use super::catalog::{Catalog, Panel, shown};
use super::range::{Buckets, HourAndWeekAgo, TimeRange, this_hour, time_zone};
use super::table::{Cell, Table};
use crate::clickhouse::{ClickHouse, ClickHouseError};
use crate::proto::{self, v1};

/// How much the kept answers may weigh together, in bytes; those used longest ago go first.
const CACHE_BYTES: u64 = 32 << 20;

/// What a kept answer costs beside its table: question, context and the cache's own books. It also bounds how many
/// answers are kept, since an empty one weighs this much.
const ANSWER_BYTES: usize = 1_024;

/// How long ClickHouse's answer is waited for: a bit longer than a statement may take.
const PATIENCE: Duration = Duration::from_secs(12);

/// What a panel's statement may do and cost. With readonly=1 it can neither write, nor change these settings, nor use a
/// table function that reads files or opens addresses: those need the right to make temporary tables.
const SETTINGS: [(&str, &str); 12] = [
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

/// How many answers are computed at a time for those who ask; those who watch have turns of their own (`live.rs`), and inserts
/// need the engine as well.
const MAX_COMPUTED: usize = 4;
/// How many different questions may wait for that. Further ones are told to come back.
const MAX_WAITING: usize = 60;
/// How long a question waits.
const MAX_WAIT: Duration = Duration::from_secs(5);

/// How often the same refusal of a panel is logged.
const LOG_EVERY: Duration = Duration::from_secs(60);

/// Distinct counts up to here are exact: the rollups keep so many hashes whole. Beyond it counts are off by 0.1 % or so; see
/// docs/decisions/0003-rollups.md.
pub const EXACT_DISTINCT: u64 = 100;

/// A question. Those that ask for the same are equal once they are [`checked`](Panels::check).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Ask {
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
pub struct Answer {
    /// The figures.
    pub table: Table,
    /// What they were computed for.
    pub context: v1::PanelContext,
}

/// Why there is no answer.
#[derive(Clone, Debug, thiserror::Error)]
pub enum PanelError {
    /// There is no such panel.
    #[error("panel: {name:?} is not known; there are {known}")]
    Unknown {
        /// What was asked.
        name: String,
        /// What there is.
        known: String,
    },
    /// The question is wrong.
    #[error("{0}")]
    Question(String),
    /// Too many questions are asked at a time.
    #[error("too many different panels are asked for at once; ask again in a second, or watch the panel")]
    Busy,
    /// The value of a panel that is watched found no room.
    #[error(
        "the panels that are watched take all of the memory for them ({0} MiB); end this one with a LIMIT"
    )]
    NoRoom(usize),
    /// ClickHouse gave no answer.
    #[error("the panel {panel} cannot be computed: {}", source.for_viewers())]
    ClickHouse {
        /// The panel.
        panel: String,
        /// What ClickHouse said.
        source: ClickHouseError,
    },
    /// ClickHouse's answer is not readable.
    #[error("the answer of the panel {panel} is not readable: {reason}")]
    Answer {
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
    answers: Option<Cache<(u32, Ask), Arc<Answer>>>,
    /// Who asks needs a place, and then a turn.
    places: Arc<Semaphore>,
    turns: Arc<Semaphore>,
    /// Which code was logged for a panel, and when. Panels come from files, so there are few.
    logged: Arc<Mutex<Logged>>,
}

/// A code and a time by the panel's name.
type Logged = HashMap<String, (Option<i32>, Instant)>;

impl Panels {
    /// The panels of a catalogue. Answers are used again for `keep`.
    pub fn new(clickhouse: ClickHouse, keep: Duration, catalog: watch::Receiver<Arc<Catalog>>) -> Self {
        let answers = (!keep.is_zero()).then(|| {
            Cache::builder()
                .time_to_live(keep)
                .max_capacity(CACHE_BYTES)
                .weigher(|(_, ask): &(u32, Ask), answer: &Arc<Answer>| {
                    u32::try_from(answer.table.weight() + ask.weight() + ANSWER_BYTES).unwrap_or(u32::MAX)
                })
                .build()
        });
        let places = Arc::new(Semaphore::new(MAX_COMPUTED + MAX_WAITING));
        let turns = Arc::new(Semaphore::new(MAX_COMPUTED));
        Self { clickhouse, catalog, answers, places, turns, logged: Arc::default() }
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
    pub fn check(&self, mut ask: Ask) -> Result<Ask, PanelError> {
        let panel = self.panel(&ask.panel)?;
        let zone = time_zone(ask.time_zone.as_deref()).map_err(PanelError::Question)?;
        ask.time_zone = zone.iana_name().filter(|name| *name != "UTC").map(str::to_owned);
        let mut parameters = BTreeMap::new();
        for (name, value) in &ask.parameters {
            let known = panel.parameters.iter().find(|parameter| parameter.name == *name);
            let known = known.ok_or_else(|| unknown_parameter(&panel, name))?;
            let value = known.canonical(value).map_err(PanelError::Question)?;
            if value != known.default {
                parameters.insert(name.clone(), value);
            }
        }
        ask.parameters = parameters;
        Ok(ask)
    }

    /// Answers a question. Those who ask the same at the same time share one computation.
    pub async fn ask(&self, ask: Ask) -> Result<Arc<Answer>, PanelError> {
        let ask = self.check(ask)?;
        let panel = self.panel(&ask.panel)?;
        match &self.answers {
            None => self.compute_in_turn(&panel, &ask).await.map(Arc::new),
            Some(answers) => {
                let computing = async { self.compute_in_turn(&panel, &ask).await.map(Arc::new) };
                let answer = answers.try_get_with(key(&panel, &ask), computing).await;
                answer.map_err(|error| (*error).clone())
            }
        }
    }

    /// Answers a checked question anew. Whoever asks it for a while gets this answer.
    pub async fn ask_anew(&self, ask: &Ask) -> Result<Arc<Answer>, PanelError> {
        let panel = self.panel(&ask.panel)?;
        let answer = Arc::new(self.compute(&panel, ask).await?);
        if let Some(answers) = &self.answers {
            answers.insert(key(&panel, ask), Arc::clone(&answer)).await;
        }
        Ok(answer)
    }

    /// The panel of this name.
    pub fn panel(&self, name: &str) -> Result<Arc<Panel>, PanelError> {
        let catalog = self.catalog.borrow();
        catalog.panels.get(name).cloned().ok_or_else(|| PanelError::Unknown {
            name: shown(name),
            known: catalog.panels.keys().map(String::as_str).collect::<Vec<_>>().join(", "),
        })
    }

    /// Computes an answer when it is its turn. Questions beyond the bound are refused, since each would only make all wait.
    async fn compute_in_turn(&self, panel: &Panel, ask: &Ask) -> Result<Answer, PanelError> {
        let _place = self.places.try_acquire().map_err(|_| PanelError::Busy)?;
        let turn = tokio::time::timeout(MAX_WAIT, self.turns.acquire()).await;
        let _turn = turn.map_err(|_| PanelError::Busy)?.map_err(|_| PanelError::Busy)?;
        self.compute(panel, ask).await
    }

    /// Computes the answer of a panel, which need not be in the catalogue.
    pub(super) async fn compute(&self, panel: &Panel, ask: &Ask) -> Result<Answer, PanelError> {
        let frame = Frame::new(panel, ask)?;
        let answer = self.fetch("", panel, ask, &frame).await?;
        let table = Table::from_json_compact(&answer)
            .map_err(|error| PanelError::Answer { panel: panel.name.clone(), reason: error.to_string() })?;
        let context = v1::PanelContext {
            range_start: Some(proto::timestamp(frame.buckets.starts[0] * 1_000)),
            range_end: Some(proto::timestamp(frame.buckets.end * 1_000)),
            time_zone: frame.zone_name,
            computed_at: Some(proto::timestamp(frame.now.as_millisecond())),
            approximate: is_approximate(&table, &panel.distinct),
        };
        Ok(Answer { table, context })
    }

    /// The rows of `EXPLAIN` of a panel's statement, before anything of it is published.
    pub(super) async fn explain(&self, panel: &Panel, explain: Explain) -> Result<Vec<String>, PanelError> {
        let ask = Ask::of(&panel.name);
        // On the line of the statement's first, so that the lines in an error are those of the file.
        let answer = self.fetch(explain.words(), panel, &ask, &Frame::new(panel, &ask)?).await?;
        let unreadable = |reason: String| PanelError::Answer { panel: panel.name.clone(), reason };
        let table = Table::from_json_compact(&answer).map_err(|error| unreadable(error.to_string()))?;
        let rows = table.rows.into_iter().map(|mut row| match (row.pop(), row.pop()) {
            (Some(Cell::Text(text)), None) => Ok(text),
            _ => Err(unreadable("EXPLAIN gives other than one text a row".to_owned())),
        });
        rows.collect()
    }

    /// What viewers are not told is for the operator: once, and again when it changes or a minute has passed, since a
    /// panel that is watched is tried every second.
    fn log(&self, panel: &str, error: &ClickHouseError) {
        if error.for_viewers() == error.message {
            return;
        }
        let mut logged = self.logged.lock().unwrap_or_else(PoisonError::into_inner);
        let known =
            logged.get(panel).is_some_and(|(code, at)| *code == error.code && at.elapsed() < LOG_EVERY);
        if !known {
            logged.insert(panel.to_owned(), (error.code, Instant::now()));
            tracing::warn!(panel, %error, "ClickHouse refused a panel");
        }
    }

    async fn fetch(
        &self,
        before: &str,
        panel: &Panel,
        ask: &Ask,
        Frame { zone_name, buckets, hour, .. }: &Frame,
    ) -> Result<Bytes, PanelError> {
        let failed = |source: ClickHouseError| PanelError::ClickHouse { panel: panel.name.clone(), source };
        let (steps, cover) = (buckets.steps(), buckets.cover());
        let mut query = self
            .clickhouse
            .client()
            .map_err(failed)?
            .query_raw(&format!("{before}{}", panel.sql))
            .param("range_start", buckets.starts[0])
            .param("range_end", buckets.end)
            .param("buckets", &buckets.starts)
            .param("time_zone", zone_name)
            .param("step", steps.minutes)
            .param("steps_end", steps.end)
            .param("quarters_from", cover.from[0])
            .param("hours_from", cover.from[1])
            .param("six_hours_from", cover.from[2])
            .param("six_hours_to", cover.to[2])
            .param("hours_to", cover.to[1])
            .param("quarters_to", cover.to[0])
            .param("hour_start", hour.start)
            .param("week_ago_start", hour.week_ago_start)
            .param("week_ago_now", hour.week_ago_now);
        for parameter in &panel.parameters {
            query = query
                .param(&parameter.name, ask.parameters.get(&parameter.name).unwrap_or(&parameter.default));
        }
        for (name, value) in SETTINGS {
            query = query.with_setting(name, value);
        }
        let answer = async { Ok(query.fetch_bytes("JSONCompact")?.collect().await?) };
        let answer = tokio::time::timeout(PATIENCE, answer).await;
        answer.unwrap_or_else(|_| Err(ClickHouseError::unreachable(no_answer()))).map_err(|source| {
            self.log(&panel.name, &source);
            failed(source)
        })
    }
}

/// What ClickHouse is asked about a statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Explain {
    /// The tree that its parser makes. Nothing is carried out.
    Syntax,
    /// What its analyzer takes each name for. Scalar subqueries are carried out.
    Resolved,
}

impl Explain {
    fn words(self) -> &'static str {
        match self {
            Self::Syntax => "EXPLAIN AST ",
            Self::Resolved => "EXPLAIN QUERY TREE run_passes = 1, passes = 1 ",
        }
    }
}

/// The time that a panel is asked for.
struct Frame {
    now: Timestamp,
    zone_name: String,
    buckets: Buckets,
    hour: HourAndWeekAgo,
}

impl Frame {
    fn new(panel: &Panel, ask: &Ask) -> Result<Self, PanelError> {
        let now = Timestamp::now();
        let zone = time_zone(ask.time_zone.as_deref()).map_err(PanelError::Question)?;
        let buckets = Buckets::new(ask.range, panel.grain, &zone, now);
        let zone_name = zone.iana_name().unwrap_or("UTC").to_owned();
        Ok(Self { now, zone_name, buckets, hour: this_hour(&zone, now) })
    }
}

impl Ask {
    /// About how much memory it takes, in bytes.
    fn weight(&self) -> usize {
        let parameters =
            self.parameters.iter().map(|(name, value)| name.len() + value.len() + 2 * size_of::<String>());
        self.panel.len() + self.time_zone.as_ref().map_or(0, String::len) + parameters.sum::<usize>()
    }

    /// The last hour of a panel with its defaults, in UTC.
    pub(super) fn of(panel: &str) -> Self {
        Self { panel: panel.to_owned(), range: TimeRange::Hour, time_zone: None, parameters: BTreeMap::new() }
    }
}

fn no_answer() -> String {
    format!("ClickHouse gave no answer in {} s", PATIENCE.as_secs())
}

fn key(panel: &Panel, ask: &Ask) -> (u32, Ask) {
    (crc32c::crc32c(panel.sql.as_bytes()), ask.clone())
}

fn unknown_parameter(panel: &Panel, name: &str) -> PanelError {
    let known: Vec<&str> = panel.parameters.iter().map(|parameter| parameter.name.as_str()).collect();
    let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
    PanelError::Question(format!(
        "parameters: the panel {} has no {:?}; it has {known}",
        panel.name,
        shown(name)
    ))
}

fn is_approximate(table: &Table, distinct: &[String]) -> bool {
    let columns: Vec<usize> = distinct.iter().filter_map(|name| table.column(name)).collect();
    table
        .rows
        .iter()
        .any(|row| columns.iter().any(|&at| matches!(row[at], Cell::UInt(count) if count > EXACT_DISTINCT)))
}

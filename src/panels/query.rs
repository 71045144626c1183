//! Asking a panel: parameters checked, one computation however many ask at once, answers used again for a while.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use moka::future::Cache;

use super::catalog::{self, BrokenPanel, Panel};
use super::range::{Buckets, TimeRange, this_hour, time_zone};
use super::table::{Cell, Table};
use crate::clickhouse::{ClickHouse, ClickHouseError};
use crate::proto::{self, v1};

/// How much the kept answers may weigh together, in bytes; those used longest ago go first.
const CACHE_BYTES: u64 = 32 << 20;

/// What a panel's statement may do and cost. With readonly=1 it can neither write, nor change these settings, nor use a
/// table function that reads files or opens addresses: those need the right to make temporary tables.
const SETTINGS: [(&str, &str); 9] = [
    ("readonly", "1"),
    ("max_execution_time", "10"),
    ("max_result_rows", "50000"),
    ("result_overflow_mode", "throw"),
    ("max_memory_usage", "1000000000"),
    ("date_time_output_format", "iso"),
    ("output_format_json_quote_64bit_integers", "0"),
    ("output_format_json_quote_denormals", "0"),
    ("join_use_nulls", "0"),
];

/// Distinct counts up to here are exact: `uniqCombined64(16)` keeps up to 2,048 values as they are. Beyond it is within
/// 1 %. See docs/decisions/0003-rollups.md.
pub const EXACT_DISTINCT: u64 = 2_000;

/// A question.
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
    /// ClickHouse gave no answer.
    #[error("the panel {panel} cannot be computed: {source}")]
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
    catalog: Arc<BTreeMap<String, Panel>>,
    /// None where answers are not kept.
    answers: Option<Cache<Ask, Arc<Answer>>>,
}

impl Panels {
    /// The built-in panels. Answers are used again for `keep`.
    pub fn new(clickhouse: ClickHouse, keep: Duration) -> Result<Self, BrokenPanel> {
        let catalog = catalog::built_in()?.into_iter().map(|panel| (panel.name.clone(), panel)).collect();
        let answers = (!keep.is_zero()).then(|| {
            Cache::builder()
                .time_to_live(keep)
                .max_capacity(CACHE_BYTES)
                .weigher(|_, answer: &Arc<Answer>| {
                    u32::try_from(answer.table.weight() + size_of::<Answer>() + size_of::<Ask>())
                        .unwrap_or(u32::MAX)
                })
                .build()
        });
        Ok(Self { clickhouse, catalog: Arc::new(catalog), answers })
    }

    /// All panels, by name.
    pub fn list(&self) -> impl Iterator<Item = &Panel> {
        self.catalog.values()
    }

    /// Answers a question. Those who ask the same at the same time share one computation.
    pub async fn ask(&self, ask: Ask) -> Result<Arc<Answer>, PanelError> {
        let panel = self.catalog.get(&ask.panel).ok_or_else(|| PanelError::Unknown {
            name: ask.panel.clone(),
            known: self.catalog.keys().map(String::as_str).collect::<Vec<_>>().join(", "),
        })?;
        check(panel, &ask)?;
        match &self.answers {
            None => self.compute(panel, &ask).await.map(Arc::new),
            Some(answers) => {
                let computing = async { self.compute(panel, &ask).await.map(Arc::new) };
                answers.try_get_with(ask.clone(), computing).await.map_err(|error| (*error).clone())
            }
        }
    }

    async fn compute(&self, panel: &Panel, ask: &Ask) -> Result<Answer, PanelError> {
        let now = Timestamp::now();
        let zone = time_zone(ask.time_zone.as_deref()).map_err(PanelError::Question)?;
        let buckets = Buckets::new(ask.range, panel.grain, &zone, now);
        let hour = this_hour(&zone, now);
        let failed = |source: ClickHouseError| PanelError::ClickHouse { panel: panel.name.clone(), source };
        let zone_name = zone.iana_name().unwrap_or("UTC").to_owned();
        let mut query = self
            .clickhouse
            .client()
            .map_err(failed)?
            .query_raw(&panel.sql)
            .param("range_start", buckets.starts[0])
            .param("range_end", buckets.end)
            .param("buckets", &buckets.starts)
            .param("time_zone", &zone_name)
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
        let answer = async { query.fetch_bytes("JSONCompact")?.collect().await };
        let answer = answer.await.map_err(|error| failed(error.into()))?;
        let table = Table::from_json_compact(&answer)
            .map_err(|error| PanelError::Answer { panel: panel.name.clone(), reason: error.to_string() })?;
        let context = v1::PanelContext {
            range_start: Some(proto::timestamp(buckets.starts[0] * 1_000)),
            range_end: Some(proto::timestamp(buckets.end * 1_000)),
            time_zone: zone_name,
            computed_at: Some(proto::timestamp(now.as_millisecond())),
            approximate: is_approximate(&table, &panel.distinct),
        };
        Ok(Answer { table, context })
    }
}

fn check(panel: &Panel, ask: &Ask) -> Result<(), PanelError> {
    time_zone(ask.time_zone.as_deref()).map_err(PanelError::Question)?;
    for (name, value) in &ask.parameters {
        let Some(parameter) = panel.parameters.iter().find(|parameter| parameter.name == *name) else {
            let known: Vec<&str> = panel.parameters.iter().map(|parameter| parameter.name.as_str()).collect();
            let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
            return Err(PanelError::Question(format!(
                "parameters: the panel {} has no {name:?}; it has {known}",
                panel.name
            )));
        };
        parameter.check(value).map_err(PanelError::Question)?;
    }
    Ok(())
}

fn is_approximate(table: &Table, distinct: &[String]) -> bool {
    let columns: Vec<usize> = distinct.iter().filter_map(|name| table.column(name)).collect();
    table
        .rows
        .iter()
        .any(|row| columns.iter().any(|&at| matches!(row[at], Cell::UInt(count) if count > EXACT_DISTINCT)))
}

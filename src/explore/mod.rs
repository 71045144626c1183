//! Explore: questions about any event that nobody has written a panel for.
//!
//! A request is parsed into a query, which is valid and canonical ([`request`]); a query is executed within a budget
//! ([`runner`]); its result becomes a message ([`messages`]). Every query selects events with the same [`filter`](crate::filter),
//! and counts the same visitors: `rows` has both as SQL.
//!
//! - [`trend`]: figures over time, from the `rollup` where it holds the answer, with [`formula`]s.
//! - [`funnel`], [`retention`], [`paths`]: events sorted by visitor, which are decoded by `stream` and decided here, one visitor
//!   at a time.
//! - [`people`]: who a figure of these counts.

pub(crate) mod error;
pub(crate) mod formula;
pub(crate) mod funnel;
pub(crate) mod grpc;
pub(crate) mod http;
pub(crate) mod messages;
pub(crate) mod paths;
pub(crate) mod people;
pub(crate) mod request;
pub(crate) mod retention;
pub(crate) mod rollup;
pub(crate) mod rows;
pub(crate) mod runner;
mod stream;
mod time;
pub(crate) mod trend;

use std::sync::Arc;
use std::time::Duration;

use moka::future::Cache;

use crate::panels::PanelSources;
use crate::panels::query::ResultContext;
use crate::panels::template::Source;
use crate::project::Project;
use crate::properties::Properties;
use error::ExploreError;
use funnel::{FunnelQuery, FunnelResult};
use paths::{PathsQuery, PathsResult};
use people::{PeopleQuery, PeopleResult};
use retention::{RetentionQuery, RetentionResult};
use runner::{Execution, Runner};
use trend::{TrendQuery, TrendResult};

/// Results that are kept for equal queries.
const MAX_CACHED_RESULTS: u64 = 200;

/// Any query.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Query {
    Trend(TrendQuery),
    Funnel(FunnelQuery),
    Retention(RetentionQuery),
    Paths(PathsQuery),
    People(PeopleQuery),
}

/// The result of a query.
#[derive(Clone, Debug)]
pub(crate) enum QueryResult {
    Trend(TrendResult),
    Funnel(FunnelResult),
    Retention(RetentionResult),
    Paths(PathsResult),
    People(PeopleResult),
}

/// Executes queries. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Explore {
    runner: Runner,
    sources: PanelSources,
    /// Equal queries at the same time share one execution. `None` if caching is disabled.
    cache: Option<Cache<Query, Arc<QueryResult>>>,
}

impl Query {
    pub(crate) fn project(&self) -> &Project {
        match self {
            Self::Trend(query) => &query.project,
            Self::Funnel(query) => &query.project,
            Self::Retention(query) => &query.project,
            Self::Paths(query) => &query.project,
            Self::People(query) => query.project(),
        }
    }
}

impl QueryResult {
    fn context(&self) -> Option<&ResultContext> {
        match self {
            Self::Trend(result) => Some(&result.context),
            Self::Funnel(result) => Some(&result.context),
            Self::Retention(result) => Some(&result.context),
            Self::Paths(result) => Some(&result.context),
            Self::People(_) => None,
        }
    }

    /// Whether it was computed from events.
    pub(crate) fn reads_events(&self) -> bool {
        self.context().is_none_or(|context| context.source != Some(Source::Rollup))
    }

    /// Whether a later result need not be sent to subscribers: only the time of the computation and its cost differ.
    pub(crate) fn shows_same(&self, later: &Self) -> bool {
        let is_same_context = match (self.context(), later.context()) {
            (Some(context), Some(later)) => {
                *context == ResultContext { computed_at: context.computed_at, ..later.clone() }
            }
            _ => false,
        };
        is_same_context
            && match (self, later) {
                (Self::Trend(result), Self::Trend(later)) => {
                    result.buckets == later.buckets && result.lines == later.lines
                }
                (Self::Funnel(result), Self::Funnel(later)) => {
                    (&result.overall, &result.breakdown, &result.buckets, result.truncated)
                        == (&later.overall, &later.breakdown, &later.buckets, later.truncated)
                }
                (Self::Retention(result), Self::Retention(later)) => {
                    (&result.overall, &result.breakdown) == (&later.overall, &later.breakdown)
                }
                (Self::Paths(result), Self::Paths(later)) => {
                    (&result.transitions, result.paths) == (&later.transitions, later.paths)
                }
                _ => false,
            }
    }

    /// Memory use in bytes, estimated.
    pub(crate) fn estimated_bytes(&self) -> usize {
        const OVERHEAD: usize = 512;
        let entries = match self {
            Self::Trend(result) => result.lines.len() * (1 + result.buckets.len()),
            Self::Funnel(result) => {
                // The durations of conversions are kept for their quantiles.
                return OVERHEAD
                    + result.overall.estimated_bytes()
                    + result.breakdown.iter().map(|(_, figures)| figures.estimated_bytes()).sum::<usize>();
            }
            Self::Retention(result) => {
                let cells = |cohorts: &[retention::Cohort]| {
                    cohorts.iter().map(|cohort| 2 + cohort.cells.len()).sum::<usize>()
                };
                cells(&result.overall)
                    + result.breakdown.iter().map(|(_, cohorts)| cells(cohorts)).sum::<usize>()
            }
            Self::Paths(result) => 4 * result.transitions.len(),
            Self::People(result) => 2 * result.people.len(),
        };
        OVERHEAD + 48 * entries
    }
}

impl Explore {
    /// Results are reused for `cache_ttl`; zero disables caching.
    pub(crate) fn new(runner: Runner, sources: PanelSources, cache_ttl: Duration) -> Self {
        let cache = (!cache_ttl.is_zero())
            .then(|| Cache::builder().time_to_live(cache_ttl).max_capacity(MAX_CACHED_RESULTS).build());
        Self { runner, sources, cache }
    }

    /// With a small budget and the built-in properties.
    #[cfg(test)]
    pub(crate) fn for_tests(clickhouse: crate::clickhouse::ClickHouse) -> Self {
        let config = crate::config::ExploreConfig {
            concurrent_queries: 1,
            queries_per_caller: 1,
            timeout: Duration::from_secs(10),
            max_memory_bytes: 1 << 30,
            max_rows: 0,
        };
        let people = crate::people::PeopleTables::for_tests();
        Self::new(Runner::new(clickhouse, people, config), PanelSources::default(), Duration::ZERO)
    }

    /// The declared properties.
    pub(crate) fn properties(&self) -> Arc<Properties> {
        Arc::clone(&self.sources.properties.borrow())
    }

    /// Returns the cached result of a query, or executes it for a caller.
    pub(crate) async fn query(&self, query: Query, caller: &str) -> Result<Arc<QueryResult>, ExploreError> {
        match &self.cache {
            None => self.execute(&query, caller).await.map(Arc::new),
            Some(cache) => {
                let execution = async { self.execute(&query, caller).await.map(Arc::new) };
                let result = cache.try_get_with(query.clone(), execution).await;
                result.map_err(|error| (*error).clone())
            }
        }
    }

    /// Executes a query for its subscribers, who limit how many run, and replaces its cached result.
    pub(crate) async fn refresh(&self, query: &Query) -> Result<Arc<QueryResult>, ExploreError> {
        let mut execution = self.runner.start_unlimited(query.project());
        let result = Arc::new(self.execute_with(query, &mut execution).await?);
        if let Some(cache) = &self.cache {
            cache.insert(query.clone(), Arc::clone(&result)).await;
        }
        Ok(result)
    }

    async fn execute(&self, query: &Query, caller: &str) -> Result<QueryResult, ExploreError> {
        let mut execution = self.runner.start(caller, query.project()).await?;
        self.execute_with(query, &mut execution).await
    }

    async fn execute_with(
        &self,
        query: &Query,
        execution: &mut Execution<'_>,
    ) -> Result<QueryResult, ExploreError> {
        let sources = &self.sources;
        Ok(match query {
            Query::Trend(query) => QueryResult::Trend(query.execute(sources, execution).await?),
            Query::Funnel(query) => QueryResult::Funnel(query.execute(sources, execution).await?),
            Query::Retention(query) => QueryResult::Retention(query.execute(sources, execution).await?),
            Query::Paths(query) => QueryResult::Paths(query.execute(sources, execution).await?),
            Query::People(query) => QueryResult::People(query.execute(sources, execution).await?),
        })
    }
}

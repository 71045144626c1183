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
mod rollup;
mod rows;
pub(crate) mod runner;
mod stream;
mod time;
pub(crate) mod trend;

use std::sync::Arc;
use std::time::Duration;

use moka::future::Cache;

use crate::panels::PanelSources;
use crate::project::Project;
use error::ExploreError;
use funnel::{FunnelQuery, FunnelResult};
use paths::{PathsQuery, PathsResult};
use people::{PeopleQuery, PeopleResult};
use retention::{RetentionQuery, RetentionResult};
use runner::Runner;
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

impl Explore {
    /// Results are reused for `cache_ttl`; zero disables caching.
    pub(crate) fn new(runner: Runner, sources: PanelSources, cache_ttl: Duration) -> Self {
        let cache = (!cache_ttl.is_zero())
            .then(|| Cache::builder().time_to_live(cache_ttl).max_capacity(MAX_CACHED_RESULTS).build());
        Self { runner, sources, cache }
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

    async fn execute(&self, query: &Query, caller: &str) -> Result<QueryResult, ExploreError> {
        let mut execution = self.runner.start(caller, query.project()).await?;
        let (sources, execution) = (&self.sources, &mut execution);
        Ok(match query {
            Query::Trend(query) => QueryResult::Trend(query.execute(sources, execution).await?),
            Query::Funnel(query) => QueryResult::Funnel(query.execute(sources, execution).await?),
            Query::Retention(query) => QueryResult::Retention(query.execute(sources, execution).await?),
            Query::Paths(query) => QueryResult::Paths(query.execute(sources, execution).await?),
            Query::People(query) => QueryResult::People(query.execute(sources, execution).await?),
        })
    }
}

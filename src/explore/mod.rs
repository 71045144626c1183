//! Explore: questions about any event that nobody has written a panel for.
//!
//! A request is parsed into a query, which is valid and canonical ([`request`]); a query is executed within a budget
//! ([`runner`]); its result becomes a message ([`messages`]). Every query selects events with the same [`filter`](crate::filter),
//! and counts the same visitors: `rows` has both as SQL.
//!
//! - [`trend`]: figures over time, from the `rollup` where it holds the answer, with [`formula`]s.

pub(crate) mod error;
pub(crate) mod formula;
pub(crate) mod grpc;
pub(crate) mod http;
pub(crate) mod messages;
pub(crate) mod request;
mod rollup;
mod rows;
pub(crate) mod runner;
mod time;
pub(crate) mod trend;

use std::sync::Arc;
use std::time::Duration;

use moka::future::Cache;

use crate::panels::PanelSources;
use crate::project::Project;
use error::ExploreError;
use runner::Runner;
use trend::{TrendQuery, TrendResult};

/// Results that are kept for equal queries.
const MAX_CACHED_RESULTS: u64 = 200;

/// Any query.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Query {
    Trend(TrendQuery),
}

/// The result of a query.
#[derive(Clone, Debug)]
pub(crate) enum QueryResult {
    Trend(TrendResult),
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

    /// What queries read.
    pub(crate) fn sources(&self) -> &PanelSources {
        &self.sources
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
        match query {
            Query::Trend(query) => query.execute(&self.sources, &mut execution).await.map(QueryResult::Trend),
        }
    }
}

//! What the tables take on the disk of ClickHouse, how fast they grow, and what is left.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use clickhouse::Row;
use serde::Deserialize;

use crate::clickhouse::ClickHouseError;
use crate::clickhouse::shards::Shards;
use crate::proto::v1;

const STATEMENT: &str = include_str!("../../queries/health/storage.sql");
/// How often ClickHouse is asked.
const INTERVAL: Duration = Duration::from_secs(60);
/// The growth is that of the last day.
const GROWTH_SPAN: Duration = Duration::from_secs(86_400);
/// Merges make the size jump, so a shorter time says nothing about the growth.
const MIN_GROWTH_SPAN: Duration = Duration::from_secs(600);

/// A row of the statement, in bytes.
#[derive(Clone, Copy, Debug, Row, Deserialize)]
struct Sizes {
    stored: u64,
    free: u64,
    total: u64,
}

/// Asks ClickHouse once a minute.
#[derive(Debug, Default)]
pub(super) struct StorageProbe {
    asked_at: Option<Instant>,
    latest: Option<Sizes>,
    /// Times with what was stored, the oldest first.
    samples: VecDeque<(Instant, u64)>,
}

impl StorageProbe {
    /// Whether the last question was long ago.
    pub(super) fn is_due(&self, now: Instant) -> bool {
        self.asked_at.is_none_or(|asked_at| now.duration_since(asked_at) >= INTERVAL)
    }

    /// The tables of all shards, and the fullest of their disks.
    pub(super) async fn ask(&mut self, shards: &Shards, now: Instant) -> Result<(), ClickHouseError> {
        self.asked_at = Some(now);
        let mut fullest: Option<Sizes> = None;
        let mut stored = 0;
        for shard in shards.iter() {
            let sizes: Sizes = shard.client()?.query(STATEMENT).fetch_one().await?;
            stored += sizes.stored;
            fullest = Some(fullest.filter(|fullest| fullest.free <= sizes.free).unwrap_or(sizes));
        }
        if let Some(sizes) = fullest {
            self.add(now, Sizes { stored, ..sizes });
        }
        Ok(())
    }

    fn add(&mut self, now: Instant, sizes: Sizes) {
        self.latest = Some(sizes);
        self.samples.push_back((now, sizes.stored));
        // The first sample stays older than the span, so that all of it is covered.
        while self.samples.get(1).is_some_and(|(at, _)| now.duration_since(*at) >= GROWTH_SPAN) {
            self.samples.pop_front();
        }
    }

    /// `None` until ClickHouse has responded.
    pub(super) fn health(&self) -> Option<v1::StorageHealth> {
        let Sizes { stored, free, total } = self.latest?;
        Some(v1::StorageHealth {
            stored_bytes: stored,
            free_bytes: free,
            total_bytes: total,
            growth_bytes_per_day: self.growth_per_day(),
        })
    }

    fn growth_per_day(&self) -> Option<i64> {
        let ((first_at, first), (last_at, last)) = (self.samples.front()?, self.samples.back()?);
        let span = last_at.duration_since(*first_at);
        let grown = *last as f64 - *first as f64;
        (span >= MIN_GROWTH_SPAN).then(|| (grown * 86_400.0 / span.as_secs_f64()) as i64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_growth_is_that_of_the_last_day() {
        let start = Instant::now();
        let mut probe = StorageProbe::default();
        assert!(probe.is_due(start));
        let mut add = |hours: u64, stored: u64| {
            let at = start + Duration::from_secs(hours * 3_600);
            probe.add(at, Sizes { stored, free: 5, total: 9 });
            probe.health().unwrap().growth_bytes_per_day
        };
        assert_eq!(add(0, 1_000), None);
        assert_eq!(add(6, 2_000), Some(4_000));
        assert_eq!(add(12, 1_000), Some(0));
        assert_eq!(add(36, 4_000), Some(3_000), "since the sample of the twelfth hour");
    }
}

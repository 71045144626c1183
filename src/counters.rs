//! Counters and histograms. The part that counts owns them, [`crate::metrics`] reads them.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// Upper bounds of the buckets of every histogram, in seconds: from a sync of an SSD to an outage.
pub(crate) const BUCKET_BOUNDS_SECONDS: [f64; 17] =
    [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0];

/// Durations by bucket. An observation is two relaxed additions.
#[derive(Debug, Default)]
pub(crate) struct Histogram {
    /// The last one is for durations above every bound.
    buckets: [AtomicU64; BUCKET_BOUNDS_SECONDS.len() + 1],
    sum_micros: AtomicU64,
}

/// What a histogram has counted so far.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct HistogramSnapshot {
    /// The number of observations up to each bound; the last one is the number of all.
    pub(crate) cumulative: [u64; BUCKET_BOUNDS_SECONDS.len() + 1],
    pub(crate) sum_seconds: f64,
}

impl Histogram {
    pub(crate) fn observe(&self, duration: Duration) {
        let seconds = duration.as_secs_f64();
        let bucket = BUCKET_BOUNDS_SECONDS.iter().position(|bound| seconds <= *bound);
        self.buckets[bucket.unwrap_or(BUCKET_BOUNDS_SECONDS.len())].fetch_add(1, Relaxed);
        self.sum_micros.fetch_add(duration.as_micros() as u64, Relaxed);
    }

    pub(crate) fn snapshot(&self) -> HistogramSnapshot {
        let mut total = 0;
        let cumulative = std::array::from_fn(|bucket| {
            total += self.buckets[bucket].load(Relaxed);
            total
        });
        HistogramSnapshot { cumulative, sum_seconds: self.sum_micros.load(Relaxed) as f64 / 1e6 }
    }
}

impl HistogramSnapshot {
    /// A quantile of what was observed since an earlier snapshot, interpolated within a bucket. `None` if nothing was. Durations
    /// above every bound count as the last one.
    pub(crate) fn quantile_since(&self, earlier: &Self, quantile: f64) -> Option<Duration> {
        let count = |bucket: usize| self.cumulative[bucket].saturating_sub(earlier.cumulative[bucket]);
        let total = count(BUCKET_BOUNDS_SECONDS.len());
        if total == 0 {
            return None;
        }
        let rank = quantile * total as f64;
        let Some(bucket) = (0..BUCKET_BOUNDS_SECONDS.len()).find(|bucket| count(*bucket) as f64 >= rank)
        else {
            return BUCKET_BOUNDS_SECONDS.last().copied().map(Duration::from_secs_f64);
        };
        let (lower, below) = match bucket.checked_sub(1) {
            Some(before) => (BUCKET_BOUNDS_SECONDS[before], count(before)),
            None => (0.0, 0),
        };
        let share = (rank - below as f64) / (count(bucket) - below).max(1) as f64;
        let seconds = lower + share * (BUCKET_BOUNDS_SECONDS[bucket] - lower);
        Some(Duration::from_secs_f64(seconds))
    }

    /// The number of observations.
    pub(crate) fn count(&self) -> u64 {
        self.cumulative[BUCKET_BOUNDS_SECONDS.len()]
    }
}

impl Default for HistogramSnapshot {
    fn default() -> Self {
        Self { cumulative: [0; BUCKET_BOUNDS_SECONDS.len() + 1], sum_seconds: 0.0 }
    }
}

/// The events of one sender.
#[derive(Debug, Default)]
pub(crate) struct EventCounts {
    accepted: AtomicU64,
    rejected: AtomicU64,
}

impl EventCounts {
    pub(crate) fn count_accepted(&self, events: u64) {
        self.accepted.fetch_add(events, Relaxed);
    }
    pub(crate) fn count_rejected(&self, events: u64) {
        self.rejected.fetch_add(events, Relaxed);
    }
    pub(crate) fn accepted(&self) -> u64 {
        self.accepted.load(Relaxed)
    }
    pub(crate) fn rejected(&self) -> u64 {
        self.rejected.load(Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_counted_in_every_bucket_from_its_own_on() {
        let histogram = Histogram::default();
        for millis in [1, 3, 1_000_000] {
            histogram.observe(Duration::from_millis(millis));
        }
        let HistogramSnapshot { cumulative, sum_seconds } = histogram.snapshot();
        assert_eq!(cumulative[..5], [0, 1, 1, 2, 2]);
        assert_eq!(cumulative[16..], [2, 3]);
        assert!((sum_seconds - 1_000.004).abs() < 1e-9);
    }

    #[test]
    fn a_quantile_is_of_what_was_observed_since_a_snapshot() {
        let histogram = Histogram::default();
        histogram.observe(Duration::from_secs(200));
        let earlier = histogram.snapshot();
        assert_eq!(earlier.quantile_since(&earlier, 0.5), None);
        for _ in 0..100 {
            histogram.observe(Duration::from_millis(200));
        }
        let now = histogram.snapshot();
        // Between the bounds 100 and 250 ms.
        assert_eq!(now.quantile_since(&earlier, 0.5), Some(Duration::from_millis(175)));
        assert_eq!(now.quantile_since(&HistogramSnapshot::default(), 1.0), Some(Duration::from_secs(300)));
    }
}

//! How fresh panels were in the last minutes.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::counters::HistogramSnapshot;
use crate::proto::v1;

const SPAN: Duration = Duration::from_secs(300);
const INTERVAL: Duration = Duration::from_secs(10);

/// Snapshots of a histogram, so that the quantiles are those of the last [`SPAN`] instead of since the start.
#[derive(Debug, Default)]
pub(super) struct RecentFreshness {
    /// The oldest first.
    snapshots: VecDeque<(Instant, HistogramSnapshot)>,
}

impl RecentFreshness {
    /// `None` if no batch landed.
    pub(super) fn update(&mut self, now: Instant, current: &HistogramSnapshot) -> Option<v1::Freshness> {
        let is_due = self.snapshots.back().is_none_or(|(at, _)| now.duration_since(*at) >= INTERVAL);
        if is_due {
            self.snapshots.push_back((now, current.clone()));
        }
        while self.snapshots.get(1).is_some_and(|(at, _)| now.duration_since(*at) >= SPAN) {
            self.snapshots.pop_front();
        }
        let (_, earlier) = self.snapshots.front()?;
        let quantile =
            |quantile| prost_types::Duration::try_from(current.quantile_since(earlier, quantile)?).ok();
        Some(v1::Freshness { p50: Some(quantile(0.5)?), p99: quantile(0.99) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::counters::Histogram;

    #[test]
    fn an_old_batch_is_forgotten() {
        let (start, histogram) = (Instant::now(), Histogram::default());
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut recent = RecentFreshness::default();
        assert_eq!(recent.update(start, &histogram.snapshot()), None);
        histogram.observe(Duration::from_millis(200));
        assert!(recent.update(at(1), &histogram.snapshot()).is_some());
        for seconds in (10..300).step_by(10) {
            assert!(recent.update(at(seconds), &histogram.snapshot()).is_some(), "{seconds}");
        }
        assert_eq!(recent.update(at(320), &histogram.snapshot()), None);
    }
}

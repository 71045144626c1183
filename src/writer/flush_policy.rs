//! When a batch is due, and how large it may become. Pure: the writer's task owns the clock.

use std::time::Duration;

use tokio::time::Instant;

/// A batch with fewer events waits for more: its inserts, and the panels that are recomputed when it lands, cost ClickHouse as
/// much as those of a hundred events. At 1,000 events/s a batch of an update interval has twice as many.
const REFRESH_EVENTS: u64 = 100;
/// A batch with fewer events is due after this many update intervals of the subscribers.
const SPARSE_REFRESH_FACTOR: u32 = 4;
/// It waits no longer than this, unless an update interval is longer: new events are on the page within a second.
const MAX_SPARSE_REFRESH: Duration = Duration::from_millis(800);

/// The size and time limits of a batch.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BatchLimits {
    /// A batch with this many events is due if no insert is in flight (`FLUSH_SIZE`).
    pub flush_events: u64,
    /// Any batch is due this long after the last flush (`FLUSH_INTERVAL_MS`).
    pub flush_interval: Duration,
    /// Minimum time between two flushes (`FLUSH_MIN_INTERVAL_MS`): an insert of 10 events costs ClickHouse about as much as
    /// one of 10,000.
    pub flush_min_interval: Duration,
    /// A batch with this many events is due while inserts are in flight, if another one may start.
    pub concurrent_events: u64,
    /// A batch of this size is sealed at once, even while an insert is in flight.
    pub max_bytes: u64,
    /// A batch with this many events is sealed at once, even while an insert is in flight.
    pub max_events: u64,
}

impl BatchLimits {
    /// Whether a batch of this size must be sealed now.
    pub(crate) fn is_full(&self, size: BatchSize) -> bool {
        size.events >= self.max_events || size.bytes >= self.max_bytes
    }

    /// When a batch of this size is due while inserts are in flight, and another one may start.
    pub(crate) fn concurrently_due_at(&self, size: BatchSize, last_flush: Instant) -> Option<Instant> {
        (size.events >= self.concurrent_events).then(|| last_flush + self.flush_min_interval)
    }

    /// When a batch of this size is due, if no insert is in flight. `last_flush` is the time of the last seal, or of the
    /// start. `refresh_interval` is the shortest update interval of the active panel subscriptions, if there are any.
    pub(crate) fn due_at(
        &self,
        size: BatchSize,
        last_flush: Instant,
        refresh_interval: Option<Duration>,
    ) -> Option<Instant> {
        if size.events == 0 {
            return None;
        }
        if size.events >= self.flush_events || self.is_full(size) {
            return Some(last_flush + self.flush_min_interval);
        }
        let refresh = refresh_interval.map(|interval| match size.events {
            REFRESH_EVENTS.. => interval,
            _ => interval.saturating_mul(SPARSE_REFRESH_FACTOR).min(MAX_SPARSE_REFRESH).max(interval),
        });
        let delay = self.flush_interval.min(refresh.unwrap_or(Duration::MAX)).max(self.flush_min_interval);
        Some(last_flush + delay)
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct BatchSize {
    pub events: u64,
    /// See [`EventColumns::size_bytes`](super::columns::EventColumns::size_bytes).
    pub bytes: u64,
}

impl std::ops::AddAssign for BatchSize {
    fn add_assign(&mut self, more: Self) {
        self.events += more.events;
        self.bytes += more.bytes;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: BatchLimits = BatchLimits {
        flush_events: 1_000,
        flush_interval: Duration::from_millis(2_000),
        flush_min_interval: Duration::from_millis(100),
        concurrent_events: 5_000,
        max_bytes: 1 << 20,
        max_events: 10_000,
    };

    #[test]
    fn a_batch_is_due_beside_others_only_if_it_is_large() {
        let start = Instant::now();
        let due = |events| LIMITS.concurrently_due_at(BatchSize { events, bytes: 0 }, start);
        assert_eq!(due(4_999), None);
        assert_eq!(due(5_000), Some(start + LIMITS.flush_min_interval));
    }

    fn due_after(events: u64, bytes: u64) -> Option<u128> {
        let start = Instant::now();
        LIMITS.due_at(BatchSize { events, bytes }, start, None).map(|due| (due - start).as_millis())
    }

    #[test]
    fn an_empty_batch_is_never_due() {
        assert_eq!(due_after(0, 0), None);
    }

    #[test]
    fn a_small_batch_waits_for_the_flush_interval() {
        assert_eq!(due_after(1, 100), Some(2_000));
        assert_eq!(due_after(999, 100), Some(2_000));
    }

    #[test]
    fn a_small_batch_is_due_sooner_while_there_is_demand() {
        let due = |events, refresh_interval| {
            let start = Instant::now();
            let refresh_interval = Some(Duration::from_millis(refresh_interval));
            LIMITS
                .due_at(BatchSize { events, bytes: 100 }, start, refresh_interval)
                .map(|due| (due - start).as_millis())
        };
        assert_eq!(due(100, 250), Some(250));
        assert_eq!(due(99, 50), Some(200), "few events wait for more");
        assert_eq!(due(99, 250), Some(800), "but less than a second");
        assert_eq!(due(1, 900), Some(900), "unless the subscribers' interval is longer");
        assert_eq!(due(100, 50), Some(100), "never before the minimum interval");
        assert_eq!(due(1, 20), Some(100), "never before the minimum interval");
        assert_eq!(due(100, 60_000), Some(2_000), "never after the flush interval");
        assert_eq!(due(1, 60_000), Some(2_000), "never after the flush interval");
    }

    #[test]
    fn a_large_batch_waits_only_for_the_minimum_interval() {
        assert_eq!(due_after(1_000, 100), Some(100));
        assert_eq!(due_after(3, 1 << 20), Some(100), "a full batch is due whatever its number of events");
    }

    #[test]
    fn a_batch_is_full_by_events_or_by_bytes() {
        assert!(!LIMITS.is_full(BatchSize { events: 9_999, bytes: (1 << 20) - 1 }));
        assert!(LIMITS.is_full(BatchSize { events: 10_000, bytes: 0 }));
        assert!(LIMITS.is_full(BatchSize { events: 1, bytes: 1 << 20 }));
    }
}

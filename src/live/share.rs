//! A share of the time for queries that read events: one runs at a time, and after it none for as long as keeps them within their
//! share. The queries take turns.

use std::time::Duration;

use tokio::sync::{Mutex, MutexGuard};
use tokio::time::Instant;

/// The time that may be taken.
#[derive(Debug)]
pub(super) struct SharedTime {
    percent: u32,
    /// When the next query may start. Whoever holds the lock runs; those who wait for it are served in their order.
    free_at: Mutex<Instant>,
}

/// The turn of a query.
pub(super) struct Turn<'a> {
    percent: u32,
    free_at: MutexGuard<'a, Instant>,
    started: Instant,
}

impl SharedTime {
    /// For this share, from 1 to 100.
    pub(super) fn new(percent: u32) -> Self {
        Self { percent, free_at: Mutex::new(Instant::now()) }
    }

    /// Waits for a turn.
    pub(super) async fn turn(&self) -> Turn<'_> {
        let free_at = self.free_at.lock().await;
        tokio::time::sleep_until(*free_at).await;
        Turn { percent: self.percent, free_at, started: Instant::now() }
    }

    /// From the start of a query that takes `elapsed` to its next turn, if there is no other query.
    pub(super) fn distance(&self, elapsed: Duration) -> Duration {
        elapsed * 100 / self.percent
    }
}

impl Turn<'_> {
    /// The query has ended.
    pub(super) fn end(mut self) {
        *self.free_at = self.started + self.started.elapsed() * 100 / self.percent;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn queries_together_take_their_share() {
        let time = SharedTime::new(10);
        let origin = Instant::now();
        let mut starts = Vec::new();
        for elapsed in [10, 20, 10] {
            let turn = time.turn().await;
            starts.push((Instant::now() - origin).as_millis());
            tokio::time::sleep(Duration::from_millis(elapsed)).await;
            turn.end();
        }
        assert_eq!(starts, [0, 100, 300]);
        assert_eq!(time.distance(Duration::from_millis(30)), Duration::from_millis(300));
    }

    #[tokio::test(start_paused = true)]
    async fn a_query_that_leaves_gives_up_its_turn() {
        let time = SharedTime::new(10);
        drop(time.turn().await);
        let turn = time.turn().await;
        assert_eq!(turn.started, Instant::now());
    }
}

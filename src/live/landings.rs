//! When events have landed: those of this server, and those that other servers insert into the same ClickHouse.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use crate::clickhouse::shards::Shards;
use crate::clickhouse::{ClickHouseError, within};
use crate::writer::Writer;

/// How often ClickHouse is asked while somebody watches.
const INTERVAL: Duration = Duration::from_millis(250);
/// ClickHouse counts as unreachable if it does not respond within this time.
const TIMEOUT: Duration = Duration::from_secs(2);

const EVENT_COUNT: &str = include_str!("../../queries/health/event_count.sql");

/// Notices the landings of all servers.
pub(crate) struct LandingsTask {
    shards: Shards,
    writer: Writer,
    /// Set while somebody watches.
    demand: watch::Receiver<Option<Duration>>,
    landed: watch::Sender<u64>,
}

/// The events in ClickHouse, and how many of them this server has inserted since its start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Counts {
    stored: u64,
    own: u64,
}

impl Counts {
    /// Whether others have inserted something since. Expired events are not told from them: one computation too many.
    fn has_others(self, before: Self) -> bool {
        self.stored.wrapping_sub(before.stored) != self.own.wrapping_sub(before.own)
    }
}

impl LandingsTask {
    /// The receiver changes with each landing.
    pub(crate) fn new(
        shards: Shards,
        writer: Writer,
        demand: watch::Receiver<Option<Duration>>,
    ) -> (Self, watch::Receiver<u64>) {
        let (landed, receiver) = watch::channel(0);
        (Self { shards, writer, demand, landed }, receiver)
    }

    /// Runs until `stop` is cancelled.
    pub(crate) async fn run(mut self, stop: CancellationToken) {
        let mut own = self.writer.stats().landed();
        let mut ticks = tokio::time::interval(INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut before = None;
        loop {
            let is_watched = self.demand.borrow_and_update().is_some();
            tokio::select! {
                () = stop.cancelled() => return,
                // The senders live as long as the server.
                Ok(()) = self.demand.changed() => {}
                Ok(()) = own.changed() => self.wake(),
                _ = ticks.tick(), if is_watched => {
                    let counts = tokio::select! {
                        () = stop.cancelled() => return,
                        counts = self.count() => counts,
                    };
                    match counts {
                        Ok(counts) => {
                            if before.is_some_and(|before| counts.has_others(before)) {
                                self.wake();
                            }
                            before = Some(counts);
                        }
                        // Health says so too.
                        Err(error) => tracing::debug!(%error, "landings of other servers cannot be determined"),
                    }
                }
            }
        }
    }

    fn wake(&self) {
        self.landed.send_modify(|landings| *landings += 1);
    }

    async fn count(&self) -> Result<Counts, ClickHouseError> {
        let mut stored = 0;
        for shard in self.shards.iter() {
            let query = shard.client()?.query_raw(EVENT_COUNT).param("database", shard.database());
            stored += within(TIMEOUT, query.fetch_one::<u64>()).await?;
        }
        Ok(Counts { stored, own: self.writer.stats().inserted() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_events_of_others_are_told_from_own_ones() {
        let before = Counts { stored: 100, own: 40 };
        assert!(!before.has_others(before));
        assert!(!Counts { stored: 110, own: 50 }.has_others(before));
        assert!(Counts { stored: 111, own: 50 }.has_others(before));
        assert!(Counts { stored: 90, own: 40 }.has_others(before), "events have expired");
    }
}

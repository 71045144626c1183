//! The task that adds landed events to the tables of people.
//!
//! It adds the events of all batches from the mark on, then moves the mark to the lowest id that had not landed before: all
//! lower ones have landed, so their events were among those added. A crash in between repeats them, which changes nothing. A
//! batch that lands late, after an outage or a retry, has an id that is not below the mark.
//!
//! Whatever inserts events of a batch below the mark adds them itself: the replay of a dead letter. The repair of a batch
//! inserts events that were added before it was damaged.
//!
//! Events that were stored before the tables existed are added beside it, week by week, newest first.

use std::time::Duration;

use jiff::ToSpan as _;
use jiff::civil::Date;
use tokio::sync::watch;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{PeopleProgress, PeopleTables};
use crate::clickhouse::people::{self, Marks, Selection};
use crate::clickhouse::shards::Shards;
use crate::clickhouse::{ClickHouse, ClickHouseError};
use crate::writer::{UnlandedBatches, Writer};

/// Time between two runs. The events of this time are read by every query about people; each run costs about 50 ms.
const RUN_INTERVAL: Duration = Duration::from_secs(5);
/// Delay after a failure.
const RETRY_DELAY: Duration = Duration::from_secs(5);
/// Time between two deletions of what has expired.
const EXPIRY_INTERVAL: Duration = Duration::from_hours(24);

/// Adds events to the tables of people.
pub(crate) struct PeopleTask {
    /// Each has tables of its own, of its events.
    shards: Shards,
    unlanded: UnlandedBatches,
    /// The number of landed batches.
    landed: watch::Receiver<u64>,
    /// Cancelled when the mark covers everything that can land.
    reconciled: CancellationToken,
    progress: watch::Sender<PeopleProgress>,
    /// The lowest batch that had not landed at the start. Another server may have moved the mark beyond it.
    recovered: Option<Uuid>,
    /// How long people are kept after they were last seen.
    retention_days: u64,
}

impl PeopleTask {
    /// The task, and the tables that it keeps.
    pub(crate) fn new(
        shards: Shards,
        writer: &Writer,
        recovered: Option<Uuid>,
        retention_days: u64,
    ) -> (Self, PeopleTables) {
        let progress = PeopleProgress { mark: Uuid::nil(), complete_since: None };
        let (progress, receiver) = watch::channel(progress);
        let is_distributed = shards.reader().read_shards().is_some();
        let task = Self {
            shards,
            unlanded: writer.unlanded_batches().clone(),
            landed: writer.stats().landed(),
            reconciled: writer.reconciled().clone(),
            progress,
            recovered,
            retention_days,
        };
        (task, PeopleTables { progress: receiver, is_distributed })
    }

    /// Runs until `stop`. What is not added then is added after the next start.
    pub(crate) async fn run(self, stop: CancellationToken) {
        let work = async {
            self.reconciled.cancelled().await;
            let (mut marks, mut pending_weeks) = (Vec::new(), Vec::new());
            for shard in self.shards.iter() {
                let Marks { landed, pending_weeks: weeks } = read_marks(shard).await;
                let landed = landed.unwrap_or_default();
                marks.push(self.recovered.map_or(landed, |recovered| recovered.min(landed)));
                pending_weeks.extend(weeks.into_iter().map(|week| PendingWeek { week, shard }));
            }
            pending_weeks.sort_by(|a, b| a.week.cmp(&b.week));
            self.publish(&marks);
            self.progress.send_modify(|progress| progress.complete_since = complete_since(&pending_weeks));
            tokio::join!(self.follow(marks), self.add_weeks(pending_weeks), self.expire());
        };
        tokio::select! {
            () = stop.cancelled() => {}
            () = work => {}
        }
    }

    /// What lacks in the tables of one shard lacks in all.
    fn publish(&self, marks: &[Uuid]) {
        let mark = marks.iter().min().copied().unwrap_or_default();
        self.progress.send_modify(|progress| progress.mark = mark);
    }

    /// Adds what has landed. Never returns.
    async fn follow(&self, mut marks: Vec<Uuid>) {
        let mut landed = self.landed.clone();
        // Batches of an earlier process may have landed after its last run.
        landed.mark_changed();
        loop {
            if landed.changed().await.is_err() {
                // The writer is gone.
                return std::future::pending().await;
            }
            for (shard, mark) in self.shards.iter().zip(&mut marks) {
                if let Err(error) = self.add_landed(shard, mark).await {
                    report("cannot add events to the tables of people; retrying", &error);
                    landed.mark_changed();
                }
            }
            self.publish(&marks);
            sleep(RUN_INTERVAL).await;
        }
    }

    async fn add_landed(&self, shard: &ClickHouse, mark: &mut Uuid) -> Result<(), ClickHouseError> {
        let started = Instant::now();
        // Before the events are read: what lands meanwhile may not be among them.
        let next = self.unlanded.lowest_id();
        people::add_events(shard, Selection::Since(*mark)).await?;
        people::set_landed(shard, next).await?;
        tracing::debug!(%mark, %next, elapsed_ms = started.elapsed().as_millis(), "events added to the tables of people");
        *mark = next;
        Ok(())
    }

    /// Adds the events that were stored before the tables existed.
    async fn add_weeks(&self, mut pending: Vec<PendingWeek<'_>>) {
        while let Some(PendingWeek { week, shard }) = pending.last() {
            let added = async {
                people::add_events(shard, Selection::Week(week)).await?;
                people::set_week_added(shard, week).await
            };
            match added.await {
                Ok(()) => {
                    tracing::info!(
                        week,
                        left = pending.len() - 1,
                        "events of a week added to the tables of people"
                    );
                    pending.pop();
                    self.progress.send_modify(|progress| progress.complete_since = complete_since(&pending));
                }
                Err(error) => {
                    report("cannot add the events of a week to the tables of people; retrying", &error);
                    sleep(RETRY_DELAY).await;
                }
            }
        }
    }

    /// Deletes people who were not seen for the retention. Never returns.
    async fn expire(&self) {
        loop {
            let mut delay = EXPIRY_INTERVAL;
            for shard in self.shards.iter() {
                if let Err(error) = people::delete_expired(shard, self.retention_days).await {
                    report("cannot delete people who have expired; retrying", &error);
                    delay = RETRY_DELAY;
                }
            }
            sleep(delay).await;
        }
    }
}

/// A week whose events have to be added on a shard.
struct PendingWeek<'a> {
    /// Its Monday.
    week: String,
    shard: &'a ClickHouse,
}

async fn read_marks(clickhouse: &ClickHouse) -> Marks {
    loop {
        match Marks::read(clickhouse).await {
            Ok(marks) => return marks,
            Err(error) => report("cannot read the marks of the tables of people; retrying", &error),
        }
        sleep(RETRY_DELAY).await;
    }
}

fn report(message: &str, error: &ClickHouseError) {
    tracing::warn!(%error, "{message}");
}

/// The Monday after the newest week that is pending.
fn complete_since(pending_weeks: &[PendingWeek<'_>]) -> Option<Date> {
    let week: Date = pending_weeks.last()?.week.parse().ok()?;
    week.checked_add(7.days()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tables_are_complete_since_the_week_after_the_newest_pending_one() {
        let (_, endpoint) = watch::channel(None);
        let shard = &ClickHouse::new(endpoint, "millrace");
        let weeks = ["2026-11-02", "2026-11-16"].map(|week| PendingWeek { week: week.to_owned(), shard });
        assert_eq!(complete_since(&weeks), Some(jiff::civil::date(2026, 11, 23)));
        assert_eq!(complete_since(&weeks[..1]), Some(jiff::civil::date(2026, 11, 9)));
        assert_eq!(complete_since(&[]), None);
    }
}

//! The task that brings waiting dead letters back: oldest first, as soon as inserts succeed again.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::dead_letter::{DeadLetter, DeadLetters};
use super::insert::{blocking, insert};
use super::stats::Stats;
use crate::clickhouse::{ClickHouse, ErrorKind};

/// How often the folder is looked at when no batch lands: a letter may be brought back by hand, or ClickHouse may be
/// there again without an event coming.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// What the task stands on.
pub(super) struct Redriver {
    clickhouse: ClickHouse,
    dead_letters: DeadLetters,
    stats: Arc<Stats>,
}

impl Redriver {
    pub(super) fn new(clickhouse: ClickHouse, dead_letters: DeadLetters, stats: Arc<Stats>) -> Self {
        Self { clickhouse, dead_letters, stats }
    }

    /// Works until `stop`.
    pub(super) async fn run(self, stop: CancellationToken) {
        let mut landed = self.stats.landed();
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                // The sender lives as long as the figures, which this task holds.
                _ = landed.changed() => {}
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.run_once() => {}
            }
            landed.mark_unchanged();
        }
    }

    /// Brings back what waits, until ClickHouse does not take one.
    async fn run_once(&self) {
        let dead_letters = self.dead_letters.clone();
        let letters = match blocking(move || dead_letters.list()).await {
            Ok(letters) => letters,
            Err(error) => {
                tracing::error!(%error, "the dead letters cannot be read");
                return;
            }
        };
        self.stats.set_dead_letter_bytes(letters.iter().map(|letter| letter.bytes).sum());
        for letter in letters.into_iter().filter(|letter| !letter.refused) {
            if let Err(error) = self.bring_back(&letter).await {
                tracing::warn!(batch = %letter.batch_id, %error, "a dead letter stays");
                return;
            }
        }
    }

    async fn bring_back(&self, letter: &DeadLetter) -> anyhow::Result<()> {
        let id = letter.batch_id;
        let dead_letters = self.dead_letters.clone();
        let body = blocking(move || dead_letters.body(id)).await?;
        let inserted = insert(&self.clickhouse, id, vec![body]).await;
        let (dead_letters, letter) = (self.dead_letters.clone(), letter.clone());
        match inserted {
            Ok(()) => {
                blocking(move || dead_letters.remove(id)).await?;
                self.stats.count_inserted(letter.events);
                tracing::info!(batch = %id, events = letter.events, "a dead letter was brought back");
                Ok(())
            }
            Err(error) if error.kind == ErrorKind::Permanent => {
                tracing::error!(batch = %id, %error, "ClickHouse refuses a dead letter; it waits for a person");
                let (code, reason) = (error.code, error.message);
                blocking(move || dead_letters.refuse(&letter, code, reason)).await?;
                Ok(())
            }
            Err(error) => Err(error.into()),
        }
    }
}

//! The task that inserts sealed batches, one after the other.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use rand::Rng;
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use uuid::Uuid;

use super::columns::{COLUMN_NAMES, EventColumns};
use super::dead_letter::{DeadLetter, DeadLetters};
use super::record::{Record, Seal};
use super::stats::Stats;
use crate::clickhouse::{ClickHouse, ClickHouseError, ErrorKind};
use crate::journal::{Journal, JournalError};

/// How often an insert is tried again before its batch is set aside.
const RETRIES: u32 = 3;
/// The wait before the first retry; it doubles each time.
const FIRST_WAIT: Duration = Duration::from_millis(250);
/// The wait after a batch could neither be inserted nor be set aside.
const STUCK_WAIT: Duration = Duration::from_secs(1);

/// A batch that never changes again.
#[derive(Debug)]
pub(super) struct Batch {
    pub(super) seal: Seal,
    pub(super) events: u64,
    /// The events, or nothing where they are to be read from the journal.
    pub(super) columns: Option<Resident>,
}

/// Events in memory, with their share of it.
#[derive(Debug, Default)]
pub(super) struct Resident {
    pub(super) columns: EventColumns,
    pub(super) share: Option<OwnedSemaphorePermit>,
}

/// The batch needs nothing more from the journal: it is in ClickHouse or among the dead letters.
#[derive(Debug)]
pub(super) struct Done {
    pub(super) seal: Seal,
}

/// What the task stands on.
pub(super) struct Inserter {
    pub(super) clickhouse: ClickHouse,
    pub(super) journal: Journal,
    pub(super) dead_letters: DeadLetters,
    pub(super) stats: Arc<Stats>,
}

impl Inserter {
    /// Inserts what comes, until no more can come.
    pub(super) async fn run(self, mut batches: mpsc::Receiver<Batch>, done: mpsc::Sender<Done>) {
        while let Some(batch) = batches.recv().await {
            let seal = batch.seal;
            self.bring_in(batch).await;
            if done.send(Done { seal }).await.is_err() {
                return;
            }
        }
    }

    /// Returns once the batch is in ClickHouse or among the dead letters.
    async fn bring_in(&self, batch: Batch) {
        let Batch { seal, events, columns } = batch;
        let Resident { columns, share: _share } = match columns {
            Some(resident) => resident,
            None => self.read_back(seal, events).await,
        };
        let body = columns.into_native(seal.batch_id);
        loop {
            let Err(error) = self.try_insert(seal.batch_id, &body).await else {
                tracing::debug!(batch = %seal.batch_id, events, "batch landed");
                self.stats.count_inserted(events);
                return;
            };
            let refused = error.kind == ErrorKind::Permanent;
            match self.set_aside(seal.batch_id, events, &body, error, refused).await {
                Ok(()) => return,
                Err(error) => {
                    tracing::error!(batch = %seal.batch_id, %error, "a batch can neither be inserted nor be set aside");
                    tokio::time::sleep(STUCK_WAIT).await;
                }
            }
        }
    }

    /// Inserts, with retries. An error is the last one.
    async fn try_insert(&self, batch_id: Uuid, body: &[Bytes]) -> Result<(), ClickHouseError> {
        let mut wait = FIRST_WAIT;
        let mut retries = 0;
        loop {
            let error = match insert(&self.clickhouse, batch_id, body.to_vec()).await {
                Ok(()) => return Ok(()),
                Err(error) => error,
            };
            self.stats.set_insert_error(Some(error.to_string()));
            if error.kind == ErrorKind::Permanent || retries == RETRIES {
                return Err(error);
            }
            tracing::warn!(batch = %batch_id, %error, wait_ms = wait.as_millis(), "an insert failed and is tried again");
            tokio::time::sleep(jitter(wait)).await;
            retries += 1;
            wait *= 2;
        }
    }

    async fn set_aside(
        &self,
        batch_id: Uuid,
        events: u64,
        body: &[Bytes],
        error: ClickHouseError,
        refused: bool,
    ) -> std::io::Result<()> {
        let letter = DeadLetter {
            batch_id,
            set_aside_at: jiff::Timestamp::now().to_string(),
            reason: error.message,
            code: error.code,
            events,
            bytes: body.iter().map(|part| part.len() as u64).sum(),
            refused,
        };
        tracing::error!(batch = %batch_id, events, refused, reason = letter.reason, "a batch is set aside");
        let bytes = letter.bytes;
        let (dead_letters, body) = (self.dead_letters.clone(), body.to_vec());
        blocking(move || dead_letters.put(&letter, &body)).await?;
        self.stats.count_set_aside(bytes);
        Ok(())
    }

    /// The events of a batch that did not stay in memory. A disk that cannot be read is asked until it can be.
    async fn read_back(&self, seal: Seal, events: u64) -> Resident {
        loop {
            let journal = self.journal.clone();
            let error = match blocking(move || read_columns(&journal, seal)).await {
                Ok(columns) => {
                    let missing = events.saturating_sub(u64::from(columns.rows()));
                    if missing > 0 {
                        tracing::error!(batch = %seal.batch_id, missing, "events are lost: the journal is damaged");
                    }
                    return Resident { columns, share: None };
                }
                Err(error) => error,
            };
            tracing::error!(batch = %seal.batch_id, %error, "a batch cannot be read back and waits");
            self.stats.set_insert_error(Some(error.to_string()));
            tokio::time::sleep(STUCK_WAIT).await;
        }
    }
}

/// The events of a batch. What the disk does not give any more is told and left out: the rest must not wait for ever.
fn read_columns(journal: &Journal, seal: Seal) -> Result<EventColumns, JournalError> {
    let mut columns = EventColumns::default();
    for record in journal.read(seal.first..=seal.last)? {
        let record = record?;
        match Record::decode(record.kind, &record.payload) {
            Ok(Record::Events(events)) => columns.append(&events.columns),
            Ok(_) => {}
            Err(error) => tracing::error!(batch = %seal.batch_id, %error, "a record of a batch is lost"),
        }
    }
    Ok(columns)
}

/// One try to insert a batch.
pub(super) async fn insert(
    clickhouse: &ClickHouse,
    batch_id: Uuid,
    body: Vec<Bytes>,
) -> Result<(), ClickHouseError> {
    clickhouse.insert_native("events", COLUMN_NAMES, body, &batch_id.to_string()).await
}

/// Runs what blocks on the disk where it may block.
pub(super) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}

/// Half to one and a half of a wait, so that many writers do not come back together.
fn jitter(wait: Duration) -> Duration {
    wait.mul_f64(rand::rng().random_range(0.5..1.5))
}

//! The task that inserts sealed batches, one after the other. After an unclean boot it first compares those that may have
//! been inserted before with what ClickHouse has.

use std::collections::HashSet;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use rand::Rng;
use tokio::sync::{Mutex, mpsc};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::columns::{COLUMN_NAMES, EventColumns};
use super::dead_letter::{DeadLetter, DeadLetters};
use super::durability::Durability;
use super::reconcile::{BatchBody, ExpectedBatch, reconcile, store_unconfirmed};
use super::record::{Seal, WriterRecord};
use super::state::{BufferedEvents, SealedBatch};
use super::stats::WriterStats;
use crate::clickhouse::{ClickHouse, ClickHouseError, InsertFailure, batches};
use crate::journal::{Journal, JournalError};

/// How often an insert is tried again before its batch is set aside.
const MAX_RETRIES: u32 = 3;
/// The wait before the first retry; it doubles each time.
const INITIAL_BACKOFF: Duration = Duration::from_millis(250);
/// The wait after a batch could neither be inserted nor be set aside.
const FAULT_RETRY_DELAY: Duration = Duration::from_secs(1);

/// What the inserter tells the writer's task.
#[derive(Debug)]
pub(super) enum InserterEvent {
    /// ClickHouse has what had landed before the start; the first message.
    Reconciled,
    /// The batch that was given last is in ClickHouse or a dead letter: it needs nothing more from the journal.
    Landed,
}

/// Held by whoever inserts into ClickHouse: a batch that is looked up and repaired must be the only one.
pub(super) type InsertLock = Arc<Mutex<()>>;

/// The batches of before the start that ClickHouse may have, or have in part.
pub(super) struct UnconfirmedBatches {
    /// Whether the machine went down.
    pub(super) unclean_boot: bool,
    pub(super) landed: Vec<Seal>,
    pub(super) sealed: Vec<Seal>,
}

/// What the task stands on.
pub(super) struct Inserter {
    pub(super) clickhouse: ClickHouse,
    pub(super) journal: Journal,
    pub(super) dead_letters: DeadLetters,
    pub(super) durability: Durability,
    pub(super) insert_lock: InsertLock,
    pub(super) stats: Arc<WriterStats>,
    /// Taken at the start.
    pub(super) unconfirmed: Option<UnconfirmedBatches>,
    /// Cancelled once these are made good: then others may insert.
    pub(super) reconciled: CancellationToken,
}

impl Inserter {
    /// Inserts what comes, until no more can come.
    pub(super) async fn run(
        mut self,
        mut batches: mpsc::Receiver<SealedBatch>,
        event_tx: mpsc::Sender<InserterEvent>,
    ) {
        let stored = match self.unconfirmed.take() {
            Some(unconfirmed) => self.reconcile(unconfirmed).await,
            None => HashSet::new(),
        };
        // A batch that became a dead letter just before the end is the letter's from here on.
        let letters: HashSet<Uuid> =
            self.dead_letters.list().letters.into_iter().map(|letter| letter.batch_id).collect();
        self.reconciled.cancel();
        let mut ended = event_tx.send(InserterEvent::Reconciled).await.is_err();
        while !ended && let Some(batch) = batches.recv().await {
            let Seal { batch_id, events, .. } = batch.seal;
            if stored.contains(&batch_id) {
                self.stats.count_inserted(events);
            } else if letters.contains(&batch_id) {
                self.stats.uncount_recovered(events);
            } else {
                self.store_batch(batch).await;
            }
            ended = event_tx.send(InserterEvent::Landed).await.is_err();
        }
    }

    /// Makes ClickHouse hold every batch that it may have had when the machine went down. Gives those that it holds now;
    /// the others it refuses, and they go the usual way.
    ///
    /// After an unclean boot that is every batch which the journal still has, and the dead letters. Otherwise it is
    /// those that may have been sent and whose landing is not in the journal.
    async fn reconcile(
        &self,
        UnconfirmedBatches { unclean_boot, landed, sealed }: UnconfirmedBatches,
    ) -> HashSet<Uuid> {
        let mut letters = self.dead_letters.list().letters;
        let batches: Vec<Seal> = if unclean_boot {
            landed.into_iter().chain(sealed).collect()
        } else {
            // One that became a dead letter just before the end is the letter's: it would be stored by both.
            let is_dead_lettered =
                |seal: &Seal| letters.iter().any(|letter| letter.batch_id == seal.batch_id);
            let sealed = sealed.into_iter().filter(|seal| !is_dead_lettered(seal)).collect();
            self.possibly_sent(sealed).await
        };
        // One that was refused waits for a person, who has it looked up.
        letters.retain(|letter| unclean_boot && !letter.rejected);
        let letter_batches = letters.iter().map(|letter| (letter.batch_id, letter.events));
        let mut known = HashSet::new();
        let expected: Vec<ExpectedBatch> = batches
            .iter()
            .map(|seal| (seal.batch_id, seal.events))
            .chain(letter_batches)
            .filter(|(batch_id, _)| known.insert(*batch_id))
            .map(|(batch_id, events)| ExpectedBatch { batch_id, events })
            .collect();
        let read = |batch_id: Uuid| {
            let seal = batches.iter().find(|seal| seal.batch_id == batch_id).copied();
            self.load_body(batch_id, seal, &letters)
        };
        if !expected.is_empty() {
            let batches = expected.len();
            tracing::warn!(batches, unclean_boot, "batches of before the start are compared with ClickHouse");
        }
        let report = loop {
            match reconcile(&self.clickhouse, &self.durability, &expected, read).await {
                Ok(report) => break report,
                Err(error) => {
                    self.stats.set_insert_error(Some(error.to_string()));
                    tokio::time::sleep(FAULT_RETRY_DELAY).await;
                }
            }
        };
        self.stats.set_insert_error(None);
        if unclean_boot {
            self.report_broken_parts().await;
        }
        for (batch_id, error) in &report.rejected {
            tracing::error!(batch = %batch_id, %error, "ClickHouse refuses a batch that it may have had");
            known.remove(batch_id);
        }
        self.delete_letters(letters.into_iter().filter(|letter| known.contains(&letter.batch_id))).await;
        known
    }

    /// After a power cut ClickHouse may have set parts aside. Their events are in `events` again by now.
    async fn report_broken_parts(&self) {
        match batches::count_broken_parts(&self.clickhouse).await {
            Ok(0) => {}
            Ok(parts) => tracing::warn!(
                parts,
                "ClickHouse has set broken parts aside; the batches that may have been in them are complete again, and their folders, \
                 store/*/*/detached/broken-on-start_*, can be removed"
            ),
            Err(error) => {
                tracing::warn!(%error, "it is unknown whether the power cut broke parts of ClickHouse's tables")
            }
        }
    }

    /// Of the batches that have not landed, those that may have been sent.
    async fn possibly_sent(&self, sealed: Vec<Seal>) -> Vec<Seal> {
        if sealed.is_empty() {
            return sealed;
        }
        let ids: Vec<Uuid> = sealed.iter().map(|seal| seal.batch_id).collect();
        let stored = loop {
            match batches::count_stored_events(&self.clickhouse, &ids).await {
                Ok(stored) => break stored,
                Err(error) => {
                    self.stats.set_insert_error(Some(error.to_string()));
                    tokio::time::sleep(FAULT_RETRY_DELAY).await;
                }
            }
        };
        retain_possibly_sent(sealed, |batch_id| stored.contains_key(&batch_id))
    }

    /// The events of a batch, from the journal or a dead letter.
    async fn load_body(
        &self,
        batch_id: Uuid,
        seal: Option<Seal>,
        letters: &[DeadLetter],
    ) -> io::Result<BatchBody> {
        if let Some(seal) = seal {
            let journal = self.journal.clone();
            let columns =
                run_blocking(move || read_batch_columns(&journal, seal)).await.map_err(io::Error::other)?;
            return Ok(BatchBody::from_columns(columns, batch_id));
        }
        let dead_letters = self.dead_letters.clone();
        let body = run_blocking(move || dead_letters.body(batch_id)).await?;
        let letter = letters.iter().find(|letter| letter.batch_id == batch_id);
        Ok(BatchBody { events: letter.map_or(0, |letter| letter.events), native: vec![body] })
    }

    /// Deletes letters whose events ClickHouse has, once these are safe there.
    async fn delete_letters(&self, letters: impl Iterator<Item = DeadLetter>) {
        let letters: Vec<DeadLetter> = letters.collect();
        if letters.is_empty() {
            return;
        }
        if let Err(error) = self.durability.sync().await {
            // They are inserted again, and found to be there.
            tracing::error!(%error, "ClickHouse's files could not be synced; dead letters stay");
            return;
        }
        for DeadLetter { batch_id, events, .. } in letters {
            let dead_letters = self.dead_letters.clone();
            match run_blocking(move || dead_letters.remove(batch_id)).await {
                Ok(()) => self.stats.count_inserted(events),
                Err(error) => tracing::error!(batch = %batch_id, %error, "a dead letter cannot be deleted"),
            }
        }
        self.stats.set_dead_letter_bytes(self.dead_letters.summary().bytes);
    }

    /// Returns once the batch is in ClickHouse or among the dead letters.
    async fn store_batch(&self, batch: SealedBatch) {
        let SealedBatch { seal, buffered } = batch;
        let events = seal.events;
        let BufferedEvents { columns, permit: _permit } = match buffered {
            Some(buffered) => buffered,
            None => self.read_from_journal(seal).await,
        };
        let body = columns.into_native(seal.batch_id);
        let mut outcome_unknown = false;
        loop {
            let Err(error) = self.insert_with_retries(seal, &body, &mut outcome_unknown).await else {
                tracing::debug!(batch = %seal.batch_id, events, "batch landed");
                self.stats.count_inserted(events);
                return;
            };
            match self.write_dead_letter(seal, &body, error, outcome_unknown).await {
                Ok(()) => return,
                Err(error) => {
                    tracing::error!(batch = %seal.batch_id, %error, "a batch can neither be inserted nor be set aside");
                    tokio::time::sleep(FAULT_RETRY_DELAY).await;
                }
            }
        }
    }

    /// Inserts, with retries. An error is the last one. Once an attempt got no answer, its token is not trusted any more,
    /// whatever the later attempts say: each of them compares what ClickHouse has.
    async fn insert_with_retries(
        &self,
        seal: Seal,
        body: &[Bytes],
        outcome_unknown: &mut bool,
    ) -> Result<(), ClickHouseError> {
        let Seal { batch_id, events, .. } = seal;
        let mut backoff = INITIAL_BACKOFF;
        let mut retries = 0;
        loop {
            let inserted = {
                let _guard = self.insert_lock.lock().await;
                match *outcome_unknown {
                    true => {
                        store_unconfirmed(&self.clickhouse, &self.durability, batch_id, events, body).await
                    }
                    false => insert_batch(&self.clickhouse, batch_id, body.to_vec()).await,
                }
            };
            let error = match inserted {
                Ok(()) => return Ok(()),
                Err(error) => error,
            };
            *outcome_unknown |= error.outcome_is_unknown();
            self.stats.set_insert_error(Some(error.to_string()));
            if error.insert_failure() == InsertFailure::Rejected || retries == MAX_RETRIES {
                return Err(error);
            }
            tracing::warn!(batch = %batch_id, %error, wait_ms = backoff.as_millis(), "an insert failed and is tried again");
            tokio::time::sleep(with_jitter(backoff)).await;
            retries += 1;
            backoff *= 2;
        }
    }

    async fn write_dead_letter(
        &self,
        Seal { batch_id, events, .. }: Seal,
        body: &[Bytes],
        error: ClickHouseError,
        outcome_unknown: bool,
    ) -> std::io::Result<()> {
        let failure = error.insert_failure();
        let letter = DeadLetter {
            batch_id,
            dead_lettered_at: jiff::Timestamp::now().to_string(),
            reason: error.message,
            code: error.code,
            events,
            bytes: body.iter().map(|part| part.len() as u64).sum(),
            rejected: failure == InsertFailure::Rejected,
            attempts: 0,
            last_attempt_at: None,
            next_attempt_at: None,
            outcome_unknown,
        };
        tracing::error!(batch = %batch_id, events, letter.rejected, reason = letter.reason, "a batch is set aside");
        let bytes = letter.bytes;
        let (dead_letters, body) = (self.dead_letters.clone(), body.to_vec());
        run_blocking(move || dead_letters.put(&letter, &body)).await?;
        self.stats.count_dead_lettered(bytes);
        Ok(())
    }

    /// The events of a batch that did not stay in memory. A disk that cannot be read is asked until it can be.
    async fn read_from_journal(&self, seal: Seal) -> BufferedEvents {
        loop {
            let journal = self.journal.clone();
            let error = match run_blocking(move || read_batch_columns(&journal, seal)).await {
                Ok(columns) => {
                    let missing = seal.events.saturating_sub(u64::from(columns.rows()));
                    if missing > 0 {
                        tracing::error!(batch = %seal.batch_id, missing, "events are lost: the journal is damaged");
                    }
                    return BufferedEvents { columns, permit: None };
                }
                Err(error) => error,
            };
            tracing::error!(batch = %seal.batch_id, %error, "a batch cannot be read back and waits");
            self.stats.set_insert_error(Some(error.to_string()));
            tokio::time::sleep(FAULT_RETRY_DELAY).await;
        }
    }
}

/// The events of a batch. What the disk does not give any more is told and left out: the rest must not wait for ever.
fn read_batch_columns(journal: &Journal, seal: Seal) -> Result<EventColumns, JournalError> {
    let mut columns = EventColumns::default();
    for record in journal.read(seal.first..=seal.last)? {
        let record = record?;
        match WriterRecord::decode(record.kind, &record.payload) {
            Ok(WriterRecord::Events(events)) => columns.append(&events.columns),
            Ok(_) => {}
            Err(error) => tracing::error!(batch = %seal.batch_id, %error, "a record of a batch is lost"),
        }
    }
    Ok(columns)
}

/// Of the sealed batches, oldest first, those that may have been sent to ClickHouse by a process that has ended.
///
/// Batches are sent one at a time, in this order. Those with stored events were sent. The first one without any may have been
/// in flight, and have left its token behind without its events. Later ones were not sent, unless they have stored events.
pub(super) fn retain_possibly_sent(
    mut sealed: Vec<Seal>,
    has_stored_events: impl Fn(Uuid) -> bool,
) -> Vec<Seal> {
    let first_absent = sealed.iter().position(|seal| !has_stored_events(seal.batch_id));
    let first_absent = first_absent.map(|index| sealed[index].batch_id);
    sealed.retain(|seal| Some(seal.batch_id) == first_absent || has_stored_events(seal.batch_id));
    sealed
}

/// One try to insert a batch.
pub(super) async fn insert_batch(
    clickhouse: &ClickHouse,
    batch_id: Uuid,
    body: Vec<Bytes>,
) -> Result<(), ClickHouseError> {
    clickhouse.insert_native("events", COLUMN_NAMES, body, &batch_id.to_string()).await
}

/// Runs what blocks on the disk where it may block.
pub(super) async fn run_blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(output) => output,
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}

/// Half to one and a half of a wait, so that many writers do not come back together.
fn with_jitter(backoff: Duration) -> Duration {
    backoff.mul_f64(rand::rng().random_range(0.5..1.5))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::Lsn;

    #[test]
    fn batches_are_possibly_sent_up_to_the_first_without_stored_events() {
        let seal = |number: u128| Seal {
            batch_id: Uuid::from_u128(number),
            first: number as Lsn,
            last: number as Lsn,
            events: 1,
        };
        let possibly_sent = |stored: &[u128]| -> Vec<u128> {
            let has_stored_events = |batch_id: Uuid| stored.contains(&batch_id.as_u128());
            let sealed = (1..=5).map(seal).collect();
            retain_possibly_sent(sealed, has_stored_events)
                .iter()
                .map(|seal| seal.batch_id.as_u128())
                .collect()
        };
        assert_eq!(possibly_sent(&[]), [1]);
        assert_eq!(possibly_sent(&[1, 2]), [1, 2, 3]);
        assert_eq!(possibly_sent(&[1, 4]), [1, 2, 4]);
        assert_eq!(possibly_sent(&[1, 2, 3, 4, 5]), [1, 2, 3, 4, 5]);
    }
}

//! The task that inserts sealed batches, one or several at a time. At startup it first reconciles the batches that an earlier
//! process may have sent.

use std::collections::HashSet;
use std::fmt::Display;
use std::io;
use std::pin::pin;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::future::join_all;
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;
use uuid::Uuid;

use super::columns::EventColumns;
use super::copies::Copies;
use super::dead_letter::{DeadLetter, DeadLetters};
use super::reconcile::{BatchBody, ExpectedBatch, reconcile};
use super::record::{Seal, WriterRecord};
use super::state::{BufferedEvents, SealedBatch};
use super::store::{BatchInfo, BatchStore, ShardStore};
use crate::blocking::run_blocking;
use crate::clickhouse::people::{self, Selection};
use crate::clickhouse::{ClickHouse, batches, exclusive, within};
use crate::journal::{Journal, JournalError};
use crate::traces;

/// Delay between attempts of operations that are retried indefinitely: reconciliation and reads of the journal.
const FAULT_RETRY_DELAY: Duration = Duration::from_secs(1);

/// How long the start waits for a shard of a cluster.
const RELEASE_TIMEOUT: Duration = Duration::from_secs(5);

/// The largest number of batches that may be in flight. After a crash, as many may have been sent.
pub(crate) const MAX_INSERTS_IN_FLIGHT: usize = 4;

/// Messages to the writer's task.
#[derive(Debug)]
pub(super) enum InserterEvent {
    /// Reconciliation has completed. Sent once, first.
    Reconciled,
    /// The oldest batch in flight is in ClickHouse or in the dead-letter folder: it no longer needs the journal.
    Landed,
}

/// Batches of an earlier process that ClickHouse may hold, completely or in part.
pub(super) struct UnconfirmedBatches {
    /// Whether the machine went down since the last use of the data folder.
    pub(super) unclean_boot: bool,
    /// Landed batches that the journal still holds.
    pub(super) landed: Vec<Seal>,
    /// Sealed batches without a landed record, oldest first.
    pub(super) sealed: Vec<Seal>,
}

pub(super) struct Inserter {
    pub(super) store: BatchStore,
    pub(super) journal: Journal,
    /// Nothing is inserted until it is `None`: an upgrade may be copying the events.
    pub(super) schema_pending: watch::Receiver<Option<String>>,
    /// Cancelled when reconciliation has completed: then the replayer may insert.
    pub(super) reconciled: CancellationToken,
    /// Reads all shards.
    pub(super) reader: ClickHouse,
    /// Removes events that another server has stored too.
    pub(super) copies: Copies,
}

impl Inserter {
    /// Reconciles `unconfirmed`, then inserts batches until either channel closes. The writer's task limits how many are in
    /// flight.
    pub(super) async fn run(
        self,
        unconfirmed: UnconfirmedBatches,
        batches: mpsc::Receiver<SealedBatch>,
        event_tx: mpsc::Sender<InserterEvent>,
    ) {
        if self.schema_pending.clone().wait_for(Option::is_none).await.is_err() {
            // The server stops before the schema is applied.
            return;
        }
        let stored = match &*self.store.shards {
            [only] if !only.clickhouse.stores_tokens_with_rows() => self.reconcile(only, unconfirmed).await,
            // Tokens tell what a shard has. One that is away does not hold up the others.
            shards => {
                let released = shards.iter().map(|shard| async {
                    let released = within(RELEASE_TIMEOUT, exclusive::release_own(&shard.clickhouse));
                    if let Err(error) = released.await {
                        tracing::warn!(%error, "a shard is away; what an interrupted repair has left there is cleaned up later");
                    }
                });
                join_all(released).await;
                HashSet::new()
            }
        };
        // A crash between dead-lettering and the landed record leaves a batch in both places. The replayer inserts it.
        let letters: HashSet<Uuid> =
            self.store.dead_letters.list().letters.into_iter().map(|letter| letter.batch_id).collect();
        self.store.encoder.load_admitted_values(&self.reader).await;
        self.store.stats.set_insert_error(None);
        self.reconciled.cancel();
        let mut closed = event_tx.send(InserterEvent::Reconciled).await.is_err();
        let store = async |batch: SealedBatch| {
            let Seal { batch_id, events, .. } = batch.seal;
            if stored.contains(&batch_id) {
                self.store.stats.count_inserted(events);
            } else if letters.contains(&batch_id) {
                self.store.stats.uncount_recovered(events);
            } else {
                let span = tracing::info_span!(target: traces::TARGET, "batch", batch = %batch_id, events = events.cast_signed());
                self.store_batch(batch).instrument(span).await;
            }
            self.store.unlanded.remove(batch_id);
        };
        // Completed batches are reported in the order in which they were dispatched.
        let stored_batches = ReceiverStream::new(batches).map(store).buffered(MAX_INSERTS_IN_FLIGHT);
        let mut stored_batches = pin!(stored_batches);
        while !closed && stored_batches.next().await.is_some() {
            closed = event_tx.send(InserterEvent::Landed).await.is_err();
        }
    }

    /// Compares the batches that ClickHouse may hold with ClickHouse, and repairs them. Returns the batches that ClickHouse
    /// holds now. It does not accept the others: they are dispatched again, and then dead-lettered.
    ///
    /// After an unclean boot, these are all batches in the journal and all waiting dead letters. Otherwise, these are the
    /// batches without a landed record that may have been sent.
    async fn reconcile(
        &self,
        shard: &ShardStore,
        UnconfirmedBatches { unclean_boot, landed, sealed }: UnconfirmedBatches,
    ) -> HashSet<Uuid> {
        // An earlier process may have been killed during a repair.
        self.retry_until_ok(|| exclusive::release_own(&shard.clickhouse)).await;
        let mut letters = self.store.dead_letters.list().letters;
        let batches: Vec<Seal> = if unclean_boot {
            landed.into_iter().chain(sealed).collect()
        } else {
            // The replayer inserts these. Repairing them here would store them twice.
            let is_dead_lettered =
                |seal: &Seal| letters.iter().any(|letter| letter.batch_id == seal.batch_id);
            let sealed = sealed.into_iter().filter(|seal| !is_dead_lettered(seal)).collect();
            self.possibly_sent(shard, sealed).await
        };
        // A rejected letter waits for a person. Its replay compares it.
        letters.retain(|letter| unclean_boot && !letter.rejected);
        let letter_batches = letters.iter().map(|letter| (letter.batch_id, letter.events));
        let mut stored = HashSet::new();
        let expected: Vec<ExpectedBatch> = batches
            .iter()
            .map(|seal| (seal.batch_id, seal.events))
            .chain(letter_batches)
            .filter(|(batch_id, _)| stored.insert(*batch_id))
            .map(|(batch_id, events)| ExpectedBatch { batch_id, events })
            .collect();
        let load = |batch_id: Uuid| {
            let seal = batches.iter().find(|seal| seal.batch_id == batch_id).copied();
            self.load_body(batch_id, seal, &letters)
        };
        if !expected.is_empty() {
            let batches = expected.len();
            tracing::warn!(
                batches,
                unclean_boot,
                "reconciling batches of an earlier process with ClickHouse"
            );
        }
        let report = self
            .retry_until_ok(|| reconcile(&shard.clickhouse, &self.store.durability, &expected, load))
            .await;
        self.store.stats.set_insert_error(None);
        if unclean_boot {
            report_broken_parts(&shard.clickhouse).await;
        }
        // A repair has restored what was removed from them.
        batches.iter().for_each(|seal| self.copies.check(seal.batch_id, seal.shard));
        for (batch_id, error) in &report.rejected {
            tracing::error!(batch = %batch_id, %error, "ClickHouse rejects a batch that it may have held");
            stored.remove(batch_id);
        }
        letters.retain(|letter| stored.contains(&letter.batch_id));
        // Their ids may be below the mark of the tables of people.
        let ids: Vec<Uuid> = letters.iter().map(|letter| letter.batch_id).collect();
        if !ids.is_empty() {
            self.retry_until_ok(|| people::add_events(&shard.clickhouse, Selection::Batches(&ids))).await;
        }
        self.delete_letters(letters).await;
        // Before anything lands that the tables of people would miss.
        self.retry_until_ok(|| shard.prepare(&self.store.unlanded)).await;
        stored
    }

    /// The batches among `sealed` that may have been sent. Retries until ClickHouse responds.
    async fn possibly_sent(&self, shard: &ShardStore, sealed: Vec<Seal>) -> Vec<Seal> {
        if sealed.is_empty() {
            return sealed;
        }
        let ids: Vec<Uuid> = sealed.iter().map(|seal| seal.batch_id).collect();
        let stored = self.retry_until_ok(|| batches::count_stored_events(&shard.clickhouse, &ids)).await;
        retain_possibly_sent(sealed, |batch_id| stored.contains_key(&batch_id))
    }

    /// Reads a batch from the journal if it has a seal, else from the dead-letter folder.
    async fn load_body(
        &self,
        batch_id: Uuid,
        seal: Option<Seal>,
        letters: &[DeadLetter],
    ) -> io::Result<BatchBody> {
        if let Some(seal) = seal {
            let journal = self.journal.clone();
            let records =
                run_blocking(move || read_batch_records(&journal, seal)).await.map_err(io::Error::other)?;
            return Ok(self.store.encoder.encode_events(records, batch_id).await);
        }
        let LetterBody { columns, .. } = read_letter(&self.store.dead_letters, batch_id).await?;
        let letter = letters.iter().find(|letter| letter.batch_id == batch_id);
        let body = self.store.encoder.encode_events(vec![columns], batch_id).await;
        Ok(BatchBody { events: letter.map_or(0, |letter| letter.events), ..body })
    }

    /// Deletes letters whose events are in ClickHouse. Reconciliation has synced ClickHouse's files since.
    async fn delete_letters(&self, letters: Vec<DeadLetter>) {
        for DeadLetter { batch_id, events, .. } in letters {
            let dead_letters = self.store.dead_letters.clone();
            match run_blocking(move || dead_letters.remove(batch_id)).await {
                Ok(()) => self.store.stats.count_inserted(events),
                Err(error) => tracing::error!(batch = %batch_id, %error, "cannot delete a dead letter"),
            }
        }
        self.store.stats.set_dead_letter_bytes(self.store.dead_letters.summary().bytes);
    }

    /// Returns once the batch is in ClickHouse or in the dead-letter folder.
    async fn store_batch(&self, batch: SealedBatch) {
        let SealedBatch { seal, received_at_ms, buffered, may_be_elsewhere } = batch;
        let BufferedEvents { records, permit: _permit, .. } = match buffered {
            Some(buffered) => buffered,
            None => self.read_from_journal(seal).await,
        };
        let Seal { batch_id, events, shard, .. } = seal;
        self.store.store(BatchInfo { batch_id, shard, events, received_at_ms }, records, false).await;
        if may_be_elsewhere {
            self.copies.check(batch_id, shard);
        }
    }

    /// Reads a batch that is not in memory. Retries until the disk can be read.
    async fn read_from_journal(&self, seal: Seal) -> BufferedEvents {
        let read = || async {
            let journal = self.journal.clone();
            run_blocking(move || read_batch_records(&journal, seal)).await.inspect_err(|error| {
                tracing::error!(batch = %seal.batch_id, %error, "cannot read a batch from the journal; retrying");
            })
        };
        let records = self.retry_until_ok(read).await;
        let rows: u64 = records.iter().map(|record| u64::from(record.rows())).sum();
        let missing = seal.events.saturating_sub(rows);
        if missing > 0 {
            tracing::error!(batch = %seal.batch_id, missing, "events are lost in a damaged journal");
        }
        BufferedEvents { records, ..BufferedEvents::default() }
    }

    /// Repeats an operation until it succeeds. Meanwhile health shows its last error.
    async fn retry_until_ok<T, E: Display, F: Future<Output = Result<T, E>>>(
        &self,
        operation: impl Fn() -> F,
    ) -> T {
        loop {
            match operation().await {
                Ok(output) => return output,
                Err(error) => self.store.stats.set_insert_error(Some(error.to_string())),
            }
            tokio::time::sleep(FAULT_RETRY_DELAY).await;
        }
    }
}

/// After a power cut, ClickHouse may have detached broken parts. Reconciliation has restored their events.
async fn report_broken_parts(clickhouse: &ClickHouse) {
    match batches::count_broken_parts(clickhouse).await {
        Ok(0) => {}
        Ok(parts) => tracing::warn!(
            parts,
            "ClickHouse has detached broken parts; their batches are complete again, and the folders \
             store/*/*/detached/broken-on-start_* can be deleted"
        ),
        Err(error) => tracing::warn!(%error, "cannot check for broken parts after an unclean boot"),
    }
}

/// Reads the records of a batch. Damaged records are logged and skipped, so that they do not block the rest of the batch.
fn read_batch_records(journal: &Journal, seal: Seal) -> Result<Vec<EventColumns>, JournalError> {
    let mut records = Vec::new();
    for record in journal.read(seal.first..=seal.last)? {
        let record = record?;
        match WriterRecord::decode(record.kind, &record.payload) {
            Ok(WriterRecord::Events(events)) => records.push(events.columns),
            Ok(_) => {}
            Err(error) => {
                tracing::error!(batch = %seal.batch_id, %error, "skipping a damaged journal record")
            }
        }
    }
    Ok(records)
}

/// The events of a dead letter.
pub(super) struct LetterBody {
    pub(super) columns: EventColumns,
    /// Whether an earlier version wrote it. The table that knew its token is gone since the upgrade.
    pub(super) of_earlier_version: bool,
}

/// Reads the events of a dead letter. They are encoded again for the current tables: an earlier version may have written the
/// letter, and the promoted properties may have changed since.
pub(super) async fn read_letter(dead_letters: &DeadLetters, batch_id: Uuid) -> io::Result<LetterBody> {
    let dead_letters = dead_letters.clone();
    let letter = run_blocking(move || {
        let body = dead_letters.body(batch_id)?;
        let of_earlier_version = EventColumns::is_of_earlier_version(&body);
        let columns = EventColumns::from_native(&body).map_err(io::Error::other)?;
        Ok(LetterBody { columns, of_earlier_version })
    });
    letter.await
}

/// Keeps the sealed batches that an earlier process may have sent to ClickHouse. `sealed` is oldest first.
///
/// Batches are sent in this order, and at most [`MAX_INSERTS_IN_FLIGHT`] are in flight. A batch with stored events was sent.
/// The first batches without stored events may have been in flight, and their tokens may be stored without their events.
/// Later batches without stored events were not sent.
pub(super) fn retain_possibly_sent(
    mut sealed: Vec<Seal>,
    has_stored_events: impl Fn(Uuid) -> bool,
) -> Vec<Seal> {
    let mut absent = 0;
    sealed.retain(|seal| {
        let is_stored = has_stored_events(seal.batch_id);
        absent += usize::from(!is_stored);
        is_stored || absent <= MAX_INSERTS_IN_FLIGHT
    });
    sealed
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::Lsn;

    #[test]
    fn as_many_batches_without_stored_events_are_possibly_sent_as_may_be_in_flight() {
        let seal = |number: u128| Seal {
            batch_id: Uuid::from_u128(number),
            first: number as Lsn,
            last: number as Lsn,
            events: 1,
            shard: 0,
        };
        let possibly_sent = |stored: &[u128]| -> Vec<u128> {
            let has_stored_events = |batch_id: Uuid| stored.contains(&batch_id.as_u128());
            let sealed = (1..=7).map(seal).collect();
            retain_possibly_sent(sealed, has_stored_events)
                .iter()
                .map(|seal| seal.batch_id.as_u128())
                .collect()
        };
        assert_eq!(possibly_sent(&[]), [1, 2, 3, 4]);
        assert_eq!(possibly_sent(&[1, 2]), [1, 2, 3, 4, 5, 6]);
        assert_eq!(possibly_sent(&[2]), [1, 2, 3, 4, 5]);
        assert_eq!(possibly_sent(&[6]), [1, 2, 3, 4, 6]);
        assert_eq!(possibly_sent(&[1, 2, 3, 4, 5, 6, 7]), [1, 2, 3, 4, 5, 6, 7]);
    }
}

//! The writer's decisions: which request is the next of its producer, which events are repeats, what is durable, which
//! records make a batch, and what the journal may release. Synchronous and without I/O: records go through a [`Log`], time
//! and batch ids are passed in, and replies are collected for the task around it (`task.rs`).
//!
//! # Invariants
//!
//! 1. A request is acknowledged only once its record, and every record before it, is durable.
//! 2. A durable event is in exactly one of: the open batch, a batch that waits for its seal, a sealed batch, the batch in
//!    flight, a landed batch.
//! 3. A sealed batch never changes, so every attempt to insert it sends the same bytes under the same id.
//! 4. A record is released only when none of these needs it, and when a durable snapshot behind it holds the sequences and
//!    event ids that it had.
//! 5. A landed batch keeps its records until a checkpoint says that ClickHouse's files are synced too.

use std::collections::{HashSet, VecDeque};
use std::time::Duration;

use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;
use uuid::Uuid;

use super::batch::{Limits, Size};
use super::columns::EventColumns;
use super::producers::{Order, Place, Producers};
use super::recent_ids::RecentIds;
use super::record::{Events, Seal, Snapshot, kind};
use super::recover::Recovered;
use super::{REQUEST_BYTES, Receipt, Request, SubmitError};
use crate::journal::{JournalError, Lsn};

/// A snapshot that could not be written is tried again after this time: it may be large to encode.
const SNAPSHOT_RETRY: Duration = Duration::from_secs(1);
/// A snapshot is due after so many times its own size in events, so that it costs at most a quarter of what is written.
const SNAPSHOT_SHARE: u64 = 4;

/// Where records go. An appended record has its place in the order; whether it becomes durable is told later, in order,
/// by [`State::written`].
pub(super) trait Log {
    /// Appends a record within the ordinary bound.
    fn append(&mut self, kind: u8, payload: Vec<u8>) -> Result<Lsn, JournalError>;
    /// Appends a record that leads to a release; it may use the journal's reserve.
    fn append_reserved(&mut self, kind: u8, payload: Vec<u8>) -> Result<Lsn, JournalError>;
    /// Records before `up_to` are no longer needed.
    fn release(&mut self, up_to: Lsn);
}

/// A request that the journal has no room for now. It is as it came, to be submitted again.
pub(super) struct Held<T> {
    pub(super) request: Request,
    pub(super) share: Option<OwnedSemaphorePermit>,
    pub(super) ticket: T,
    /// What its record takes.
    pub(super) record_bytes: usize,
    pub(super) error: JournalError,
}

impl<T> Held<T> {
    /// Whether the journal is full, and not merely behind.
    pub(super) fn journal_is_full(&self) -> bool {
        matches!(self.error, JournalError::Full { .. })
    }
}

/// A batch that never changes again.
#[derive(Debug)]
pub(super) struct Batch {
    pub(super) seal: Seal,
    /// The events, or nothing where they are to be read from the journal.
    pub(super) resident: Option<Resident>,
}

/// Events in memory, with their share of it.
#[derive(Debug, Default)]
pub(super) struct Resident {
    pub(super) columns: EventColumns,
    pub(super) share: Option<OwnedSemaphorePermit>,
}

/// The batch that still grows.
#[derive(Default)]
struct OpenBatch {
    resident: Resident,
    size: Size,
    /// The first and the last record.
    records: Option<(Lsn, Lsn)>,
}

/// A record whose outcome is not known yet, or a request that waits for those before it.
enum Pending<T> {
    Events {
        lsn: Lsn,
        producer_id: String,
        sequence: u64,
        duplicates: u64,
        resident: Resident,
        ticket: T,
    },
    /// A request whose events were all submitted before: durable once everything before it here is.
    Repeat {
        producer_id: String,
        events: u64,
        /// How many requests had failed when it came.
        failures: u64,
        ticket: T,
    },
    Seal(Batch),
    Landed(Landed),
    /// One part of a snapshot; the last one completes it.
    SnapshotPart {
        first: Lsn,
        last: bool,
    },
}

/// A batch that ClickHouse has, with its number in the order of landing.
#[derive(Clone, Copy)]
struct Landed {
    number: u64,
    seal: Seal,
}

/// When the next snapshot is due, and which one counts.
struct Snapshots {
    /// The first record of the last one that is durable.
    durable: Option<Lsn>,
    /// Bytes of events since the last one was begun.
    bytes_since: u64,
    /// How many bytes of events make the next one due.
    after_bytes: u64,
    max_after_bytes: u64,
    /// Whether one is on its way to the disk.
    pending: bool,
    /// Not before this, after one failed.
    retry_at: Option<Instant>,
}

/// What the state is made with.
pub(super) struct Settings {
    pub(super) limits: Limits,
    /// After so long without a request a producer is forgotten.
    pub(super) producer_idle: Duration,
    /// A snapshot is due after so many bytes of events at least, and at most.
    pub(super) snapshot_after_bytes: (u64, u64),
    /// How much of a snapshot one record holds.
    pub(super) snapshot_part_bytes: usize,
    /// Makes a batch's id.
    pub(super) new_batch_id: Box<dyn FnMut() -> Uuid + Send>,
}

/// The state of the writer. `T` stands for a caller who waits for a reply.
pub(super) struct State<T> {
    settings: Settings,
    producers: Producers,
    ids: RecentIds,
    pending: VecDeque<Pending<T>>,
    /// How many of them are seals.
    pending_seals: usize,
    /// How many requests could not be made durable.
    failures: u64,
    replies: Vec<(T, Result<Receipt, SubmitError>)>,
    open: OpenBatch,
    /// Batches whose seal is to be written.
    unsealed: VecDeque<Batch>,
    /// Sealed batches that wait to be inserted, oldest first.
    sealed: VecDeque<Batch>,
    in_flight: Option<Seal>,
    /// Landed batches whose record is to be written.
    unrecorded: VecDeque<Landed>,
    /// Landed batches that no checkpoint covers yet.
    retained: VecDeque<Landed>,
    landed_count: u64,
    /// Batches up to this number are covered by a checkpoint.
    checkpointed: u64,
    /// Whether what landed before the start is still being compared with what ClickHouse has.
    reconciling: bool,
    /// Batches that were sealed before the start, and that no durable record says to have landed.
    from_before: HashSet<Uuid>,
    last_flush: Instant,
    snapshots: Snapshots,
}

impl<T> State<T> {
    /// The state that the journal holds. Until [`Self::reconciled`], no checkpoint covers anything.
    pub(super) fn new(settings: Settings, recovered: Recovered, now: Instant) -> Self {
        let retained: VecDeque<Landed> =
            (1..).zip(recovered.landed).map(|(number, seal)| Landed { number, seal }).collect();
        let from_before = recovered.sealed.iter().map(|seal| seal.batch_id).collect();
        let waiting = |seal| Batch { seal, resident: None };
        let (after_bytes, max_after_bytes) = settings.snapshot_after_bytes;
        let snapshots = Snapshots {
            durable: recovered.snapshot,
            bytes_since: recovered.bytes_since_snapshot,
            after_bytes,
            max_after_bytes,
            pending: false,
            retry_at: None,
        };
        Self {
            settings,
            producers: recovered.producers,
            ids: recovered.ids,
            pending: VecDeque::new(),
            pending_seals: 0,
            failures: 0,
            replies: Vec::new(),
            open: OpenBatch::default(),
            unsealed: recovered.unsealed.into_iter().map(waiting).collect(),
            sealed: recovered.sealed.into_iter().map(waiting).collect(),
            in_flight: None,
            unrecorded: VecDeque::new(),
            landed_count: retained.len() as u64,
            retained,
            checkpointed: 0,
            reconciling: true,
            from_before,
            last_flush: now,
            snapshots,
        }
    }

    /// The producers, for reading.
    pub(super) fn producers(&self) -> &Producers {
        &self.producers
    }

    /// The batches that the journal has of before the start: those that have landed, then those that have not.
    #[cfg(test)]
    pub(super) fn known_batches(&self) -> Vec<Seal> {
        let landed = self.retained.iter().map(|landed| landed.seal);
        landed.chain(self.sealed.iter().map(|batch| batch.seal)).collect()
    }

    /// The batches that were sealed before the start.
    #[cfg(test)]
    pub(super) fn known_sealed(&self) -> Vec<Seal> {
        self.sealed.iter().map(|batch| batch.seal).collect()
    }

    /// How many records and requests wait for the disk.
    pub(super) fn pending(&self) -> usize {
        self.pending.len()
    }

    /// What callers are to be told now.
    pub(super) fn take_replies(
        &mut self,
    ) -> impl Iterator<Item = (T, Result<Receipt, SubmitError>)> + use<T> {
        std::mem::take(&mut self.replies).into_iter()
    }

    /// Admits a request: gives it its place in the order, or replies why not. Gives it back unchanged where the journal
    /// has no room now.
    pub(super) fn submit(
        &mut self,
        request: Request,
        share: Option<OwnedSemaphorePermit>,
        ticket: T,
        log: &mut impl Log,
    ) -> Option<Held<T>> {
        let events = u64::from(request.columns.rows());
        let numbered = !request.producer_id.is_empty();
        if numbered {
            let Request { producer_id, sequence, new_numbering, received_at_ms, .. } = &request;
            let refusal = match self.producers.order(producer_id, *sequence, *new_numbering, *received_at_ms)
            {
                Order::Next => None,
                Order::Repeat => {
                    self.producers.repeated(producer_id, *received_at_ms);
                    self.repeat(request.producer_id, events, ticket);
                    return None;
                }
                Order::Gap { expected } => {
                    Some(SubmitError::Gap { producer_id: producer_id.clone(), sequence: *sequence, expected })
                }
                Order::Forgotten => {
                    Some(SubmitError::Forgotten { producer_id: producer_id.clone(), sequence: *sequence })
                }
                Order::Full { retry_after } => Some(SubmitError::TooManyProducers { retry_after }),
            };
            if let Some(refusal) = refusal {
                self.replies.push((ticket, Err(refusal)));
                return None;
            }
        }
        let repeated = self.repeated_rows(&request.columns);
        if repeated.len() as u64 == events && !numbered {
            self.repeat(String::new(), events, ticket);
            return None;
        }
        let kept = (!repeated.is_empty()).then(|| request.columns.without(&repeated));
        let payload = Events::encode_parts(
            &request.producer_id,
            request.sequence,
            request.received_at_ms,
            kept.as_ref().unwrap_or(&request.columns),
        );
        let record_bytes = payload.len();
        match log.append(kind::EVENTS, payload) {
            Ok(lsn) => {
                let Request { producer_id, sequence, received_at_ms, columns, .. } = request;
                let columns = kept.unwrap_or(columns);
                if numbered {
                    self.producers.hand_over(&producer_id, sequence, received_at_ms);
                }
                self.ids.insert(lsn, columns.given_ids().map(|(_, id)| id));
                self.snapshots.bytes_since += (columns.bytes() + REQUEST_BYTES) as u64;
                let duplicates = repeated.len() as u64;
                let resident = Resident { columns, share };
                self.pending.push_back(Pending::Events {
                    lsn,
                    producer_id,
                    sequence,
                    duplicates,
                    resident,
                    ticket,
                });
                None
            }
            Err(error @ (JournalError::Full { .. } | JournalError::Busy { .. })) => {
                Some(Held { request, share, ticket, record_bytes, error })
            }
            Err(error @ JournalError::TooLarge { .. }) => {
                self.replies.push((ticket, Err(SubmitError::TooLarge(error.to_string()))));
                None
            }
            Err(error) => {
                self.replies.push((ticket, Err(SubmitError::Disk(error.to_string()))));
                None
            }
        }
    }

    fn repeat(&mut self, producer_id: String, events: u64, ticket: T) {
        self.pending.push_back(Pending::Repeat { producer_id, events, failures: self.failures, ticket });
        self.settle_repeats();
    }

    /// The rows whose id was accepted before, or stands in the request already.
    fn repeated_rows(&self, columns: &EventColumns) -> Vec<u32> {
        let mut in_request = HashSet::new();
        columns
            .given_ids()
            .filter(|&(_, id)| self.ids.contains(id) || !in_request.insert(id))
            .map(|(row, _)| row)
            .collect()
    }

    /// The oldest pending record is durable, or never will be.
    pub(super) fn written(&mut self, result: Result<(), JournalError>, now: Instant, log: &mut impl Log) {
        match (self.pending.pop_front(), result) {
            (
                Some(Pending::Events { lsn, producer_id, sequence, duplicates, mut resident, ticket }),
                Ok(()),
            ) => {
                let accepted = u64::from(resident.columns.rows());
                let numbered = !producer_id.is_empty();
                if numbered {
                    self.producers.durable(&producer_id, sequence);
                }
                let last_durable_sequence = if numbered { sequence } else { 0 };
                self.replies.push((ticket, Ok(Receipt { accepted, duplicates, last_durable_sequence })));
                // The request is no more; its columns stay in memory until they are inserted.
                drop(resident.share.as_mut().and_then(|share| share.split(REQUEST_BYTES)));
                self.add(lsn, resident, now);
            }
            (Some(Pending::Events { lsn, producer_id, ticket, .. }), Err(error)) => {
                self.failures += 1;
                self.producers.take_back(&producer_id);
                self.ids.take_back(lsn);
                self.replies.push((ticket, Err(SubmitError::Disk(error.to_string()))));
            }
            (Some(Pending::Seal(batch)), Ok(())) => {
                self.pending_seals -= 1;
                // Only the next batch keeps its events in memory; the others are read from the journal.
                let resident = if self.sealed.is_empty() { batch.resident } else { None };
                self.sealed.push_back(Batch { resident, ..batch });
            }
            (Some(Pending::Seal(batch)), Err(error)) => {
                self.pending_seals -= 1;
                tracing::warn!(batch = %batch.seal.batch_id, %error, "a seal could not be written and is tried again");
                // In the order of their records, whatever has become due meanwhile.
                let at = self.unsealed.partition_point(|other| other.seal.first < batch.seal.first);
                self.unsealed.insert(at, batch);
            }
            (Some(Pending::Landed(landed)), Ok(())) => {
                self.from_before.remove(&landed.seal.batch_id);
                if landed.number > self.checkpointed {
                    self.retained.push_back(landed);
                }
                self.release(log);
            }
            (Some(Pending::Landed(landed)), Err(error)) => {
                tracing::warn!(batch = %landed.seal.batch_id, %error, "a landed batch could not be recorded; it is tried again");
                self.unrecorded.push_back(landed);
            }
            (Some(Pending::SnapshotPart { first, last: true }), Ok(())) => {
                self.snapshots.pending = false;
                self.snapshots.durable = Some(first);
                self.release(log);
            }
            (Some(Pending::SnapshotPart { last: false, .. }), Ok(())) => {}
            (Some(Pending::SnapshotPart { .. }), Err(_)) => self.snapshot_failed(now),
            (Some(Pending::Repeat { .. }) | None, _) => {
                unreachable!("a repeat at the head is settled at once")
            }
        }
        self.settle_repeats();
    }

    /// Answers the repeats that wait for nothing any more.
    fn settle_repeats(&mut self) {
        while let Some(Pending::Repeat { .. }) = self.pending.front() {
            let Some(Pending::Repeat { producer_id, events, failures, ticket }) = self.pending.pop_front()
            else {
                return;
            };
            let reply = if failures == self.failures {
                let durable = self.producers.place(&producer_id).map_or(0, |place| place.durable);
                Ok(Receipt { accepted: 0, duplicates: events, last_durable_sequence: durable })
            } else {
                Err(SubmitError::Disk("the first sending of these events could not be kept".into()))
            };
            self.replies.push((ticket, reply));
        }
    }

    /// Puts durable events into the open batch.
    fn add(&mut self, lsn: Lsn, events: Resident, now: Instant) {
        if events.columns.is_empty() {
            return;
        }
        let open = &mut self.open;
        let bytes = events.columns.bytes() as u64;
        open.size += Size { events: u64::from(events.columns.rows()), bytes };
        open.records = Some((open.records.map_or(lsn, |(first, _)| first), lsn));
        open.resident.append(events);
        if self.settings.limits.is_full(open.size) {
            self.seal_open(now);
        }
    }

    /// Ends the open batch: what it holds is settled from here on.
    pub(super) fn seal_open(&mut self, now: Instant) {
        let OpenBatch { resident, size, records } = std::mem::take(&mut self.open);
        let Some((first, last)) = records else {
            return;
        };
        self.last_flush = now;
        let seal = Seal { batch_id: (self.settings.new_batch_id)(), first, last, events: size.events };
        self.unsealed.push_back(Batch { seal, resident: Some(resident) });
    }

    /// Appends the records that are due: seals, landed batches, a snapshot. False where the journal took one not: the
    /// caller tries again a little later.
    pub(super) fn flush(&mut self, now: Instant, now_ms: i64, log: &mut impl Log) -> bool {
        while let Some(batch) = self.unsealed.pop_front() {
            match log.append_reserved(kind::SEAL, batch.seal.encode()) {
                Ok(_) => {
                    self.pending_seals += 1;
                    self.pending.push_back(Pending::Seal(batch));
                }
                Err(error) => {
                    tracing::debug!(%error, "a seal waits for the journal");
                    self.unsealed.push_front(batch);
                    return false;
                }
            }
        }
        while let Some(landed) = self.unrecorded.pop_front() {
            match log.append_reserved(kind::LANDED, landed.seal.encode()) {
                Ok(_) => self.pending.push_back(Pending::Landed(landed)),
                Err(error) => {
                    tracing::debug!(%error, "a landed batch waits for the journal");
                    self.unrecorded.push_front(landed);
                    return false;
                }
            }
        }
        !self.snapshot_due(now) || self.write_snapshot(now, now_ms, log)
    }

    fn snapshot_due(&self, now: Instant) -> bool {
        let Snapshots { durable, bytes_since, after_bytes, pending, retry_at, .. } = self.snapshots;
        // Without one nothing is ever released, so the first is written as soon as there is something to release.
        let first =
            durable.is_none() && (bytes_since > 0 || self.landed_count > 0 || self.in_flight.is_some());
        !pending && (first || bytes_since >= after_bytes) && retry_at.is_none_or(|at| at <= now)
    }

    /// It becomes durable after everything that was appended before it, or not at all.
    fn write_snapshot(&mut self, now: Instant, now_ms: i64, log: &mut impl Log) -> bool {
        self.expire_producers(now_ms);
        let producer = |(id, place): (&str, Place)| (id.to_owned(), place.handed_over, place.last_seen_ms);
        let snapshot = Snapshot {
            producers: self.producers.places().map(producer).collect(),
            forgotten: self.producers.forgotten().collect(),
            event_ids: self.ids.iter().collect(),
        };
        let parts = snapshot.encode(self.settings.snapshot_part_bytes);
        let bytes: u64 = parts.iter().map(|part| part.len() as u64).sum();
        let (mut first, count) = (None, parts.len());
        for (number, part) in (1..).zip(parts) {
            match log.append_reserved(kind::SNAPSHOT, part) {
                Ok(lsn) => {
                    let first = *first.get_or_insert(lsn);
                    self.pending.push_back(Pending::SnapshotPart { first, last: number == count });
                }
                Err(error) => {
                    tracing::debug!(%error, "a snapshot waits for the journal");
                    self.snapshot_failed(now);
                    return false;
                }
            }
        }
        let (least, most) = (self.settings.snapshot_after_bytes.0, self.snapshots.max_after_bytes);
        self.snapshots.after_bytes = (bytes * SNAPSHOT_SHARE).clamp(least, most.max(least));
        self.snapshots.bytes_since = 0;
        self.snapshots.pending = true;
        self.snapshots.retry_at = None;
        true
    }

    /// Forgets the producers that were idle for too long.
    pub(super) fn expire_producers(&mut self, now_ms: i64) {
        self.producers.expire(now_ms - self.settings.producer_idle.as_millis() as i64);
    }

    fn snapshot_failed(&mut self, now: Instant) {
        self.snapshots.pending = false;
        self.snapshots.bytes_since = self.snapshots.bytes_since.max(self.snapshots.after_bytes);
        self.snapshots.retry_at = Some(now + SNAPSHOT_RETRY);
    }

    /// The next batch to insert, if none is in flight.
    pub(super) fn next_insert(&mut self) -> Option<Batch> {
        if self.in_flight.is_some() {
            return None;
        }
        let batch = self.sealed.pop_front()?;
        self.in_flight = Some(batch.seal);
        Some(batch)
    }

    /// The batch in flight is in ClickHouse, or a dead letter.
    pub(super) fn landed(&mut self) {
        if let Some(seal) = self.in_flight.take() {
            self.landed_count += 1;
            self.unrecorded.push_back(Landed { number: self.landed_count, seal });
        }
    }

    /// ClickHouse has every batch that had landed before the start.
    pub(super) fn reconciled(&mut self) {
        self.reconciling = false;
    }

    /// Whether a start after this one can take the batches of before this one for what the journal says of them. After an
    /// unclean boot it cannot until then: a batch that was repaired has no token that ClickHouse remembers.
    pub(super) fn is_reconciled(&self) -> bool {
        !self.reconciling && self.from_before.is_empty()
    }

    /// ClickHouse's files could not be synced, and what the kernel could not write it may have dropped. No checkpoint covers
    /// anything any more; the next start compares what has landed with what ClickHouse has.
    pub(super) fn sync_failed(&mut self) {
        self.reconciling = true;
    }

    /// How many batches have landed: what a checkpoint that begins now will cover. None where it would cover nothing new.
    pub(super) fn checkpoint_due(&self) -> Option<u64> {
        (self.landed_count > self.checkpointed && !self.reconciling).then_some(self.landed_count)
    }

    /// ClickHouse's files are synced, with all that had landed when `landed_count` was taken.
    pub(super) fn checkpointed(&mut self, landed_count: u64, log: &mut impl Log) {
        self.checkpointed = self.checkpointed.max(landed_count);
        let covered = self.checkpointed;
        self.retained.retain(|landed| landed.number > covered);
        self.release(log);
    }

    /// Lets the journal delete the records that nothing needs any more.
    fn release(&self, log: &mut impl Log) {
        let Some(snapshot) = self.snapshots.durable else {
            return;
        };
        let pending = self.pending.iter().filter_map(|pending| match pending {
            Pending::Events { lsn, .. } => Some(*lsn),
            Pending::Seal(batch) => Some(batch.seal.first),
            Pending::Landed(landed) => Some(landed.seal.first),
            Pending::Repeat { .. } | Pending::SnapshotPart { .. } => None,
        });
        let batches = self.unsealed.iter().chain(&self.sealed).map(|batch| batch.seal.first);
        let landed = self.unrecorded.iter().chain(&self.retained).map(|landed| landed.seal.first);
        let needed = batches
            .chain(landed)
            .chain(self.in_flight.map(|seal| seal.first))
            .chain(self.open.records.map(|(first, _)| first))
            .chain(pending)
            .fold(snapshot, Lsn::min);
        log.release(needed);
    }

    /// When the open batch is to be sealed. None while an earlier batch is under way: the open one grows meanwhile.
    pub(super) fn due_at(&self, shown_every: Option<Duration>) -> Option<Instant> {
        let sealing = self.pending_seals > 0 || !self.unsealed.is_empty();
        if sealing || self.in_flight.is_some() || !self.sealed.is_empty() {
            return None;
        }
        self.settings.limits.due_at(self.open.size, self.last_flush, shown_every)
    }

    /// The disk is full. Where everything has landed, a snapshot lets go of the rest, however little it is.
    pub(super) fn make_room(&mut self) {
        let Snapshots { bytes_since, after_bytes, .. } = self.snapshots;
        if bytes_since > 0 && self.is_drained() && self.checkpoint_due().is_none() {
            self.snapshots.bytes_since = bytes_since.max(after_bytes);
        }
    }

    /// Whether everything that was accepted is in ClickHouse or a dead letter, and the journal says so.
    pub(super) fn is_drained(&self) -> bool {
        self.pending.is_empty()
            && self.open.records.is_none()
            && self.unsealed.is_empty()
            && self.sealed.is_empty()
            && self.in_flight.is_none()
            && self.unrecorded.is_empty()
    }
}

impl Resident {
    fn append(&mut self, more: Self) {
        self.columns.append(&more.columns);
        match (&mut self.share, more.share) {
            (Some(held), Some(share)) => held.merge(share),
            (none @ None, share) => *none = share,
            (Some(_), None) => {}
        }
    }
}

//! The writer's state machine. It decides which request is next for its producer, which events are duplicates, what is
//! durable, which records form a batch, and what the journal may release. Synchronous and without I/O: records go to a
//! [`RecordLog`], time and batch ids are passed in, and replies are collected for the task around it (`task.rs`).
//!
//! # Invariants
//!
//! 1. A request is acknowledged only when its record and every earlier record are durable.
//! 2. A durable event is in exactly one of: the open batch, a batch that waits for its seal, a sealed batch, a batch in
//!    flight, a landed batch.
//! 3. A sealed batch never changes, so every attempt to insert it sends the same bytes under the same id.
//! 4. A record is released only when none of these needs it, and when a later durable snapshot contains its sequence and
//!    event ids.
//! 5. A landed batch keeps its records until a checkpoint has synced ClickHouse's files.

use std::collections::{HashSet, VecDeque};
use std::time::Duration;

use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;
use uuid::Uuid;

use super::admission::{Admission, Decision};
use super::columns::EventColumns;
use super::feed::Feed;
use super::flush_policy::{BatchLimits, BatchSize};
use super::producers::{ProducerState, Producers};
use super::record::{EventsRecord, Seal, Snapshot, kind};
use super::recover::RecoveredState;
use super::{Ack, REQUEST_OVERHEAD_BYTES, SubmitError, WriteRequest};
use crate::journal::{JournalError, Lsn};

/// Delay before a failed snapshot is retried. Encoding it may be expensive.
const SNAPSHOT_RETRY_DELAY: Duration = Duration::from_secs(1);
/// The next snapshot is due after this many times the size of the last one in events, so that snapshots add at most a
/// quarter to the bytes written.
const SNAPSHOT_INTERVAL_FACTOR: u64 = 4;

/// The journal. An append fixes the order of a record. Whether the record becomes durable is reported later, in the same
/// order, through [`WriterState::append_completed`].
pub(super) trait RecordLog {
    /// Appends a record, without use of the journal's reserve.
    fn append(&mut self, kind: u8, payload: Vec<u8>) -> Result<Lsn, JournalError>;
    /// Appends a record that leads to a release. It may use the journal's reserve.
    fn append_reserved(&mut self, kind: u8, payload: Vec<u8>) -> Result<Lsn, JournalError>;
    /// Allows the deletion of records before `up_to`.
    fn release(&mut self, up_to: Lsn);
}

/// A request for which the journal has no space now, unchanged. Pass it to [`WriterState::admit`] again.
pub(super) struct DeferredRequest<T> {
    pub(super) request: WriteRequest,
    pub(super) permit: Option<OwnedSemaphorePermit>,
    pub(super) waiter: T,
    /// The size of its record.
    pub(super) record_bytes: usize,
    pub(super) error: JournalError,
}

impl<T> DeferredRequest<T> {
    /// Whether the journal is full on disk, rather than waiting for a sync.
    pub(super) fn journal_is_full(&self) -> bool {
        matches!(self.error, JournalError::Full { .. })
    }
}

/// A batch that never changes again.
#[derive(Debug)]
pub(super) struct SealedBatch {
    pub(super) seal: Seal,
    /// When its oldest event was received, in milliseconds since 1970 UTC.
    pub(super) received_at_ms: i64,
    /// The events; `None` if the inserter must read them from the journal.
    pub(super) buffered: Option<BufferedEvents>,
    /// Whether another server may have stored events of it: it was asked to, or an earlier process of this server sealed the batch and
    /// its producers have moved since.
    pub(super) may_be_elsewhere: bool,
}

/// Events in memory, with the permit for that memory.
#[derive(Debug, Default)]
pub(super) struct BufferedEvents {
    /// In the order of the journal. The inserter concatenates them.
    pub(super) records: Vec<EventColumns>,
    pub(super) permit: Option<OwnedSemaphorePermit>,
    /// Whether another server may have stored some of them.
    pub(super) may_be_elsewhere: bool,
}

/// The batch to which durable events are added.
#[derive(Default)]
struct OpenBatch {
    buffered: BufferedEvents,
    size: BatchSize,
    /// First and last record, inclusive.
    records: Option<(Lsn, Lsn)>,
    /// When its oldest event was received.
    received_at_ms: i64,
}

/// An appended record that is not durable yet, or a duplicate request that waits for earlier records.
enum PendingRecord<T> {
    Events {
        lsn: Lsn,
        /// Empty without a producer.
        producer_key: String,
        sequence: u64,
        received_at_ms: i64,
        duplicates: u64,
        buffered: BufferedEvents,
        waiter: T,
    },
    /// A request whose events are all duplicates. They are durable when every earlier entry is.
    Duplicate {
        /// Empty without a producer.
        producer_key: String,
        events: u64,
        /// The value of [`WriterState::failures`] when the request was admitted.
        failures: u64,
        waiter: T,
    },
    Seal(SealedBatch),
    Landed(LandedBatch),
    /// One part of a snapshot. `last` completes it.
    SnapshotPart {
        first: Lsn,
        last: bool,
    },
}

/// A batch that is in ClickHouse or in the dead-letter folder. `number` counts landed batches from 1.
#[derive(Clone, Copy)]
struct LandedBatch {
    number: u64,
    seal: Seal,
}

/// The last durable snapshot, and when the next one is due.
struct SnapshotSchedule {
    /// The first record of the last durable snapshot.
    durable_lsn: Option<Lsn>,
    /// Bytes of events since the last snapshot was appended.
    bytes_since_last: u64,
    /// The next snapshot is due when `bytes_since_last` reaches this.
    interval_bytes: u64,
    max_interval_bytes: u64,
    /// Whether an appended snapshot is not durable yet.
    pending: bool,
    /// After a failure: no attempt before this time.
    retry_at: Option<Instant>,
}

pub(super) struct StateSettings {
    pub(super) limits: BatchLimits,
    /// Number of batches that may be inserted at the same time.
    pub(super) inserts_in_flight: usize,
    /// A producer is forgotten after this long without a request.
    pub(super) producer_idle_timeout: Duration,
    /// Minimum and maximum bytes of events between two snapshots.
    pub(super) snapshot_interval_bytes: (u64, u64),
    /// Maximum bytes of a snapshot per record.
    pub(super) snapshot_part_bytes: usize,
    pub(super) new_batch_id: Box<dyn FnMut() -> Uuid + Send>,
    /// The shard of the next batch.
    pub(super) choose_shard: Box<dyn FnMut() -> u32 + Send>,
    /// Gets every durable request.
    pub(super) feed: Feed,
}

/// The state of the writer. `T` identifies a caller that waits for a reply.
pub(super) struct WriterState<T> {
    settings: StateSettings,
    admission: Admission,
    /// In the order of their records.
    pending: VecDeque<PendingRecord<T>>,
    /// Number of seals in `pending`.
    pending_seals: usize,
    /// Number of requests that could not be made durable.
    failures: u64,
    replies: Vec<(T, Result<Ack, SubmitError>)>,
    open: OpenBatch,
    /// Batches whose seal must be appended, in the order of their records.
    unsealed: VecDeque<SealedBatch>,
    /// Batches with a durable seal that wait for their insert, oldest first.
    sealed: VecDeque<SealedBatch>,
    /// The batches that are being inserted, oldest first.
    in_flight: VecDeque<Seal>,
    /// When the oldest event of each sealed batch was received, from the first batch in flight to the last one.
    unlanded_since: VecDeque<i64>,
    /// Landed batches whose landed record must be appended.
    unrecorded: VecDeque<LandedBatch>,
    /// Landed batches with a durable landed record that no checkpoint covers yet.
    uncheckpointed: VecDeque<LandedBatch>,
    landed_count: u64,
    /// A checkpoint covers the landed batches up to this number.
    checkpointed_count: u64,
    /// Whether batches of an earlier process may be missing in ClickHouse.
    reconciling: bool,
    /// Batches sealed by an earlier process without a durable landed record.
    recovered_unlanded: HashSet<Uuid>,
    last_flush: Instant,
    snapshots: SnapshotSchedule,
}

impl<T> WriterState<T> {
    /// Continues from recovery. Until [`Self::reconciliation_completed`], no checkpoint is due.
    pub(super) fn new(mut settings: StateSettings, recovered: RecoveredState, now: Instant) -> Self {
        let uncheckpointed: VecDeque<LandedBatch> =
            (1..).zip(recovered.landed).map(|(number, seal)| LandedBatch { number, seal }).collect();
        let recovered_unlanded = recovered.sealed.iter().map(|seal| seal.batch_id).collect();
        // One time for all recovered batches: they land within seconds of each other.
        let received_at_ms = recovered.oldest_received_ms.unwrap_or_default();
        let unlanded_since =
            std::iter::repeat_n(received_at_ms, recovered.sealed.len() + recovered.unsealed.len()).collect();
        let detached = |seal| SealedBatch { seal, received_at_ms, buffered: None, may_be_elsewhere: true };
        let unsealed: Vec<Seal> = recovered
            .unsealed
            .into_iter()
            .map(|seal| Seal { shard: (settings.choose_shard)(), ..seal })
            .collect();
        let (interval_bytes, max_interval_bytes) = settings.snapshot_interval_bytes;
        let snapshots = SnapshotSchedule {
            durable_lsn: recovered.snapshot,
            bytes_since_last: recovered.bytes_since_snapshot,
            interval_bytes,
            max_interval_bytes,
            pending: false,
            retry_at: None,
        };
        Self {
            settings,
            admission: Admission { producers: recovered.producers, recent_ids: recovered.recent_ids },
            pending: VecDeque::new(),
            pending_seals: 0,
            failures: 0,
            replies: Vec::new(),
            open: OpenBatch::default(),
            unsealed: unsealed.into_iter().map(detached).collect(),
            sealed: recovered.sealed.into_iter().map(detached).collect(),
            in_flight: VecDeque::new(),
            unlanded_since,
            unrecorded: VecDeque::new(),
            landed_count: uncheckpointed.len() as u64,
            uncheckpointed,
            checkpointed_count: 0,
            reconciling: true,
            recovered_unlanded,
            last_flush: now,
            snapshots,
        }
    }

    pub(super) fn producers(&self) -> &Producers {
        &self.admission.producers
    }

    /// The recovered batches: the landed ones, then the others.
    #[cfg(test)]
    pub(super) fn recovered_batches(&self) -> Vec<Seal> {
        let landed = self.uncheckpointed.iter().map(|landed| landed.seal);
        landed.chain(self.sealed.iter().map(|batch| batch.seal)).collect()
    }

    /// The recovered sealed batches that have not landed.
    #[cfg(test)]
    pub(super) fn recovered_sealed(&self) -> Vec<Seal> {
        self.sealed.iter().map(|batch| batch.seal).collect()
    }

    /// Number of records and requests that wait for a sync of the journal.
    pub(super) fn pending(&self) -> usize {
        self.pending.len()
    }

    /// Takes the replies that are ready to be sent.
    pub(super) fn drain_replies(&mut self) -> impl Iterator<Item = (T, Result<Ack, SubmitError>)> + use<T> {
        std::mem::take(&mut self.replies).into_iter()
    }

    /// Appends a request to the journal, or queues the reply that rejects it. Returns the request unchanged if the journal
    /// has no space now.
    pub(super) fn admit(
        &mut self,
        request: WriteRequest,
        permit: Option<OwnedSemaphorePermit>,
        waiter: T,
        log: &mut impl RecordLog,
    ) -> Option<DeferredRequest<T>> {
        let events = u64::from(request.columns.rows());
        let next = match self.admission.decide(&request) {
            Decision::Next(next) => next,
            Decision::Duplicate { producer_key } => {
                self.push_duplicate(producer_key, events, waiter);
                return None;
            }
            Decision::Rejected(error) => {
                self.replies.push((waiter, Err(error)));
                return None;
            }
        };
        let payload = EventsRecord::encode_fields(
            &request.project,
            &request.producer_id,
            request.sequence,
            request.received_at_ms,
            next.columns(&request),
        );
        let record_bytes = payload.len();
        match log.append(kind::EVENTS, payload) {
            Ok(lsn) => {
                self.admission.record(lsn, &request, &next);
                let WriteRequest { sequence, received_at_ms, sent_to_another_server, .. } = request;
                let (producer_key, duplicates) = (next.producer_key.clone(), next.duplicates);
                let columns = next.into_columns(request);
                self.snapshots.bytes_since_last += (columns.size_bytes() + REQUEST_OVERHEAD_BYTES) as u64;
                let may_be_elsewhere = sent_to_another_server;
                let buffered = BufferedEvents { records: vec![columns], permit, may_be_elsewhere };
                self.pending.push_back(PendingRecord::Events {
                    lsn,
                    producer_key,
                    sequence,
                    received_at_ms,
                    duplicates,
                    buffered,
                    waiter,
                });
                None
            }
            Err(error @ (JournalError::Full { .. } | JournalError::Busy { .. })) => {
                Some(DeferredRequest { request, permit, waiter, record_bytes, error })
            }
            Err(error @ JournalError::TooLarge { .. }) => {
                self.replies.push((waiter, Err(SubmitError::TooLarge(error.to_string()))));
                None
            }
            Err(error) => {
                self.replies.push((waiter, Err(SubmitError::Disk(error.to_string()))));
                None
            }
        }
    }

    fn push_duplicate(&mut self, producer_key: String, events: u64, waiter: T) {
        self.pending.push_back(PendingRecord::Duplicate {
            producer_key,
            events,
            failures: self.failures,
            waiter,
        });
        self.complete_duplicates();
    }

    /// Applies the outcome of the oldest pending record: it is durable, or never will be.
    pub(super) fn append_completed(
        &mut self,
        result: Result<(), JournalError>,
        now: Instant,
        log: &mut impl RecordLog,
    ) {
        match (self.pending.pop_front(), result) {
            (
                Some(PendingRecord::Events {
                    lsn,
                    producer_key,
                    sequence,
                    received_at_ms,
                    duplicates,
                    mut buffered,
                    waiter,
                }),
                Ok(()),
            ) => {
                let accepted = buffered.rows();
                buffered.records.iter().for_each(|columns| self.settings.feed.publish(columns));
                let numbered = !producer_key.is_empty();
                if numbered {
                    self.admission.producers.mark_durable(&producer_key, sequence);
                }
                let last_durable_sequence = if numbered { sequence } else { 0 };
                self.replies.push((waiter, Ok(Ack { accepted, duplicates, last_durable_sequence })));
                // The request is dropped here. Its columns stay in memory until they are inserted.
                drop(buffered.permit.as_mut().and_then(|permit| permit.split(REQUEST_OVERHEAD_BYTES)));
                self.add_to_open_batch(lsn, received_at_ms, buffered, now);
            }
            (Some(PendingRecord::Events { lsn, producer_key, waiter, .. }), Err(error)) => {
                self.failures += 1;
                self.admission.producers.roll_back(&producer_key);
                self.admission.recent_ids.roll_back(lsn);
                self.replies.push((waiter, Err(SubmitError::Disk(error.to_string()))));
            }
            (Some(PendingRecord::Seal(batch)), Ok(())) => {
                self.pending_seals -= 1;
                // Besides the batches in flight, only the one that is inserted next stays in memory. The others are read from
                // the journal.
                let buffered = if self.sealed.is_empty() { batch.buffered } else { None };
                self.sealed.push_back(SealedBatch { buffered, ..batch });
            }
            (Some(PendingRecord::Seal(batch)), Err(error)) => {
                self.pending_seals -= 1;
                tracing::warn!(batch = %batch.seal.batch_id, %error, "cannot write a seal; retrying");
                // Later batches may have become due meanwhile.
                let at = self.unsealed.partition_point(|other| other.seal.first < batch.seal.first);
                self.unsealed.insert(at, batch);
            }
            (Some(PendingRecord::Landed(landed)), Ok(())) => {
                self.recovered_unlanded.remove(&landed.seal.batch_id);
                if landed.number > self.checkpointed_count {
                    self.uncheckpointed.push_back(landed);
                }
                self.release(log);
            }
            (Some(PendingRecord::Landed(landed)), Err(error)) => {
                tracing::warn!(batch = %landed.seal.batch_id, %error, "cannot record a landed batch; retrying");
                self.unrecorded.push_back(landed);
            }
            (Some(PendingRecord::SnapshotPart { first, last: true }), Ok(())) => {
                self.snapshots.pending = false;
                self.snapshots.durable_lsn = Some(first);
                self.release(log);
            }
            (Some(PendingRecord::SnapshotPart { last: false, .. }), Ok(())) => {}
            (Some(PendingRecord::SnapshotPart { .. }), Err(_)) => self.snapshot_failed(now),
            (Some(PendingRecord::Duplicate { .. }) | None, _) => {
                unreachable!("`complete_duplicates` removes duplicates at the head")
            }
        }
        self.complete_duplicates();
    }

    /// Replies to the duplicates at the head of `pending`: everything before them is settled.
    fn complete_duplicates(&mut self) {
        while let Some(PendingRecord::Duplicate { .. }) = self.pending.front() {
            let Some(PendingRecord::Duplicate { producer_key, events, failures, waiter }) =
                self.pending.pop_front()
            else {
                return;
            };
            let reply = if failures == self.failures {
                let last_durable_sequence = self
                    .admission
                    .producers
                    .get(&producer_key)
                    .map_or(0, |producer| producer.last_durable_sequence);
                Ok(Ack { accepted: 0, duplicates: events, last_durable_sequence })
            } else {
                Err(SubmitError::Disk(
                    "an earlier request failed, perhaps the original of this duplicate".into(),
                ))
            };
            self.replies.push((waiter, reply));
        }
    }

    /// Adds durable events to the open batch, and seals it if it is full.
    fn add_to_open_batch(&mut self, lsn: Lsn, received_at_ms: i64, events: BufferedEvents, now: Instant) {
        if events.rows() == 0 {
            return;
        }
        let open = &mut self.open;
        let bytes = events.records.iter().map(EventColumns::batch_bytes).sum();
        open.size += BatchSize { events: events.rows(), bytes };
        if open.records.is_none() {
            open.received_at_ms = received_at_ms;
        }
        open.records = Some((open.records.map_or(lsn, |(first, _)| first), lsn));
        open.buffered.append(events);
        if self.settings.limits.is_full(open.size) {
            self.seal_open_batch(now);
        }
    }

    /// Fixes the contents of the open batch and starts an empty one. The seal is appended by [`Self::append_due_records`].
    pub(super) fn seal_open_batch(&mut self, now: Instant) {
        let OpenBatch { buffered, size, records, received_at_ms } = std::mem::take(&mut self.open);
        let Some((first, last)) = records else {
            return;
        };
        self.last_flush = now;
        let (batch_id, shard) = ((self.settings.new_batch_id)(), (self.settings.choose_shard)());
        let seal = Seal { batch_id, first, last, events: size.events, shard };
        self.unlanded_since.push_back(received_at_ms);
        let may_be_elsewhere = buffered.may_be_elsewhere;
        self.unsealed.push_back(SealedBatch {
            seal,
            received_at_ms,
            buffered: Some(buffered),
            may_be_elsewhere,
        });
    }

    /// Appends the records that are due: seals, landed records, a snapshot. Returns false if the journal did not accept all
    /// of them. The caller retries later.
    pub(super) fn append_due_records(&mut self, now: Instant, now_ms: i64, log: &mut impl RecordLog) -> bool {
        while let Some(batch) = self.unsealed.pop_front() {
            match log.append_reserved(kind::SEAL, batch.seal.encode()) {
                Ok(_) => {
                    self.pending_seals += 1;
                    self.pending.push_back(PendingRecord::Seal(batch));
                }
                Err(error) => {
                    tracing::debug!(%error, "cannot append a seal yet");
                    self.unsealed.push_front(batch);
                    return false;
                }
            }
        }
        while let Some(landed) = self.unrecorded.pop_front() {
            match log.append_reserved(kind::LANDED, landed.seal.encode()) {
                Ok(_) => self.pending.push_back(PendingRecord::Landed(landed)),
                Err(error) => {
                    tracing::debug!(%error, "cannot append a landed record yet");
                    self.unrecorded.push_front(landed);
                    return false;
                }
            }
        }
        !self.snapshot_due(now) || self.write_snapshot(now, now_ms, log)
    }

    fn snapshot_due(&self, now: Instant) -> bool {
        let SnapshotSchedule { durable_lsn, bytes_since_last, interval_bytes, pending, retry_at, .. } =
            self.snapshots;
        // Nothing is released without a snapshot. The first one is due as soon as a release is possible.
        let first = durable_lsn.is_none()
            && (bytes_since_last > 0 || self.landed_count > 0 || !self.in_flight.is_empty());
        !pending && (first || bytes_since_last >= interval_bytes) && retry_at.is_none_or(|at| at <= now)
    }

    /// Appends a snapshot that includes every record appended so far, durable or not. It cannot become durable before them.
    fn write_snapshot(&mut self, now: Instant, now_ms: i64, log: &mut impl RecordLog) -> bool {
        self.expire_idle_producers(now_ms);
        let producer =
            |(id, state): (&str, ProducerState)| (id.to_owned(), state.last_sequence, state.last_seen_ms);
        let snapshot = Snapshot {
            producers: self.admission.producers.iter().map(producer).collect(),
            forgotten: self.admission.producers.forgotten().collect(),
            event_ids: self.admission.recent_ids.iter().collect(),
        };
        let parts = snapshot.encode(self.settings.snapshot_part_bytes);
        let bytes: u64 = parts.iter().map(|part| part.len() as u64).sum();
        let (mut first, count) = (None, parts.len());
        for (number, part) in (1..).zip(parts) {
            match log.append_reserved(kind::SNAPSHOT, part) {
                Ok(lsn) => {
                    let first = *first.get_or_insert(lsn);
                    self.pending.push_back(PendingRecord::SnapshotPart { first, last: number == count });
                }
                Err(error) => {
                    tracing::debug!(%error, "cannot append a snapshot yet");
                    self.snapshot_failed(now);
                    return false;
                }
            }
        }
        let (min_bytes, max_bytes) =
            (self.settings.snapshot_interval_bytes.0, self.snapshots.max_interval_bytes);
        self.snapshots.interval_bytes =
            (bytes * SNAPSHOT_INTERVAL_FACTOR).clamp(min_bytes, max_bytes.max(min_bytes));
        self.snapshots.bytes_since_last = 0;
        self.snapshots.pending = true;
        self.snapshots.retry_at = None;
        true
    }

    /// Forgets the producers that have exceeded the idle timeout.
    pub(super) fn expire_idle_producers(&mut self, now_ms: i64) {
        self.admission.producers.expire_idle(now_ms - self.settings.producer_idle_timeout.as_millis() as i64);
    }

    fn snapshot_failed(&mut self, now: Instant) {
        self.snapshots.pending = false;
        self.snapshots.bytes_since_last = self.snapshots.bytes_since_last.max(self.snapshots.interval_bytes);
        self.snapshots.retry_at = Some(now + SNAPSHOT_RETRY_DELAY);
    }

    /// When the oldest acknowledged event was received that is neither in ClickHouse nor in the dead-letter folder.
    pub(super) fn oldest_unlanded_ms(&self) -> Option<i64> {
        let open = self.open.records.map(|_| self.open.received_at_ms);
        self.unlanded_since.front().copied().or(open)
    }

    /// Takes the next batch to insert. `None` while as many batches are in flight as may be.
    pub(super) fn next_insert(&mut self) -> Option<SealedBatch> {
        if self.in_flight.len() >= self.settings.inserts_in_flight {
            return None;
        }
        let batch = self.sealed.pop_front()?;
        self.in_flight.push_back(batch.seal);
        Some(batch)
    }

    /// The oldest batch in flight is now in ClickHouse or in the dead-letter folder.
    pub(super) fn batch_landed(&mut self) {
        if let Some(seal) = self.in_flight.pop_front() {
            self.landed_count += 1;
            self.unlanded_since.pop_front();
            self.unrecorded.push_back(LandedBatch { number: self.landed_count, seal });
        }
    }

    /// ClickHouse holds every batch that landed in an earlier process.
    pub(super) fn reconciliation_completed(&mut self) {
        self.reconciling = false;
    }

    /// Whether the next recovery can trust the landed records of all recovered batches. Before that, an unclean boot must
    /// stay marked: ClickHouse stores no token for a repaired batch.
    pub(super) fn is_reconciled(&self) -> bool {
        !self.reconciling && self.recovered_unlanded.is_empty()
    }

    /// A sync of ClickHouse's files failed, and the kernel may have dropped what it could not write. No further
    /// checkpoint is due in this process. The next start reconciles the landed batches.
    pub(super) fn sync_failed(&mut self) {
        self.reconciling = true;
    }

    /// The number of landed batches that a checkpoint would cover if it started now. `None` if it would cover nothing new.
    pub(super) fn checkpoint_due(&self) -> Option<u64> {
        (self.landed_count > self.checkpointed_count && !self.reconciling).then_some(self.landed_count)
    }

    /// The first `landed_count` landed batches are durable in ClickHouse.
    pub(super) fn checkpoint_completed(&mut self, landed_count: u64, log: &mut impl RecordLog) {
        self.checkpointed_count = self.checkpointed_count.max(landed_count);
        let covered = self.checkpointed_count;
        self.uncheckpointed.retain(|landed| landed.number > covered);
        self.release(log);
    }

    /// Releases the records before the first one that is still needed.
    fn release(&self, log: &mut impl RecordLog) {
        let Some(snapshot) = self.snapshots.durable_lsn else {
            return;
        };
        let pending = self.pending.iter().filter_map(|pending| match pending {
            PendingRecord::Events { lsn, .. } => Some(*lsn),
            PendingRecord::Seal(batch) => Some(batch.seal.first),
            PendingRecord::Landed(landed) => Some(landed.seal.first),
            PendingRecord::Duplicate { .. } | PendingRecord::SnapshotPart { .. } => None,
        });
        let batches = self.unsealed.iter().chain(&self.sealed).map(|batch| batch.seal.first);
        let landed = self.unrecorded.iter().chain(&self.uncheckpointed).map(|landed| landed.seal.first);
        let needed = batches
            .chain(landed)
            .chain(self.in_flight.iter().map(|seal| seal.first))
            .chain(self.open.records.map(|(first, _)| first))
            .chain(pending)
            .fold(snapshot, Lsn::min);
        log.release(needed);
    }

    /// When the open batch is due. While an earlier batch has not landed, the open batch keeps growing; it is due before that
    /// only if it is large and a further insert may start.
    pub(super) fn due_at(&self, refresh_interval: Option<Duration>) -> Option<Instant> {
        let waiting = self.pending_seals + self.unsealed.len() + self.sealed.len();
        let StateSettings { limits, inserts_in_flight, .. } = &self.settings;
        match waiting + self.in_flight.len() {
            0 => limits.due_at(self.open.size, self.last_flush, refresh_interval),
            unlanded if unlanded < *inserts_in_flight => {
                limits.concurrently_due_at(self.open.size, self.last_flush)
            }
            _ => None,
        }
    }

    /// Makes a snapshot due if everything has landed. When the disk is full, it allows the release of the last records.
    pub(super) fn request_snapshot_if_drained(&mut self) {
        let SnapshotSchedule { bytes_since_last, interval_bytes, .. } = self.snapshots;
        if bytes_since_last > 0 && self.is_drained() && self.checkpoint_due().is_none() {
            self.snapshots.bytes_since_last = bytes_since_last.max(interval_bytes);
        }
    }

    /// Whether every accepted event is in ClickHouse or in the dead-letter folder, and the journal has recorded it.
    pub(super) fn is_drained(&self) -> bool {
        self.pending.is_empty()
            && self.open.records.is_none()
            && self.unsealed.is_empty()
            && self.sealed.is_empty()
            && self.in_flight.is_empty()
            && self.unrecorded.is_empty()
    }
}

impl BufferedEvents {
    fn rows(&self) -> u64 {
        self.records.iter().map(|record| u64::from(record.rows())).sum()
    }

    fn append(&mut self, more: Self) {
        self.may_be_elsewhere |= more.may_be_elsewhere;
        for record in more.records {
            match self.records.last_mut() {
                Some(last) if last.is_better_appended(&record) => last.append(&record),
                _ => self.records.push(record),
            }
        }
        match (&mut self.permit, more.permit) {
            (Some(permit), Some(more)) => permit.merge(more),
            (slot @ None, permit) => *slot = permit,
            (Some(_), None) => {}
        }
    }
}

//! The task that owns the order of things: which request is the next of its producer, what is durable, which records
//! make a batch.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::batch::{Limits, Size};
use super::dead_letter::DeadLetters;
use super::insert::{Batch, Done, Inserter, Resident};
use super::producers::{Order, Producers, SnapshotCursor};
use super::recent_ids::RecentIds;
use super::record::{self, Events, Seal, kind};
use super::recover::{Recovered, recover};
use super::redrive::Redriver;
use super::stats::Stats;
use super::{PlaceQuery, QUEUED_REQUESTS, REQUEST_BYTES, Receipt, Request, Submission, SubmitError, Writer};
use crate::clickhouse::ClickHouse;
use crate::config::WriterConfig;
use crate::journal::{Journal, JournalError, PendingAppend, Recovery};

/// How many records may wait for the disk. Beyond it requests are not taken; group commit has nothing more to gain.
const MAX_PENDING: usize = 4_096;
/// After so many bytes of events the places of the producers are written again, so that older records may go.
const SNAPSHOT_AFTER_BYTES: u64 = 32 << 20;
/// How many parts of it are written with a request at most.
const SNAPSHOT_PARTS_A_REQUEST: usize = 4;
/// How large a batch may get: about what a second brings at full speed, and small beside the memory's bound.
const MAX_BATCH_BYTES: u64 = 24 << 20;
/// How many events a batch may hold. ClickHouse makes one block of so many rows at most (`max_insert_block_size`), so a
/// batch is one block and lands as a whole or not at all.
const MAX_BATCH_EVENTS: u64 = 500_000;
/// How often a part that failed is tried again.
const TRY_AGAIN: Duration = Duration::from_millis(250);

/// What a writer stands on.
pub struct Parts {
    /// Where batches go.
    pub clickhouse: ClickHouse,
    /// Where accepted events wait.
    pub journal: Journal,
    /// What the journal held at the start.
    pub recovery: Recovery,
    /// Where batches go that ClickHouse does not take.
    pub dead_letters: DeadLetters,
    /// How events become batches.
    pub config: WriterConfig,
    /// How often somebody sees what has landed; none while nobody looks.
    pub attention: watch::Receiver<Option<Duration>>,
    /// Ends the writer: it takes nothing more, and brings in what it has.
    pub stop: CancellationToken,
}

/// Starts the writer. The handle's task ends once everything is in ClickHouse or set aside, after `stop`.
pub async fn start(parts: Parts) -> Result<(Writer, JoinHandle<()>), JournalError> {
    let Parts { clickhouse, journal, recovery, dead_letters, config, attention, stop } = parts;
    let limits = Limits {
        flush_events: config.flush_size,
        flush_interval: config.flush_interval,
        flush_min_interval: config.flush_min_interval,
        max_bytes: MAX_BATCH_BYTES.min(config.max_buffer_bytes / 5),
        max_events: MAX_BATCH_EVENTS,
    };
    let stats = Arc::new(Stats::default());
    let idle = Duration::from_secs(config.producer_idle_hours * 3_600);
    let capacity = usize::try_from(config.recent_event_ids).unwrap_or(usize::MAX);
    let recovered =
        super::insert::blocking(move || recover(recovery, RecentIds::new(capacity), &limits)).await?;
    let letters = dead_letters.clone();
    let swept = super::insert::blocking(move || letters.load()).await;
    if swept.files > 0 {
        tracing::info!(files = swept.files, bytes = swept.bytes, "dead letters: what a crash left was swept");
    }
    let set_aside = dead_letters.summary();
    stats.set_dead_letter_bytes(set_aside.bytes);
    stats.count_found(recovered.events + set_aside.events);
    let memory_bytes = usize::try_from(config.max_buffer_bytes).unwrap_or(Semaphore::MAX_PERMITS);
    let memory = Arc::new(Semaphore::new(memory_bytes.min(Semaphore::MAX_PERMITS)));
    let (to_intake, submissions) = mpsc::channel(QUEUED_REQUESTS);
    let (place_queries, places) = mpsc::channel(16);
    let (to_inserter, batches) = mpsc::channel(1);
    let (to_intake_done, done) = mpsc::channel(4);
    let redriver = Redriver::new(clickhouse.clone(), dead_letters.clone(), Arc::clone(&stats));
    let inserter = Inserter { clickhouse, journal: journal.clone(), dead_letters, stats: Arc::clone(&stats) };
    let intake = Intake::new(journal, limits, attention, idle, recovered, Arc::clone(&stats), to_inserter);
    let writer = Writer { submissions: to_intake, places: place_queries, memory, stats };
    let task = tokio::spawn(async move {
        let redriving = tokio::spawn(redriver.run(stop.clone()));
        let inserting = tokio::spawn(inserter.run(batches, to_intake_done));
        intake.run(submissions, places, done, stop).await;
        // Both end by themselves: the intake held the last sender, and `stop` is cancelled.
        for ended in [inserting.await, redriving.await] {
            ended.expect("the writer's tasks do not panic");
        }
    });
    Ok((writer, task))
}

/// The batch that still grows.
#[derive(Default)]
struct OpenBatch {
    resident: Resident,
    size: Size,
    /// The first and the last record.
    records: Option<(u64, u64)>,
}

/// A record on its way to the disk, or a wait for those before it.
struct Pending {
    append: Option<PendingAppend>,
    what: What,
}

enum What {
    Events {
        lsn: u64,
        producer_id: String,
        sequence: u64,
        duplicates: u64,
        columns: super::columns::EventColumns,
        share: OwnedSemaphorePermit,
        reply: Reply,
    },
    /// A request whose events were all handed over before: durable once everything before it here is.
    Repeat {
        producer_id: String,
        events: u64,
        /// How many requests had failed when it came.
        failures: u64,
        reply: Reply,
    },
    Seal(Batch),
    Landed(Seal),
    Snapshot {
        /// The first part's record, with the last part.
        complete_from: Option<u64>,
    },
}

type Reply = oneshot::Sender<Result<Receipt, SubmitError>>;

struct Intake {
    journal: Journal,
    limits: Limits,
    attention: watch::Receiver<Option<Duration>>,
    producer_idle: Duration,
    stats: Arc<Stats>,
    producers: Producers,
    ids: RecentIds,
    pending: VecDeque<Pending>,
    /// How many requests could not be kept.
    failures: u64,
    /// What the last request wanted for which there was no room; none once there is.
    wanted_bytes: Option<usize>,
    open: OpenBatch,
    /// Batches whose seal could not be written yet.
    unsealed: VecDeque<Batch>,
    /// Sealed batches that wait for the inserter, oldest first.
    sealed: VecDeque<Batch>,
    in_flight: Option<Seal>,
    inserter: mpsc::Sender<Batch>,
    last_flush: Instant,
    /// The first record of the last snapshot of the producers that is durable as a whole, and the bytes written since the
    /// last one was begun.
    snapshot: Option<u64>,
    bytes_since_snapshot: u64,
    /// The snapshot that is being written: its first record, and its next part.
    writing: Option<(u64, SnapshotCursor)>,
}

impl Intake {
    fn new(
        journal: Journal,
        limits: Limits,
        attention: watch::Receiver<Option<Duration>>,
        producer_idle: Duration,
        recovered: Recovered,
        stats: Arc<Stats>,
        inserter: mpsc::Sender<Batch>,
    ) -> Self {
        Self {
            journal,
            limits,
            attention,
            producer_idle,
            stats,
            producers: recovered.producers,
            ids: recovered.ids,
            pending: VecDeque::new(),
            failures: 0,
            wanted_bytes: None,
            open: OpenBatch::default(),
            unsealed: recovered.unsealed,
            sealed: recovered.sealed,
            in_flight: None,
            inserter,
            last_flush: Instant::now(),
            snapshot: None,
            // The first record makes a snapshot, so that what was recovered may go.
            bytes_since_snapshot: SNAPSHOT_AFTER_BYTES,
            writing: None,
        }
    }

    async fn run(
        mut self,
        mut submissions: mpsc::Receiver<Submission>,
        mut places: mpsc::Receiver<PlaceQuery>,
        mut done: mpsc::Receiver<Done>,
        stop: CancellationToken,
    ) {
        self.expire_producers();
        let (mut draining, mut no_more) = (false, false);
        let mut blocked: Option<Submission> = None;
        loop {
            self.write_seals();
            self.dispatch();
            if draining && self.is_drained() {
                break;
            }
            let due = self.due_at(draining);
            let taking = !no_more && blocked.is_none() && self.pending.len() < MAX_PENDING;
            tokio::select! {
                biased;
                () = stop.cancelled(), if !draining => {
                    submissions.close();
                    draining = true;
                }
                written = head(&mut self.pending) => self.written(written),
                Some(done) = done.recv() => self.landed(done.seal),
                Some((producer_id, reply)) = places.recv() => {
                    // A caller that does not wait any more needs no answer.
                    reply.send(self.producers.place(&producer_id)).ok();
                }
                () = sleep_until(due) => self.seal_open(),
                // Somebody came to look, and a batch may be due sooner.
                Ok(()) = self.attention.changed() => {}
                room = room(&self.journal, &self.stats, self.wanted_bytes), if self.wanted_bytes.is_some() => {
                    self.wanted_bytes = None;
                    self.stats.set_disk_full(None);
                    if let Some(waiting) = blocked.take() {
                        match room {
                            Ok(()) => blocked = self.take(waiting),
                            Err(error) => {
                                waiting.reply.send(Err(SubmitError::Disk(error.to_string()))).ok();
                            }
                        }
                    }
                }
                () = tokio::time::sleep(TRY_AGAIN), if !self.unsealed.is_empty() => {}
                next = submissions.recv(), if taking => match next {
                    Some(submission) => blocked = self.take(submission),
                    None => (draining, no_more) = (true, true),
                },
            }
        }
        if let Some(submission) = blocked {
            submission.reply.send(Err(super::Stopping.into())).ok();
        }
        tracing::info!("everything that was accepted is in ClickHouse or set aside");
    }

    /// Takes a request, or gives it back where the journal has no room.
    fn take(&mut self, submission: Submission) -> Option<Submission> {
        let Submission { request, may_wait, share, reply } = submission;
        let events = u64::from(request.columns.rows());
        let numbered = !request.producer_id.is_empty();
        if numbered {
            let Request { producer_id, sequence, new_numbering, received_at_ms, .. } = &request;
            match self.producers.order(producer_id, *sequence, *new_numbering, *received_at_ms) {
                Order::Next => {}
                Order::Repeat => {
                    self.producers.repeated(producer_id, *received_at_ms);
                    self.take_repeat(request.producer_id, events, reply);
                    return None;
                }
                Order::Gap { expected } => {
                    let Request { producer_id, sequence, .. } = request;
                    reply.send(Err(SubmitError::Gap { producer_id, sequence, expected })).ok();
                    return None;
                }
                Order::Forgotten => {
                    let Request { producer_id, sequence, .. } = request;
                    reply.send(Err(SubmitError::Forgotten { producer_id, sequence })).ok();
                    return None;
                }
                Order::Full { retry_after } => {
                    reply.send(Err(SubmitError::TooManyProducers { retry_after })).ok();
                    return None;
                }
            }
        }
        let new_numbering = request.new_numbering;
        let columns = self.drop_repeated_events(request.columns);
        if columns.is_empty() && !numbered {
            self.take_repeat(String::new(), events, reply);
            return None;
        }
        let record = Events {
            producer_id: request.producer_id,
            sequence: request.sequence,
            received_at_ms: request.received_at_ms,
            columns,
        };
        let payload = Bytes::from(record.encode());
        let bytes = payload.len();
        let error = match dead_letters_fit(&self.journal, &self.stats) {
            Ok(()) => match self.journal.submit(kind::EVENTS, vec![payload]) {
                Ok(append) => {
                    self.handed_over(append, record, events, share, reply);
                    return None;
                }
                Err(error) => error,
            },
            Err(full) => full,
        };
        match error {
            JournalError::Full { .. } | JournalError::Busy { .. } => {
                if matches!(error, JournalError::Full { .. }) {
                    tracing::warn!(%error, "requests are held back");
                    self.stats.set_disk_full(Some(error.to_string()));
                    self.wanted_bytes = Some(bytes);
                }
                if !may_wait {
                    reply.send(Err(SubmitError::Busy(error.to_string()))).ok();
                    return None;
                }
                let Events { producer_id, sequence, received_at_ms, columns } = record;
                let request = Request { producer_id, sequence, new_numbering, received_at_ms, columns };
                self.wanted_bytes = Some(bytes);
                Some(Submission { request, may_wait, share, reply })
            }
            JournalError::TooLarge { .. } => {
                reply.send(Err(SubmitError::TooLarge(error.to_string()))).ok();
                None
            }
            error => {
                reply.send(Err(SubmitError::Disk(error.to_string()))).ok();
                None
            }
        }
    }

    /// A request has its place in the journal and will be durable soon.
    fn handed_over(
        &mut self,
        append: PendingAppend,
        record: Events,
        events: u64,
        share: OwnedSemaphorePermit,
        reply: Reply,
    ) {
        let Events { producer_id, sequence, received_at_ms, columns } = record;
        let lsn = append.lsn();
        if !producer_id.is_empty() {
            self.producers.hand_over(&producer_id, sequence, received_at_ms);
        }
        self.ids.insert(lsn, columns.given_ids().map(|(_, id)| id));
        self.bytes_since_snapshot += (columns.bytes() + REQUEST_BYTES) as u64;
        let duplicates = events - u64::from(columns.rows());
        let what = What::Events { lsn, producer_id, sequence, duplicates, columns, share, reply };
        self.pending.push_back(Pending { append: Some(append), what });
        self.write_snapshot();
    }

    fn take_repeat(&mut self, producer_id: String, events: u64, reply: Reply) {
        let what = What::Repeat { producer_id, events, failures: self.failures, reply };
        self.pending.push_back(Pending { append: None, what });
    }

    fn drop_repeated_events(&self, columns: super::columns::EventColumns) -> super::columns::EventColumns {
        let mut in_request = std::collections::HashSet::new();
        let repeated: Vec<u32> = columns
            .given_ids()
            .filter(|&(_, id)| self.ids.contains(id) || !in_request.insert(id))
            .map(|(row, _)| row)
            .collect();
        if repeated.is_empty() { columns } else { columns.without(&repeated) }
    }

    /// The first pending record is on the disk, or will never be.
    fn written(&mut self, (what, result): (What, Result<(), JournalError>)) {
        match (what, result) {
            (What::Events { lsn, producer_id, sequence, duplicates, columns, share, reply }, Ok(())) => {
                self.producers.durable(&producer_id, sequence);
                let accepted = u64::from(columns.rows());
                self.stats.count_accepted(accepted);
                self.stats.count_duplicates(duplicates);
                let last_durable_sequence = if producer_id.is_empty() { 0 } else { sequence };
                reply.send(Ok(Receipt { accepted, duplicates, last_durable_sequence })).ok();
                self.add(lsn, columns, share);
            }
            (What::Events { lsn, producer_id, reply, .. }, Err(error)) => {
                self.failures += 1;
                self.producers.take_back(&producer_id);
                self.ids.take_back(lsn);
                reply.send(Err(SubmitError::Disk(error.to_string()))).ok();
            }
            (What::Repeat { producer_id, events, failures, reply }, _) => {
                let word = if failures == self.failures {
                    self.stats.count_duplicates(events);
                    let durable = self.producers.place(&producer_id).map_or(0, |place| place.durable);
                    Ok(Receipt { accepted: 0, duplicates: events, last_durable_sequence: durable })
                } else {
                    Err(SubmitError::Disk("the first sending of these events could not be kept".into()))
                };
                reply.send(word).ok();
            }
            (What::Seal(batch), Ok(())) => self.sealed.push_back(batch),
            (What::Seal(batch), Err(error)) => {
                tracing::warn!(batch = %batch.seal.batch_id, %error, "a seal could not be written and is tried again");
                self.unsealed.push_back(batch);
            }
            (What::Snapshot { complete_from: None }, Ok(())) => {}
            (What::Snapshot { complete_from: Some(first) }, Ok(())) => {
                self.snapshot = Some(first);
                self.release();
            }
            (What::Landed(_), Ok(())) => self.release(),
            (What::Landed(seal), Err(error)) => {
                // After a crash the batch would be sent again, and ClickHouse would know it by its token.
                tracing::warn!(batch = %seal.batch_id, %error, "that a batch landed could not be written down");
            }
            (What::Snapshot { .. }, Err(_)) => {
                self.writing = None;
                self.bytes_since_snapshot = SNAPSHOT_AFTER_BYTES;
            }
        }
    }

    /// Puts durable events into the open batch.
    fn add(&mut self, lsn: u64, columns: super::columns::EventColumns, share: OwnedSemaphorePermit) {
        if columns.is_empty() {
            return;
        }
        let open = &mut self.open;
        open.size += Size { events: u64::from(columns.rows()), bytes: columns.bytes() as u64 };
        open.records = Some((open.records.map_or(lsn, |(first, _)| first), lsn));
        open.resident.columns.append(&columns);
        match &mut open.resident.share {
            Some(held) => held.merge(share),
            none => *none = Some(share),
        }
        if self.limits.is_full(open.size) {
            self.seal_open();
        }
    }

    /// Ends the open batch: what it holds is settled from here on.
    fn seal_open(&mut self) {
        let OpenBatch { resident, size, records } = std::mem::take(&mut self.open);
        let Some((first, last)) = records else {
            return;
        };
        self.last_flush = Instant::now();
        let seal = Seal { batch_id: Uuid::now_v7(), first, last };
        self.unsealed.push_back(Batch { seal, events: size.events, columns: Some(resident) });
        self.write_seals();
    }

    fn write_seals(&mut self) {
        while let Some(batch) = self.unsealed.pop_front() {
            match self.journal.submit_reserved(kind::SEAL, vec![Bytes::from(batch.seal.encode())]) {
                Ok(append) => {
                    self.pending.push_back(Pending { append: Some(append), what: What::Seal(batch) });
                }
                Err(error) => {
                    tracing::debug!(%error, "a seal waits for the journal");
                    self.unsealed.push_front(batch);
                    return;
                }
            }
        }
    }

    /// Gives the inserter the next batch if it has none, and lets go of the memory of those that wait for long.
    fn dispatch(&mut self) {
        if self.in_flight.is_none()
            && let Some(batch) = self.sealed.pop_front()
        {
            self.in_flight = Some(batch.seal);
            self.inserter.try_send(batch).expect("the inserter has room for one batch and has none");
        }
        for waiting in self.sealed.iter_mut().skip(1) {
            waiting.columns = None;
        }
    }

    /// A batch is in ClickHouse or among the dead letters.
    fn landed(&mut self, seal: Seal) {
        self.in_flight = None;
        match self
            .journal
            .submit_reserved(kind::LANDED, vec![Bytes::from(record::encode_landed(seal.batch_id))])
        {
            Ok(append) => {
                self.pending.push_back(Pending { append: Some(append), what: What::Landed(seal) });
            }
            // As above: the token makes a second insert harmless.
            Err(error) => {
                tracing::warn!(batch = %seal.batch_id, %error, "that a batch landed could not be written down");
            }
        }
    }

    /// Writes some parts of the snapshot of the producers that is due, so that no request waits for all of it.
    fn write_snapshot(&mut self) {
        for _ in 0..SNAPSHOT_PARTS_A_REQUEST {
            if self.writing.is_none() {
                if self.bytes_since_snapshot < SNAPSHOT_AFTER_BYTES {
                    return;
                }
                self.expire_producers();
                self.bytes_since_snapshot = 0;
            }
            let (first, from) = self
                .writing
                .take()
                .map_or((None, SnapshotCursor::default()), |(first, from)| (Some(first), from));
            // A part becomes durable after all that was handed over before it, or not at all.
            let (part, next) = self.producers.snapshot_part(from);
            let (kind, payload) = record::encode_part(&part);
            let Ok(append) = self.journal.submit_reserved(kind, vec![Bytes::from(payload)]) else {
                // From the begin, but not at once: a journal that is full or broken is so for a while.
                self.bytes_since_snapshot = SNAPSHOT_AFTER_BYTES * 3 / 4;
                return;
            };
            let first = first.unwrap_or(append.lsn());
            self.writing = next.map(|next| (first, next));
            let complete_from = next.is_none().then_some(first);
            self.pending.push_back(Pending { append: Some(append), what: What::Snapshot { complete_from } });
        }
    }

    fn expire_producers(&mut self) {
        let idle_since = jiff::Timestamp::now().as_millisecond() - self.producer_idle.as_millis() as i64;
        self.producers.expire(idle_since);
    }

    /// Lets go of the records that nothing needs any more.
    fn release(&mut self) {
        let Some(snapshot) = self.snapshot else {
            return;
        };
        let pending = self.pending.iter().find_map(|pending| match &pending.what {
            What::Events { lsn, .. } => Some(*lsn),
            What::Seal(batch) => Some(batch.seal.first),
            What::Repeat { .. } | What::Landed(_) | What::Snapshot { .. } => None,
        });
        let landing = self.pending.iter().find_map(|pending| match &pending.what {
            What::Landed(seal) => Some(seal.first),
            _ => None,
        });
        let batches = self.unsealed.iter().chain(&self.sealed).map(|batch| batch.seal.first);
        let needed = batches
            .chain(self.in_flight.map(|seal| seal.first))
            .chain(self.open.records.map(|(first, _)| first))
            .chain(pending)
            .chain(landing)
            .chain(self.ids.oldest_record())
            .fold(snapshot, u64::min);
        self.journal.release(needed);
    }

    fn due_at(&self, draining: bool) -> Option<Instant> {
        if self.in_flight.is_some() || !self.sealed.is_empty() || !self.unsealed.is_empty() {
            return None;
        }
        let due = self.limits.due_at(self.open.size, self.last_flush, *self.attention.borrow())?;
        Some(if draining { Instant::now() } else { due })
    }

    fn is_drained(&self) -> bool {
        self.pending.is_empty()
            && self.open.records.is_none()
            && self.unsealed.is_empty()
            && self.sealed.is_empty()
            && self.in_flight.is_none()
    }
}

/// Waits until the request for which there was no room could be taken.
async fn room(journal: &Journal, stats: &Stats, wanted_bytes: Option<usize>) -> Result<(), JournalError> {
    let bytes = wanted_bytes.unwrap_or(0);
    loop {
        journal.room(bytes).await?;
        if dead_letters_fit(journal, stats).is_ok() {
            return Ok(());
        }
        tokio::time::sleep(TRY_AGAIN).await;
    }
}

/// Whether journal and dead letters together are within the bound.
fn dead_letters_fit(journal: &Journal, stats: &Stats) -> Result<(), JournalError> {
    let journal = journal.stats();
    let used_bytes = journal.disk_bytes + stats.dead_letter_bytes();
    if used_bytes < journal.max_bytes {
        return Ok(());
    }
    Err(JournalError::Full { used_bytes, max_bytes: journal.max_bytes })
}

/// The first pending record, once its fate is known. It stays the first until then, so this may be cancelled.
async fn head(pending: &mut VecDeque<Pending>) -> (What, Result<(), JournalError>) {
    let result = match pending.front_mut() {
        None => return std::future::pending().await,
        Some(Pending { append: Some(append), .. }) => append.await.map(|_| ()),
        Some(Pending { append: None, .. }) => Ok(()),
    };
    let first = pending.pop_front().expect("there is a first one");
    (first.what, result)
}

async fn sleep_until(due: Option<Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(due).await,
        None => std::future::pending().await,
    }
}

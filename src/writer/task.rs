//! The task around the [`WriterState`]: it owns the channels, the timers, and the records on their way to the disk.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{Semaphore, mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::boot::BootMarker;
use super::dead_letter::DeadLetters;
use super::durability::Durability;
use super::flush_policy::BatchLimits;
use super::insert::{InsertLock, Inserter, InserterEvent, UnconfirmedBatches, run_blocking};
use super::producers::{MAX_FORGOTTEN_PRODUCERS, MAX_PRODUCERS};
use super::recent_ids::RecentIds;
use super::recover::RecoveredState;
use super::replay::DeadLetterReplayer;
use super::state::{DeferredRequest, RecordLog, SealedBatch, StateSettings, WriterState};
use super::stats::WriterStats;
use super::{Ack, ProducerQuery, SUBMISSION_QUEUE_CAPACITY, Submission, SubmitError, Writer};
use crate::clickhouse::ClickHouse;
use crate::config::WriterConfig;
use crate::journal::{Journal, JournalError, Lsn, PendingAppend};

/// How many records may wait for the disk. Beyond it requests are not taken; group commit has nothing more to gain.
const MAX_PENDING_RECORDS: usize = 4_096;
/// After so many bytes of events, at least, a snapshot is written, so that older records may go.
const MIN_SNAPSHOT_INTERVAL_BYTES: u64 = 32 << 20;
/// A snapshot is written at the latest after this part of the journal's bound.
const MIN_SNAPSHOTS_PER_JOURNAL: u64 = 8;
/// How large a batch may get: about what a second brings at full speed, and small beside the memory's bound.
const MAX_BATCH_BYTES: u64 = 24 << 20;
/// How many events a batch may hold. ClickHouse makes one block of so many rows at most (`max_insert_block_size`).
const MAX_BATCH_EVENTS: u64 = 500_000;
/// How often a record that the journal did not take, and a request that it has no room for, are tried again.
const RETRY_INTERVAL: Duration = Duration::from_millis(250);
/// How often the task shows that it is alive, and looks whether a checkpoint is due.
const HEARTBEAT_INTERVAL: Duration = Duration::from_millis(500);
/// A checkpoint begins so long after the one before, or sooner when half of the journal's bound is in use.
const CHECKPOINT_INTERVAL: Duration = Duration::from_secs(10);
const CHECKPOINT_INTERVAL_UNDER_PRESSURE: Duration = Duration::from_secs(2);
/// How much of a snapshot one journal record holds: far below what a segment takes.
const SNAPSHOT_PART_BYTES: usize = 8 << 20;
/// How many requests of streams may wait behind one that the journal has no room for. More are not received, so that flow
/// control slows their producers.
const MAX_QUEUED_SUBMISSIONS: usize = 64;

/// What a writer stands on.
pub struct WriterDependencies {
    /// Where batches go.
    pub clickhouse: ClickHouse,
    /// Where accepted events wait.
    pub journal: Journal,
    /// What the journal held at the start.
    pub recovered: RecoveredState,
    /// Where batches go that ClickHouse does not take.
    pub dead_letters: DeadLetters,
    /// When landed batches are safe from a power cut.
    pub durability: Durability,
    /// Whether there was one since the last use.
    pub boot: BootMarker,
    /// How events become batches.
    pub config: WriterConfig,
    /// How often somebody sees what has landed; none while nobody looks.
    pub demand: watch::Receiver<Option<Duration>>,
    /// Ends the writer: it takes nothing more, and brings in what it has.
    pub stop: CancellationToken,
}

/// The bounds of a batch, as the configuration has them.
pub fn batch_limits(config: &WriterConfig) -> BatchLimits {
    BatchLimits {
        flush_events: config.flush_size,
        flush_interval: config.flush_interval,
        flush_min_interval: config.flush_min_interval,
        max_bytes: MAX_BATCH_BYTES.min(config.max_buffer_bytes / 5),
        max_events: MAX_BATCH_EVENTS,
    }
}

/// The part of the journal's bound that is kept free for the records that lead to a release: seals, landed batches, and
/// two snapshots.
pub fn journal_reserve_bytes(config: &WriterConfig) -> u64 {
    const SEALS_AND_LANDED_BYTES: u64 = 32 << 20;
    // A producer id has at most 128 bytes; beside it are its length, a sequence and a time.
    let producers = (MAX_PRODUCERS * (128 + 18) + MAX_FORGOTTEN_PRODUCERS * 8) as u64;
    SEALS_AND_LANDED_BYTES + 2 * (producers + config.recent_event_ids * RecentIds::SNAPSHOT_BYTES)
}

/// Starts the writer. The handle's task ends once everything is in ClickHouse or set aside, after `stop`.
///
/// # Errors
/// When it cannot be told whether the machine went down since the last use.
pub async fn start(dependencies: WriterDependencies) -> io::Result<(Writer, JoinHandle<()>)> {
    let WriterDependencies {
        clickhouse,
        journal,
        recovered,
        dead_letters,
        durability,
        boot,
        config,
        demand,
        stop,
    } = dependencies;
    let stats = Arc::new(WriterStats::default());
    let letters = dead_letters.clone();
    let swept = run_blocking(move || letters.load()).await;
    if swept.files > 0 {
        tracing::info!(files = swept.files, bytes = swept.bytes, "dead letters: what a crash left was swept");
    }
    let dead_lettered = dead_letters.summary();
    stats.set_dead_letter_bytes(dead_lettered.bytes);
    stats.count_recovered(recovered.events() + dead_lettered.events);
    stats.set_journal_damage(recovered.damage.clone());
    let memory_bytes = usize::try_from(config.max_buffer_bytes).unwrap_or(Semaphore::MAX_PERMITS);
    let memory = Arc::new(Semaphore::new(memory_bytes.min(Semaphore::MAX_PERMITS)));
    let (submission_tx, submissions) = mpsc::channel(SUBMISSION_QUEUE_CAPACITY);
    let (producer_query_tx, producer_queries) = mpsc::channel(16);
    let (batch_tx, batches) = mpsc::channel(1);
    let (inserter_event_tx, inserter_events) = mpsc::channel(4);
    let insert_lock = InsertLock::default();
    let replayer = DeadLetterReplayer::new(
        clickhouse.clone(),
        dead_letters.clone(),
        durability.clone(),
        Arc::clone(&insert_lock),
        Arc::clone(&stats),
    );
    let unconfirmed = UnconfirmedBatches {
        unclean_boot: boot.is_unclean()?,
        landed: recovered.landed.clone(),
        sealed: recovered.sealed.iter().copied().collect(),
    };
    let reconciled = CancellationToken::new();
    let inserter = Inserter {
        clickhouse,
        journal: journal.clone(),
        dead_letters,
        durability: durability.clone(),
        insert_lock,
        stats: Arc::clone(&stats),
        unconfirmed: Some(unconfirmed),
        reconciled: reconciled.clone(),
    };
    let max_bytes = journal.stats().max_bytes;
    let settings = StateSettings {
        limits: batch_limits(&config),
        producer_idle_timeout: Duration::from_secs(config.producer_idle_hours * 3_600),
        snapshot_interval_bytes: (MIN_SNAPSHOT_INTERVAL_BYTES, max_bytes / MIN_SNAPSHOTS_PER_JOURNAL),
        snapshot_part_bytes: SNAPSHOT_PART_BYTES,
        new_batch_id: Box::new(Uuid::now_v7),
    };
    let task = WriterTask {
        state: WriterState::new(settings, recovered, Instant::now()),
        log: JournalLog { journal, stats: Arc::clone(&stats), pending_appends: VecDeque::new() },
        stats: Arc::clone(&stats),
        demand,
        batch_tx,
        durability,
        boot,
        is_marked_in_use: false,
        checkpoint: None,
        last_checkpoint: Instant::now(),
        deferred: None,
        queued: VecDeque::new(),
        required_bytes: None,
    };
    let writer = Writer { submissions: submission_tx, producer_queries: producer_query_tx, memory, stats };
    let handle = tokio::spawn(async move {
        let mut replayer_task = tokio::spawn(replayer.run(reconciled, stop.clone()));
        let mut inserter_task = tokio::spawn(inserter.run(batches, inserter_event_tx));
        // A part that ends early ends the whole: what it should do would never be done, and nobody would notice.
        let mut running =
            std::pin::pin!(task.run(submissions, producer_queries, inserter_events, stop.clone()));
        tokio::select! {
            () = &mut running => {}
            ended = &mut inserter_task => panic!("the inserter ended early: {ended:?}"),
            ended = &mut replayer_task => {
                assert!(stop.is_cancelled(), "the redriver ended early: {ended:?}");
                ended.expect("the redriver does not panic");
                running.await;
                return inserter_task.await.expect("the inserter does not panic");
            }
        }
        // Both end on their own: the task held the last sender, and `stop` is cancelled.
        for ended in [inserter_task.await, replayer_task.await] {
            ended.expect("the writer's tasks do not panic");
        }
    });
    Ok((writer, handle))
}

type AckSender = oneshot::Sender<Result<Ack, SubmitError>>;

struct WriterTask {
    state: WriterState<AckSender>,
    log: JournalLog,
    stats: Arc<WriterStats>,
    demand: watch::Receiver<Option<Duration>>,
    batch_tx: mpsc::Sender<SealedBatch>,
    durability: Durability,
    boot: BootMarker,
    /// Whether the data folder is marked as in use in this boot.
    is_marked_in_use: bool,
    /// The checkpoint under way, with the number of landed batches that it covers.
    checkpoint: Option<(u64, JoinHandle<io::Result<()>>)>,
    last_checkpoint: Instant,
    /// A request of a stream that the journal has no room for. Nothing else is admitted while it waits.
    deferred: Option<DeferredRequest<AckSender>>,
    /// Requests of streams that wait behind it, in order.
    queued: VecDeque<Submission>,
    /// What the last request wanted for which there was no room; none once there is.
    required_bytes: Option<usize>,
}

/// The journal as the state sees it, and the records that are on their way to the disk.
struct JournalLog {
    journal: Journal,
    stats: Arc<WriterStats>,
    pending_appends: VecDeque<PendingAppend>,
}

impl RecordLog for JournalLog {
    fn append(&mut self, kind: u8, payload: Vec<u8>) -> Result<Lsn, JournalError> {
        check_free_space(&self.journal, &self.stats)?;
        let append = self.journal.submit(kind, vec![Bytes::from(payload)])?;
        Ok(self.push(append))
    }

    fn append_reserved(&mut self, kind: u8, payload: Vec<u8>) -> Result<Lsn, JournalError> {
        let append = self.journal.submit_reserved(kind, vec![Bytes::from(payload)])?;
        Ok(self.push(append))
    }

    fn release(&mut self, up_to: Lsn) {
        self.journal.release(up_to);
    }
}

impl JournalLog {
    fn push(&mut self, append: PendingAppend) -> Lsn {
        let lsn = append.lsn();
        self.pending_appends.push_back(append);
        lsn
    }

    /// The outcome of the oldest append. It stays the oldest until then, so this may be cancelled.
    async fn next_completed(&mut self) -> Result<(), JournalError> {
        let Some(append) = self.pending_appends.front_mut() else {
            return std::future::pending().await;
        };
        let result = append.await;
        self.pending_appends.pop_front();
        result.map(|_| ())
    }
}

impl WriterTask {
    async fn run(
        mut self,
        mut submissions: mpsc::Receiver<Submission>,
        mut producer_queries: mpsc::Receiver<ProducerQuery>,
        mut inserter_events: mpsc::Receiver<InserterEvent>,
        stop: CancellationToken,
    ) {
        let (mut draining, mut submissions_closed) = (false, false);
        let journal = self.log.journal.clone();
        self.state.expire_idle_producers(now_ms());
        let mut heartbeat = tokio::time::interval(HEARTBEAT_INTERVAL);
        heartbeat.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            self.stats.record_heartbeat();
            let all_appended = self.state.append_due_records(Instant::now(), now_ms(), &mut self.log);
            self.send_replies();
            self.dispatch();
            if draining && self.state.is_drained() {
                break;
            }
            let due = self.due_at(draining);
            let accepting = !submissions_closed
                && self.queued.len() < MAX_QUEUED_SUBMISSIONS
                && self.state.pending() < MAX_PENDING_RECORDS;
            tokio::select! {
                biased;
                () = stop.cancelled(), if !draining => {
                    submissions.close();
                    draining = true;
                }
                _ = heartbeat.tick() => {
                    self.mark_in_use().await;
                    self.start_checkpoint_if_due();
                }
                result = join_checkpoint(&mut self.checkpoint) => self.finish_checkpoint(result).await,
                result = self.log.next_completed() => self.state.append_completed(result, Instant::now(), &mut self.log),
                Some(event) = inserter_events.recv() => match event {
                    InserterEvent::Reconciled => {
                        self.state.reconciliation_completed();
                        self.mark_in_use().await;
                    }
                    InserterEvent::Landed => self.state.batch_landed(),
                },
                Some((producer_id, reply)) = producer_queries.recv() => {
                    // A caller that does not wait any more needs no answer.
                    reply.send(self.state.producers().get(&producer_id)).ok();
                }
                () = sleep_until(due) => self.state.seal_open_batch(Instant::now()),
                // Somebody came to look, and a batch may be due sooner.
                Ok(()) = self.demand.changed() => {}
                space = wait_for_space(&journal, &self.stats, self.required_bytes), if self.required_bytes.is_some() => {
                    self.required_bytes = None;
                    self.stats.set_disk_full(None);
                    self.resume_deferred(space);
                }
                () = tokio::time::sleep(RETRY_INTERVAL), if !all_appended => {}
                next = submissions.recv(), if accepting => match next {
                    Some(submission) => self.admit_or_queue(submission),
                    None => (draining, submissions_closed) = (true, true),
                },
            }
        }
        let queued = self.queued.drain(..).map(|submission| submission.reply);
        for waiter in self.deferred.take().map(|deferred| deferred.waiter).into_iter().chain(queued) {
            waiter.send(Err(super::Stopping.into())).ok();
        }
        self.mark_clean().await;
        tracing::info!("everything that was accepted is in ClickHouse or set aside");
    }

    /// Marks the data folder as in use in this boot, as soon as nothing of before is doubtful any more.
    async fn mark_in_use(&mut self) {
        if self.is_marked_in_use || !self.state.is_reconciled() {
            return;
        }
        let boot = self.boot.clone();
        match run_blocking(move || boot.mark_in_use()).await {
            Ok(()) => self.is_marked_in_use = true,
            Err(error) => {
                tracing::error!(%error, "the data folder cannot be marked as in use; it is tried again")
            }
        }
    }

    /// Everything has landed. Where it is safe as well, the next start has nothing to compare.
    async fn mark_clean(&mut self) {
        let synced = match self.durability.is_best_effort() {
            true => self.state.checkpoint_due().is_none(),
            false => self.stats.sync_error().is_none() && self.durability.sync().await.is_ok(),
        };
        if !synced || !self.is_marked_in_use {
            return;
        }
        let boot = self.boot.clone();
        if let Err(error) = run_blocking(move || boot.mark_clean()).await {
            tracing::warn!(%error, "the data folder cannot be marked as cleanly left; the next boot compares");
        }
    }

    /// Sends what the state has decided to those who wait for it, and counts it.
    fn send_replies(&mut self) {
        for (waiter, reply) in self.state.drain_replies() {
            if let Ok(ack) = reply {
                self.stats.count_accepted(ack.accepted);
                self.stats.count_duplicates(ack.duplicates);
            }
            // A caller that went away does not need to know.
            waiter.send(reply).ok();
        }
    }

    /// Admits a request, or lets it wait its turn behind the one that is held back.
    fn admit_or_queue(&mut self, submission: Submission) {
        if self.deferred.is_none() {
            return self.admit(submission);
        }
        if submission.may_wait {
            self.queued.push_back(submission);
        } else {
            let full = self.stats.disk_full().unwrap_or_else(|| "the journal is behind".to_owned());
            submission.reply.send(Err(SubmitError::Busy(full))).ok();
        }
    }

    fn admit(&mut self, submission: Submission) {
        let Submission { request, may_wait, permit, reply } = submission;
        let Some(deferred) = self.state.admit(request, Some(permit), reply, &mut self.log) else {
            return;
        };
        self.note_deferral(&deferred);
        if may_wait {
            self.deferred = Some(deferred);
        } else {
            deferred.waiter.send(Err(SubmitError::Busy(deferred.error.to_string()))).ok();
        }
    }

    /// There is room again for the request that is held back, or there is no use in waiting.
    fn resume_deferred(&mut self, space: Result<(), JournalError>) {
        if let Some(DeferredRequest { request, permit, waiter, .. }) = self.deferred.take() {
            match space {
                Ok(()) => {
                    if let Some(deferred) = self.state.admit(request, permit, waiter, &mut self.log) {
                        self.note_deferral(&deferred);
                        self.deferred = Some(deferred);
                    }
                }
                Err(error) => {
                    waiter.send(Err(SubmitError::Disk(error.to_string()))).ok();
                }
            }
        }
        while self.deferred.is_none()
            && let Some(submission) = self.queued.pop_front()
        {
            self.admit(submission);
        }
    }

    /// Only a full disk shows in health: that the journal is behind is over with its next sync.
    fn note_deferral(&mut self, deferred: &DeferredRequest<AckSender>) {
        self.required_bytes = Some(deferred.record_bytes);
        if deferred.journal_is_full() {
            if self.stats.disk_full().is_none() {
                tracing::warn!(error = %deferred.error, "requests are held back");
            }
            self.stats.set_disk_full(Some(deferred.error.to_string()));
        }
    }

    /// Gives the inserter the next batch if it has none.
    fn dispatch(&mut self) {
        if let Some(batch) = self.state.next_insert() {
            self.batch_tx.try_send(batch).expect("the inserter has room for one batch and has none");
        }
    }

    fn due_at(&self, draining: bool) -> Option<Instant> {
        let due = self.state.due_at(*self.demand.borrow())?;
        Some(if draining { Instant::now() } else { due })
    }

    fn start_checkpoint_if_due(&mut self) {
        let journal = self.log.journal.stats();
        let full = self.stats.disk_full().is_some() || !journal.durable;
        if full {
            self.state.request_snapshot_if_drained();
        }
        let Some(landed_count) = self.state.checkpoint_due() else {
            return;
        };
        if self.durability.is_best_effort() && full {
            // Events that can be taken now count for more than a power cut in the next minutes.
            self.state.checkpoint_completed(landed_count, &mut self.log);
        } else if self.checkpoint.is_none() {
            let under_pressure = full || journal.disk_bytes > journal.max_bytes / 2;
            let interval =
                if under_pressure { CHECKPOINT_INTERVAL_UNDER_PRESSURE } else { CHECKPOINT_INTERVAL };
            if self.last_checkpoint.elapsed() >= interval {
                self.last_checkpoint = Instant::now();
                self.checkpoint =
                    Some((landed_count, tokio::spawn(self.durability.clone().wait_until_durable())));
            }
        }
    }

    async fn finish_checkpoint(&mut self, result: io::Result<u64>) {
        match result {
            Ok(landed_count) => self.state.checkpoint_completed(landed_count, &mut self.log),
            Err(error) => {
                tracing::error!(%error, "ClickHouse's files could not be synced; landed batches stay in the journal");
                self.stats.set_sync_error(error.to_string());
                self.state.sync_failed();
                let boot = self.boot.clone();
                if let Err(error) = run_blocking(move || boot.mark_unclean()).await {
                    tracing::error!(%error, "the next start cannot be told to compare");
                }
            }
        }
    }
}

/// The end of the checkpoint under way, with what it covers.
async fn join_checkpoint(checkpoint: &mut Option<(u64, JoinHandle<io::Result<()>>)>) -> io::Result<u64> {
    let Some((landed_count, running)) = checkpoint else {
        return std::future::pending().await;
    };
    let (landed_count, ended) = (*landed_count, running.await);
    *checkpoint = None;
    ended.map_err(io::Error::other)?.map(|()| landed_count)
}

/// Waits until the request for which there was no room could be taken.
async fn wait_for_space(
    journal: &Journal,
    stats: &WriterStats,
    required_bytes: Option<usize>,
) -> Result<(), JournalError> {
    let bytes = required_bytes.unwrap_or(0);
    loop {
        journal.wait_for_space(bytes).await?;
        if check_free_space(journal, stats).is_ok() {
            return Ok(());
        }
        tokio::time::sleep(RETRY_INTERVAL).await;
    }
}

/// Whether journal and dead letters together are within the bound.
fn check_free_space(journal: &Journal, stats: &WriterStats) -> Result<(), JournalError> {
    let dead_letter_bytes = stats.dead_letter_bytes();
    if dead_letter_bytes == 0 {
        return Ok(());
    }
    let journal = journal.stats();
    let used_bytes = journal.disk_bytes + dead_letter_bytes;
    if used_bytes < journal.max_bytes {
        return Ok(());
    }
    Err(JournalError::Full { used_bytes, max_bytes: journal.max_bytes })
}

fn now_ms() -> i64 {
    jiff::Timestamp::now().as_millisecond()
}

async fn sleep_until(due: Option<Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(due).await,
        None => std::future::pending().await,
    }
}

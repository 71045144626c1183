//! The task around the [`WriterState`]: it owns the channels, the timers, the pending appends and the running checkpoint.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::batch::BatchEncoder;
use super::batch_id::ServerNumber;
use super::boot::BootMarker;
use super::copies::Copies;
use super::dead_letter::DeadLetters;
use super::durability::Durability;
use super::feed::Feed;
use super::flush_policy::BatchLimits;
use super::insert::{Inserter, InserterEvent, MAX_INSERTS_IN_FLIGHT, UnconfirmedBatches};
use super::producer_queries::ProducerQueries;
use super::producers::{MAX_FORGOTTEN_PRODUCERS, MAX_PRODUCERS, producer_key};
use super::recent_ids::RecentIds;
use super::recover::RecoveredState;
use super::replay::DeadLetterReplayer;
use super::state::{DeferredRequest, RecordLog, SealedBatch, StateSettings, WriterState};
use super::stats::WriterStats;
use super::store::{BatchStore, ShardChoice};
use super::unlanded::UnlandedBatches;
use super::{AckSender, ProducerQuery, SUBMISSION_QUEUE_CAPACITY, Submission, SubmitError, Writer};
use crate::blocking::run_blocking;
use crate::clickhouse::replicas::Replicas;
use crate::clickhouse::shards::Shards;
use crate::config::WriterConfig;
use crate::journal::{Journal, JournalError, Lsn, PendingAppend};

/// Maximum number of records that wait for a sync. At the limit no request is admitted; group commit gains nothing from
/// more.
const MAX_PENDING_RECORDS: usize = 4_096;
/// Minimum bytes of events between two snapshots. Records before a snapshot can be released.
const MIN_SNAPSHOT_INTERVAL_BYTES: u64 = 32 << 20;
/// The maximum bytes of events between two snapshots are the journal's maximum size divided by this.
const MIN_SNAPSHOTS_PER_JOURNAL: u64 = 8;
/// Maximum size of a batch: about one second of ingest at full speed, and small compared to the memory budget.
const MAX_BATCH_BYTES: u64 = 24 << 20;
/// Maximum number of events in a batch, below ClickHouse's `max_insert_block_size`, so that an insert is one block.
const MAX_BATCH_EVENTS: u64 = 500_000;
/// While an insert is in flight, a batch with fewer events waits for it and grows: an insert of this size costs ClickHouse as
/// little per event as a larger one.
const CONCURRENT_EVENTS: u64 = 100_000;
/// Interval of retries for records that the journal did not accept, and of free space checks for a deferred request.
const RETRY_INTERVAL: Duration = Duration::from_millis(250);
/// Maximum time between two iterations of the task. Each tick also checks whether a checkpoint is due.
const HEARTBEAT_INTERVAL: Duration = Duration::from_millis(500);
/// Minimum time between the starts of two checkpoints.
const CHECKPOINT_INTERVAL: Duration = Duration::from_secs(10);
/// The same while more than half of the journal's maximum size is in use, or the journal is full.
const CHECKPOINT_INTERVAL_UNDER_PRESSURE: Duration = Duration::from_secs(2);
/// Maximum bytes of a snapshot per journal record: far below the size of a segment.
const SNAPSHOT_PART_BYTES: usize = 8 << 20;
/// Maximum number of stream requests queued behind a deferred request. At the limit no more are received, so that flow
/// control slows the producers.
const MAX_QUEUED_SUBMISSIONS: usize = 64;

pub(crate) struct WriterDependencies {
    pub shards: Shards,
    /// Of each shard; empty for the embedded engine.
    pub replicas: Vec<Replicas>,
    /// The server whose data folder this is.
    pub server: ServerNumber,
    /// Encodes batches for the tables as they are now.
    pub encoder: BatchEncoder,
    pub journal: Journal,
    /// From [`recover`](super::recover()), for this journal.
    pub recovered: RecoveredState,
    pub dead_letters: DeadLetters,
    /// How checkpoints make landed batches durable.
    pub durability: Durability,
    /// Tells whether the machine went down since the last use of the data folder.
    pub boot: BootMarker,
    pub config: WriterConfig,
    /// The shortest update interval of the active panel subscriptions; `None` without subscriptions.
    pub demand: watch::Receiver<Option<Duration>>,
    /// Why the schema is not applied yet; nothing is inserted until it is `None`.
    pub schema_pending: watch::Receiver<Option<String>>,
    /// Gets the events of every durable request.
    pub feed: Feed,
    /// Whether producers take an earlier process of this server for another one.
    pub processes_are_servers: bool,
    /// Stops the writer: it admits no further request, inserts what it has, and ends.
    pub stop: CancellationToken,
}

/// The batch limits of a configuration.
pub(crate) fn batch_limits(config: &WriterConfig) -> BatchLimits {
    BatchLimits {
        flush_events: config.flush_size,
        flush_interval: config.flush_interval,
        flush_min_interval: config.flush_min_interval,
        // The batches in flight, one more in memory, and the open one leave some for requests.
        max_bytes: MAX_BATCH_BYTES.min(config.max_buffer_bytes / (config.inserts_in_flight() as u64 + 4)),
        concurrent_events: CONCURRENT_EVENTS.max(config.flush_size),
        max_events: MAX_BATCH_EVENTS,
    }
}

/// The part of the journal's maximum size that is reserved for records that lead to a release: seals, landed records, and
/// two snapshots.
pub(crate) fn journal_reserve_bytes(config: &WriterConfig) -> u64 {
    const SEALS_AND_LANDED_BYTES: u64 = 32 << 20;
    // A producer takes at most 192 bytes for its project and id, and 18 bytes for their length, a sequence and a time.
    let producers = (MAX_PRODUCERS * (192 + 18) + MAX_FORGOTTEN_PRODUCERS * 8) as u64;
    SEALS_AND_LANDED_BYTES + 2 * (producers + config.recent_event_ids * RecentIds::SNAPSHOT_BYTES)
}

/// Starts the writer's tasks. The returned task owns them: after `stop`, it ends when every accepted event is in ClickHouse
/// or in the dead-letter folder. If one of the tasks panics, it aborts the others and panics too.
///
/// # Errors
/// When the boot marker cannot be read.
pub(crate) async fn start(dependencies: WriterDependencies) -> io::Result<(Writer, JoinHandle<()>)> {
    let WriterDependencies {
        shards,
        replicas,
        server,
        encoder,
        journal,
        recovered,
        dead_letters,
        durability,
        boot,
        config,
        demand,
        schema_pending,
        feed,
        processes_are_servers,
        stop,
    } = dependencies;
    let stats = Arc::new(WriterStats::default());
    let letters = dead_letters.clone();
    let swept = run_blocking(move || letters.load()).await;
    if swept.files > 0 {
        tracing::info!(files = swept.files, bytes = swept.bytes, "swept leftover dead-letter files");
    }
    let dead_lettered = dead_letters.summary();
    stats.set_dead_letter_bytes(dead_lettered.bytes);
    stats.count_recovered(recovered.events() + dead_lettered.events);
    stats.set_journal_damage(recovered.damage.clone());
    let memory_bytes = usize::try_from(config.max_buffer_bytes).unwrap_or(Semaphore::MAX_PERMITS);
    let memory = Arc::new(Semaphore::new(memory_bytes.min(Semaphore::MAX_PERMITS)));
    let (submission_tx, submissions) = mpsc::channel(SUBMISSION_QUEUE_CAPACITY);
    let (producer_query_tx, producer_queries) = mpsc::channel(16);
    let (batch_tx, batches) = mpsc::channel(MAX_INSERTS_IN_FLIGHT);
    let (inserter_event_tx, inserter_events) = mpsc::channel(4);
    let unlanded = UnlandedBatches::new(server);
    unlanded.add(recovered.sealed.iter().chain(&recovered.unsealed).map(|seal| seal.batch_id));
    let unconfirmed = UnconfirmedBatches {
        unclean_boot: boot.is_unclean()?,
        landed: recovered.landed.clone(),
        sealed: recovered.sealed.iter().copied().collect(),
    };
    let reconciled = CancellationToken::new();
    let store = BatchStore {
        shards: BatchStore::shards(&shards),
        unlanded: unlanded.clone(),
        encoder,
        dead_letters,
        durability: durability.clone(),
        stats: Arc::clone(&stats),
    };
    let replayer = DeadLetterReplayer::new(store.clone());
    let mut shard_choice = ShardChoice::new(Arc::clone(&store.shards), replicas);
    let (copies, copies_task) =
        Copies::new(Arc::clone(&store.shards), shards.reader().clone(), processes_are_servers);
    #[cfg(feature = "kafka")]
    let weak_copies = copies.downgrade();
    let inserter = Inserter {
        store: store.clone(),
        journal: journal.clone(),
        schema_pending,
        reconciled: reconciled.clone(),
        reader: shards.reader().clone(),
        copies,
    };
    let max_bytes = journal.stats().max_bytes;
    let settings = StateSettings {
        limits: batch_limits(&config),
        inserts_in_flight: config.inserts_in_flight(),
        producer_idle_timeout: Duration::from_secs(config.producer_idle_hours * 3_600),
        snapshot_interval_bytes: (MIN_SNAPSHOT_INTERVAL_BYTES, max_bytes / MIN_SNAPSHOTS_PER_JOURNAL),
        snapshot_part_bytes: SNAPSHOT_PART_BYTES,
        new_batch_id: {
            let unlanded = unlanded.clone();
            Box::new(move || unlanded.new_id())
        },
        choose_shard: Box::new(move || shard_choice.next()),
        feed,
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
        producer_queries: ProducerQueries::default(),
        required_bytes: None,
    };
    let writer = Writer {
        submissions: submission_tx,
        producer_queries: producer_query_tx,
        memory,
        inserts_in_flight: config.inserts_in_flight() as u64,
        stats,
        unlanded,
        reconciled: reconciled.clone(),
        #[cfg(feature = "kafka")]
        store,
        #[cfg(feature = "kafka")]
        copies: weak_copies,
    };
    let mut tasks = JoinSet::new();
    // Ends when `stop` is cancelled and everything has landed.
    tasks.spawn(task.run(submissions, producer_queries, inserter_events, stop.clone()));
    // Ends when the writer's task has ended, which holds the batch sender.
    tasks.spawn(inserter.run(unconfirmed, batches, inserter_event_tx));
    // Ends with the inserter.
    if let Some(task) = copies_task {
        tasks.spawn(task.run());
    }
    // Ends when `stop` is cancelled.
    tasks.spawn(replayer.run(reconciled, stop));
    Ok((writer, tokio::spawn(join_all(tasks))))
}

/// Waits for all tasks. When one panics, aborts and joins the others, then continues its panic.
async fn join_all(mut tasks: JoinSet<()>) {
    while let Some(result) = tasks.join_next().await {
        if let Err(error) = result {
            tasks.shutdown().await;
            // Nothing but this function aborts the tasks.
            std::panic::resume_unwind(error.into_panic());
        }
    }
}

/// A running checkpoint. The writer's task polls it, so that it ends with the task.
struct Checkpoint {
    /// The number of landed batches that it covers.
    landed_count: u64,
    sync: Pin<Box<dyn Future<Output = io::Result<()>> + Send>>,
}

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
    checkpoint: Option<Checkpoint>,
    /// When the last checkpoint was started.
    last_checkpoint: Instant,
    /// A stream request for which the journal has no space. Nothing else is admitted while it waits.
    deferred: Option<DeferredRequest<AckSender>>,
    /// Stream requests that wait behind the deferred one, in order.
    queued: VecDeque<Submission>,
    producer_queries: ProducerQueries,
    /// The record size of the last request that did not fit; `None` once there is space for it.
    required_bytes: Option<usize>,
}

/// The journal, with the appends that are not durable yet.
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

    /// The outcome of the oldest append; pending while there is none. Cancel safe: the append is only removed when it
    /// completes.
    async fn next_completed(&mut self) -> Result<(), JournalError> {
        let Some(append) = self.pending_appends.front_mut() else {
            return std::future::pending().await;
        };
        let result = append.await;
        self.pending_appends.pop_front();
        result.map(|_| ())
    }
}

/// The keys and sequences of numbered requests that wait to be admitted.
fn waiting<'a>(
    deferred: Option<&'a DeferredRequest<AckSender>>,
    queued: &'a VecDeque<Submission>,
) -> Vec<(Cow<'a, str>, u64)> {
    let deferred = deferred.map(|deferred| &deferred.request);
    let requests = deferred.into_iter().chain(queued.iter().map(|submission| &submission.request));
    requests
        .filter(|request| !request.producer_id.is_empty())
        .map(|request| (producer_key(&request.project, &request.producer_id), request.sequence))
        .collect()
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
            self.answer_producer_queries();
            self.dispatch();
            self.stats.set_oldest_unlanded_ms(self.state.oldest_unlanded_ms());
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
                Some(query) = producer_queries.recv() => {
                    // After the requests that were submitted before: they change the answer.
                    while let Ok(submission) = submissions.try_recv() {
                        self.admit_or_queue(submission);
                    }
                    self.push_producer_query(query);
                }
                () = sleep_until(due) => self.state.seal_open_batch(Instant::now()),
                // With a new subscription, a batch may be due sooner.
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
            waiter.send(Err(super::Stopping.into()), &self.stats);
        }
        self.end_checkpoint().await;
        self.mark_clean().await;
        tracing::info!("writer drained: every accepted event is in ClickHouse or in a dead letter");
    }

    /// Marks the data folder as in use in this boot, once all batches of earlier processes are reconciled.
    async fn mark_in_use(&mut self) {
        if self.is_marked_in_use || !self.state.is_reconciled() {
            return;
        }
        let boot = self.boot.clone();
        match run_blocking(move || boot.mark_in_use()).await {
            Ok(()) => self.is_marked_in_use = true,
            Err(error) => {
                tracing::error!(%error, "cannot mark the data folder as in use; retrying")
            }
        }
    }

    /// Waits for a running sync, since its error is reported only once. A `Wait` checkpoint only sleeps and is dropped.
    async fn end_checkpoint(&mut self) {
        if self.checkpoint.is_some() && !self.durability.is_best_effort() {
            let result = join_checkpoint(&mut self.checkpoint).await;
            self.finish_checkpoint(result).await;
        }
        self.checkpoint = None;
    }

    /// Marks the data folder as cleanly left if all landed batches are durable: the next boot then reconciles nothing.
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
            tracing::warn!(%error, "cannot mark the data folder as cleanly left; the next boot reconciles");
        }
    }

    /// Sends the replies of the state, and counts them.
    fn send_replies(&mut self) {
        for (waiter, reply) in self.state.drain_replies() {
            if let Ok(ack) = reply {
                self.stats.count_accepted(ack.accepted);
                self.stats.count_duplicates(ack.duplicates);
            }
            waiter.send(reply, &self.stats);
        }
    }

    /// Answers a query once the requests that were submitted before are durable.
    fn push_producer_query(&mut self, query: ProducerQuery) {
        let waiting = waiting(self.deferred.as_ref(), &self.queued);
        let waiting = waiting.iter().map(|(key, sequence)| (&**key, *sequence));
        self.producer_queries.push(query, self.state.producers(), waiting);
    }

    fn answer_producer_queries(&mut self) {
        if self.producer_queries.is_empty() {
            return;
        }
        let waiting = waiting(self.deferred.as_ref(), &self.queued);
        let is_waiting = |key: &str| waiting.iter().any(|(waiting, _)| waiting == key);
        self.producer_queries.answer(self.state.producers(), is_waiting);
    }

    /// Admits a request. Behind a deferred request, a stream's request is queued and a unary request is rejected.
    fn admit_or_queue(&mut self, submission: Submission) {
        if self.deferred.is_none() {
            return self.admit(submission);
        }
        if submission.may_wait {
            self.queued.push_back(submission);
        } else {
            let full = self.stats.disk_full().unwrap_or_else(|| "the journal is behind".to_owned());
            submission.reply.send(Err(SubmitError::Busy(full)), &self.stats);
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
            let busy = SubmitError::Busy(deferred.error.to_string());
            deferred.waiter.send(Err(busy), &self.stats);
        }
    }

    /// Admits the deferred request and the queue behind it. If `space` is an error, the deferred request fails with it.
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
                    waiter.send(Err(SubmitError::Disk(error.to_string())), &self.stats);
                }
            }
        }
        while self.deferred.is_none()
            && let Some(submission) = self.queued.pop_front()
        {
            self.admit(submission);
        }
    }

    /// Records the space that the request needs. Health reports a full journal, but not a busy one, which ends with the next
    /// sync.
    fn note_deferral(&mut self, deferred: &DeferredRequest<AckSender>) {
        self.required_bytes = Some(deferred.record_bytes);
        if deferred.journal_is_full() {
            if self.stats.disk_full().is_none() {
                tracing::warn!(error = %deferred.error, "deferring requests");
            }
            self.stats.set_disk_full(Some(deferred.error.to_string()));
        }
    }

    /// Sends the next batches to the inserter, as many as may be in flight.
    fn dispatch(&mut self) {
        while let Some(batch) = self.state.next_insert() {
            self.batch_tx.try_send(batch).expect("the channel holds as many batches as may be in flight");
        }
    }

    /// When to seal the open batch: at once during a drain.
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
            // Accepting events now is worth more than surviving a power cut in the next two minutes.
            self.state.checkpoint_completed(landed_count, &mut self.log);
        } else if self.checkpoint.is_none() {
            let under_pressure = full || journal.disk_bytes > journal.max_bytes / 2;
            let interval =
                if under_pressure { CHECKPOINT_INTERVAL_UNDER_PRESSURE } else { CHECKPOINT_INTERVAL };
            if self.last_checkpoint.elapsed() >= interval {
                self.last_checkpoint = Instant::now();
                let sync = Box::pin(self.durability.clone().wait_until_durable());
                self.checkpoint = Some(Checkpoint { landed_count, sync });
            }
        }
    }

    async fn finish_checkpoint(&mut self, result: io::Result<u64>) {
        match result {
            Ok(landed_count) => self.state.checkpoint_completed(landed_count, &mut self.log),
            Err(error) => {
                tracing::error!(%error, "cannot sync ClickHouse's files; landed batches stay in the journal");
                self.stats.set_sync_error(error.to_string());
                self.state.sync_failed();
                let boot = self.boot.clone();
                if let Err(error) = run_blocking(move || boot.mark_unclean()).await {
                    tracing::error!(%error, "cannot mark the boot as unclean; the next start does not reconcile");
                }
            }
        }
    }
}

/// The outcome of the running checkpoint, with the number of batches that it covers; pending while there is none.
/// Cancel safe.
async fn join_checkpoint(running: &mut Option<Checkpoint>) -> io::Result<u64> {
    let Some(Checkpoint { landed_count, sync }) = running else {
        return std::future::pending().await;
    };
    let result = sync.await.map(|()| *landed_count);
    *running = None;
    result
}

/// Waits until the journal has space for a record of this size, and the disk budget is not exceeded.
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

/// Fails if journal and dead letters together exceed `MILLRACE_JOURNAL_MAX_BYTES`.
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

#[cfg(test)]
mod tests {
    use tokio::sync::oneshot;

    use super::*;

    #[tokio::test]
    async fn a_panic_in_one_task_aborts_and_joins_the_others() {
        let (guard, mut dropped) = oneshot::channel::<()>();
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let _guard = guard;
            std::future::pending().await
        });
        tasks.spawn(async { panic!("out of ideas") });
        let error = tokio::spawn(join_all(tasks)).await.unwrap_err();
        assert!(error.to_string().contains("out of ideas"), "{error}");
        assert_eq!(dropped.try_recv(), Err(oneshot::error::TryRecvError::Closed));
    }
}

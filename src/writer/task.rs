//! The task around the [`State`]: it owns the channels, the timers, and the records on their way to the disk.

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

use super::batch::Limits;
use super::boot::BootMark;
use super::checkpoint::Durability;
use super::dead_letter::DeadLetters;
use super::insert::{Done, Doubtful, Inserter, Inserting, blocking};
use super::producers::{MAX_FORGOTTEN, MAX_PRODUCERS};
use super::recent_ids::RecentIds;
use super::recover::Recovered;
use super::redrive::Redriver;
use super::state::{Batch, Held, Log, Settings, State};
use super::stats::Stats;
use super::{PlaceQuery, QUEUED_REQUESTS, Receipt, Submission, SubmitError, Writer};
use crate::clickhouse::ClickHouse;
use crate::config::WriterConfig;
use crate::journal::{Journal, JournalError, Lsn, PendingAppend};

/// How many records may wait for the disk. Beyond it requests are not taken; group commit has nothing more to gain.
const MAX_PENDING: usize = 4_096;
/// After so many bytes of events, at least, a snapshot is written, so that older records may go.
const SNAPSHOT_AFTER_BYTES: u64 = 32 << 20;
/// A snapshot is written at the latest after this part of the journal's bound.
const SNAPSHOT_AFTER_PART: u64 = 8;
/// How large a batch may get: about what a second brings at full speed, and small beside the memory's bound.
const MAX_BATCH_BYTES: u64 = 24 << 20;
/// How many events a batch may hold. ClickHouse makes one block of so many rows at most (`max_insert_block_size`).
const MAX_BATCH_EVENTS: u64 = 500_000;
/// How often a record that the journal did not take, and a request that it has no room for, are tried again.
const TRY_AGAIN: Duration = Duration::from_millis(250);
/// How often the task shows that it is alive, and looks whether a checkpoint is due.
const HEARTBEAT: Duration = Duration::from_millis(500);
/// A checkpoint begins so long after the one before, or sooner when half of the journal's bound is in use.
const CHECKPOINT_INTERVAL: Duration = Duration::from_secs(10);
const CROWDED_CHECKPOINT_INTERVAL: Duration = Duration::from_secs(2);
/// How much of a snapshot one journal record holds: far below what a segment takes.
const SNAPSHOT_PART_BYTES: usize = 8 << 20;
/// How many requests of streams may wait behind one that the journal has no room for. More are not received, so that flow
/// control slows their producers.
const MAX_BEHIND: usize = 64;

/// What a writer stands on.
pub struct Parts {
    /// Where batches go.
    pub clickhouse: ClickHouse,
    /// Where accepted events wait.
    pub journal: Journal,
    /// What the journal held at the start.
    pub recovered: Recovered,
    /// Where batches go that ClickHouse does not take.
    pub dead_letters: DeadLetters,
    /// When landed batches are safe from a power cut.
    pub durability: Durability,
    /// Whether there was one since the last use.
    pub boot: BootMark,
    /// How events become batches.
    pub config: WriterConfig,
    /// How often somebody sees what has landed; none while nobody looks.
    pub attention: watch::Receiver<Option<Duration>>,
    /// Ends the writer: it takes nothing more, and brings in what it has.
    pub stop: CancellationToken,
}

/// The bounds of a batch, as the configuration has them.
pub fn limits(config: &WriterConfig) -> Limits {
    Limits {
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
    const MARKS: u64 = 32 << 20;
    // A producer id has at most 128 bytes; beside it are its length, a sequence and a time.
    let producers = (MAX_PRODUCERS * (128 + 18) + MAX_FORGOTTEN * 8) as u64;
    MARKS + 2 * (producers + config.recent_event_ids * RecentIds::SNAPSHOT_BYTES)
}

/// Starts the writer. The handle's task ends once everything is in ClickHouse or set aside, after `stop`.
///
/// # Errors
/// When it cannot be told whether the machine went down since the last use.
pub async fn start(parts: Parts) -> io::Result<(Writer, JoinHandle<()>)> {
    let Parts { clickhouse, journal, recovered, dead_letters, durability, boot, config, attention, stop } =
        parts;
    let stats = Arc::new(Stats::default());
    let letters = dead_letters.clone();
    let swept = blocking(move || letters.load()).await;
    if swept.files > 0 {
        tracing::info!(files = swept.files, bytes = swept.bytes, "dead letters: what a crash left was swept");
    }
    let set_aside = dead_letters.summary();
    stats.set_dead_letter_bytes(set_aside.bytes);
    stats.count_found(recovered.events() + set_aside.events);
    stats.set_journal_damage(recovered.damage.clone());
    let memory_bytes = usize::try_from(config.max_buffer_bytes).unwrap_or(Semaphore::MAX_PERMITS);
    let memory = Arc::new(Semaphore::new(memory_bytes.min(Semaphore::MAX_PERMITS)));
    let (to_task, submissions) = mpsc::channel(QUEUED_REQUESTS);
    let (place_queries, places) = mpsc::channel(16);
    let (to_inserter, batches) = mpsc::channel(1);
    let (to_task_done, done) = mpsc::channel(4);
    let inserting = Inserting::default();
    let redriver = Redriver::new(
        clickhouse.clone(),
        dead_letters.clone(),
        durability.clone(),
        Arc::clone(&inserting),
        Arc::clone(&stats),
    );
    let doubtful = Doubtful {
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
        inserting,
        stats: Arc::clone(&stats),
        doubtful: Some(doubtful),
        reconciled: reconciled.clone(),
    };
    let max_bytes = journal.stats().max_bytes;
    let settings = Settings {
        limits: limits(&config),
        producer_idle: Duration::from_secs(config.producer_idle_hours * 3_600),
        snapshot_after_bytes: (SNAPSHOT_AFTER_BYTES, max_bytes / SNAPSHOT_AFTER_PART),
        snapshot_part_bytes: SNAPSHOT_PART_BYTES,
        new_batch_id: Box::new(Uuid::now_v7),
    };
    let task = Task {
        state: State::new(settings, recovered, Instant::now()),
        log: JournalLog { journal, stats: Arc::clone(&stats), appends: VecDeque::new() },
        stats: Arc::clone(&stats),
        attention,
        inserter: to_inserter,
        durability,
        boot,
        is_marked: false,
        checkpoint: None,
        last_checkpoint: Instant::now(),
        held: None,
        behind: VecDeque::new(),
        wanted_bytes: None,
    };
    let writer = Writer { submissions: to_task, places: place_queries, memory, stats };
    let handle = tokio::spawn(async move {
        let mut redriving = tokio::spawn(redriver.run(reconciled, stop.clone()));
        let mut inserting = tokio::spawn(inserter.run(batches, to_task_done));
        // A part that ends early ends the whole: what it should do would never be done, and nobody would notice.
        let mut running = std::pin::pin!(task.run(submissions, places, done, stop.clone()));
        tokio::select! {
            () = &mut running => {}
            ended = &mut inserting => panic!("the inserter ended early: {ended:?}"),
            ended = &mut redriving => {
                assert!(stop.is_cancelled(), "the redriver ended early: {ended:?}");
                ended.expect("the redriver does not panic");
                running.await;
                return inserting.await.expect("the inserter does not panic");
            }
        }
        // Both end on their own: the task held the last sender, and `stop` is cancelled.
        for ended in [inserting.await, redriving.await] {
            ended.expect("the writer's tasks do not panic");
        }
    });
    Ok((writer, handle))
}

type Ticket = oneshot::Sender<Result<Receipt, SubmitError>>;

struct Task {
    state: State<Ticket>,
    log: JournalLog,
    stats: Arc<Stats>,
    attention: watch::Receiver<Option<Duration>>,
    inserter: mpsc::Sender<Batch>,
    durability: Durability,
    boot: BootMark,
    /// Whether the data folder is marked as in use in this boot.
    is_marked: bool,
    /// The checkpoint under way, with the number of landed batches that it covers.
    checkpoint: Option<(u64, JoinHandle<io::Result<()>>)>,
    last_checkpoint: Instant,
    /// A request of a stream that the journal has no room for. Nothing else is admitted while it waits.
    held: Option<Held<Ticket>>,
    /// Requests of streams that wait behind it, in order.
    behind: VecDeque<Submission>,
    /// What the last request wanted for which there was no room; none once there is.
    wanted_bytes: Option<usize>,
}

/// The journal as the state sees it, and the records that are on their way to the disk.
struct JournalLog {
    journal: Journal,
    stats: Arc<Stats>,
    appends: VecDeque<PendingAppend>,
}

impl Log for JournalLog {
    fn append(&mut self, kind: u8, payload: Vec<u8>) -> Result<Lsn, JournalError> {
        dead_letters_fit(&self.journal, &self.stats)?;
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
        self.appends.push_back(append);
        lsn
    }

    /// The outcome of the oldest append. It stays the oldest until then, so this may be cancelled.
    async fn written(&mut self) -> Result<(), JournalError> {
        let Some(append) = self.appends.front_mut() else {
            return std::future::pending().await;
        };
        let result = append.await;
        self.appends.pop_front();
        result.map(|_| ())
    }
}

impl Task {
    async fn run(
        mut self,
        mut submissions: mpsc::Receiver<Submission>,
        mut places: mpsc::Receiver<PlaceQuery>,
        mut done: mpsc::Receiver<Done>,
        stop: CancellationToken,
    ) {
        let (mut draining, mut no_more) = (false, false);
        let journal = self.log.journal.clone();
        self.state.expire_producers(now_ms());
        let mut heartbeat = tokio::time::interval(HEARTBEAT);
        heartbeat.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            self.stats.beat();
            let flushed = self.state.flush(Instant::now(), now_ms(), &mut self.log);
            self.reply();
            self.dispatch();
            if draining && self.state.is_drained() {
                break;
            }
            let due = self.due_at(draining);
            let taking = !no_more && self.behind.len() < MAX_BEHIND && self.state.pending() < MAX_PENDING;
            tokio::select! {
                biased;
                () = stop.cancelled(), if !draining => {
                    submissions.close();
                    draining = true;
                }
                _ = heartbeat.tick() => {
                    self.mark_in_use().await;
                    self.checkpoint_if_due();
                }
                result = checkpoint_ended(&mut self.checkpoint) => self.checkpoint_ended(result).await,
                result = self.log.written() => self.state.written(result, Instant::now(), &mut self.log),
                Some(done) = done.recv() => match done {
                    Done::Reconciled => {
                        self.state.reconciled();
                        self.mark_in_use().await;
                    }
                    Done::Landed => self.state.landed(),
                },
                Some((producer_id, reply)) = places.recv() => {
                    // A caller that does not wait any more needs no answer.
                    reply.send(self.state.producers().place(&producer_id)).ok();
                }
                () = sleep_until(due) => self.state.seal_open(Instant::now()),
                // Somebody came to look, and a batch may be due sooner.
                Ok(()) = self.attention.changed() => {}
                room = room(&journal, &self.stats, self.wanted_bytes), if self.wanted_bytes.is_some() => {
                    self.wanted_bytes = None;
                    self.stats.set_disk_full(None);
                    self.submit_held(room);
                }
                () = tokio::time::sleep(TRY_AGAIN), if !flushed => {}
                next = submissions.recv(), if taking => match next {
                    Some(submission) => self.submit(submission),
                    None => (draining, no_more) = (true, true),
                },
            }
        }
        let behind = self.behind.drain(..).map(|submission| submission.reply);
        for ticket in self.held.take().map(|held| held.ticket).into_iter().chain(behind) {
            ticket.send(Err(super::Stopping.into())).ok();
        }
        self.mark_clean().await;
        tracing::info!("everything that was accepted is in ClickHouse or set aside");
    }

    /// Marks the data folder as in use in this boot, as soon as nothing of before is doubtful any more.
    async fn mark_in_use(&mut self) {
        if self.is_marked || !self.state.is_reconciled() {
            return;
        }
        let boot = self.boot.clone();
        match blocking(move || boot.set_in_use()).await {
            Ok(()) => self.is_marked = true,
            Err(error) => {
                tracing::error!(%error, "the data folder cannot be marked as in use; it is tried again")
            }
        }
    }

    /// Everything has landed. Where it is safe as well, the next start has nothing to compare.
    async fn mark_clean(&mut self) {
        let synced = match self.durability.yields() {
            true => self.state.checkpoint_due().is_none(),
            false => self.stats.sync_error().is_none() && self.durability.sync().await.is_ok(),
        };
        if !synced || !self.is_marked {
            return;
        }
        let boot = self.boot.clone();
        if let Err(error) = blocking(move || boot.set_clean()).await {
            tracing::warn!(%error, "the data folder cannot be marked as cleanly left; the next boot compares");
        }
    }

    /// Sends what the state has decided to those who wait for it, and counts it.
    fn reply(&mut self) {
        for (ticket, reply) in self.state.take_replies() {
            if let Ok(receipt) = reply {
                self.stats.count_accepted(receipt.accepted);
                self.stats.count_duplicates(receipt.duplicates);
            }
            // A caller that went away does not need to know.
            ticket.send(reply).ok();
        }
    }

    /// Admits a request, or lets it wait its turn behind the one that is held back.
    fn submit(&mut self, submission: Submission) {
        if self.held.is_none() {
            return self.admit(submission);
        }
        if submission.may_wait {
            self.behind.push_back(submission);
        } else {
            let full = self.stats.disk_full().unwrap_or_else(|| "the journal is behind".to_owned());
            submission.reply.send(Err(SubmitError::Busy(full))).ok();
        }
    }

    fn admit(&mut self, submission: Submission) {
        let Submission { request, may_wait, share, reply } = submission;
        let Some(held) = self.state.submit(request, Some(share), reply, &mut self.log) else {
            return;
        };
        self.wait_for_room(&held);
        if may_wait {
            self.held = Some(held);
        } else {
            held.ticket.send(Err(SubmitError::Busy(held.error.to_string()))).ok();
        }
    }

    /// There is room again for the request that is held back, or there is no use in waiting.
    fn submit_held(&mut self, room: Result<(), JournalError>) {
        if let Some(Held { request, share, ticket, .. }) = self.held.take() {
            match room {
                Ok(()) => {
                    if let Some(held) = self.state.submit(request, share, ticket, &mut self.log) {
                        self.wait_for_room(&held);
                        self.held = Some(held);
                    }
                }
                Err(error) => {
                    ticket.send(Err(SubmitError::Disk(error.to_string()))).ok();
                }
            }
        }
        while self.held.is_none()
            && let Some(submission) = self.behind.pop_front()
        {
            self.admit(submission);
        }
    }

    /// Only a full disk shows in health: that the journal is behind is over with its next sync.
    fn wait_for_room(&mut self, held: &Held<Ticket>) {
        self.wanted_bytes = Some(held.record_bytes);
        if held.journal_is_full() {
            if self.stats.disk_full().is_none() {
                tracing::warn!(error = %held.error, "requests are held back");
            }
            self.stats.set_disk_full(Some(held.error.to_string()));
        }
    }

    /// Gives the inserter the next batch if it has none.
    fn dispatch(&mut self) {
        if let Some(batch) = self.state.next_insert() {
            self.inserter.try_send(batch).expect("the inserter has room for one batch and has none");
        }
    }

    fn due_at(&self, draining: bool) -> Option<Instant> {
        let due = self.state.due_at(*self.attention.borrow())?;
        Some(if draining { Instant::now() } else { due })
    }

    fn checkpoint_if_due(&mut self) {
        let journal = self.log.journal.stats();
        let full = self.stats.disk_full().is_some() || !journal.durable;
        if full {
            self.state.make_room();
        }
        let Some(landed_count) = self.state.checkpoint_due() else {
            return;
        };
        if self.durability.yields() && full {
            // Events that can be taken now count for more than a power cut in the next minutes.
            self.state.checkpointed(landed_count, &mut self.log);
        } else if self.checkpoint.is_none() {
            let crowded = full || journal.disk_bytes > journal.max_bytes / 2;
            let interval = if crowded { CROWDED_CHECKPOINT_INTERVAL } else { CHECKPOINT_INTERVAL };
            if self.last_checkpoint.elapsed() >= interval {
                self.last_checkpoint = Instant::now();
                self.checkpoint = Some((landed_count, tokio::spawn(self.durability.clone().wait())));
            }
        }
    }

    async fn checkpoint_ended(&mut self, result: io::Result<u64>) {
        match result {
            Ok(landed_count) => self.state.checkpointed(landed_count, &mut self.log),
            Err(error) => {
                tracing::error!(%error, "ClickHouse's files could not be synced; landed batches stay in the journal");
                self.stats.set_sync_error(error.to_string());
                self.state.sync_failed();
                let boot = self.boot.clone();
                if let Err(error) = blocking(move || boot.set_unclean()).await {
                    tracing::error!(%error, "the next start cannot be told to compare");
                }
            }
        }
    }
}

/// The end of the checkpoint under way, with what it covers.
async fn checkpoint_ended(checkpoint: &mut Option<(u64, JoinHandle<io::Result<()>>)>) -> io::Result<u64> {
    let Some((landed_count, running)) = checkpoint else {
        return std::future::pending().await;
    };
    let (landed_count, ended) = (*landed_count, running.await);
    *checkpoint = None;
    ended.map_err(io::Error::other)?.map(|()| landed_count)
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

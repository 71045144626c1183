//! The queue between callers and the journal thread: LSNs, limits, and admission.
//!
//! [`AppendQueue`] is the state and its rules, synchronous and without files. [`SharedQueue`] adds the lock, the condition
//! variable that wakes the thread, and the stats that wake callers.

use std::future::Future;
use std::mem;
use std::pin::Pin;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::task::{Context, Poll, ready};
use std::time::Instant;

use tokio::sync::{oneshot, watch};

use super::config::JournalConfig;
use super::entry::Lsn;
use super::error::JournalError;
use super::frame::Payload;
use super::segment::{FaultInjector, MARK_BYTES};
use crate::counters::Histogram;

/// The state of the journal, published by the journal thread.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct JournalStats {
    /// Size of all segments on disk, without preallocated space.
    pub disk_bytes: u64,
    /// [`JournalConfig::max_bytes`].
    pub max_bytes: u64,
    /// Number of segment files.
    pub segments: usize,
    /// The lowest LSN that may be on disk. Records from here on may already be released.
    pub first_lsn: Lsn,
    /// The last durable record; 0 before the first one.
    pub durable_lsn: Lsn,
    /// Whether [`super::Journal::submit`] can make records durable. False while the disk fails or is full, and after the
    /// journal was closed.
    pub durable: bool,
    /// The last error. Kept after recovery.
    pub last_error: Option<String>,
}

/// Records in LSN order, and the senders that complete their [`PendingAppend`]s.
#[derive(Debug, Default)]
pub(super) struct CommitGroup {
    pub(super) records: Vec<(Lsn, Payload)>,
    completions: Vec<oneshot::Sender<Result<(), JournalError>>>,
}

impl CommitGroup {
    /// How many of the first records fit into `free_bytes`, together with a mark.
    pub(super) fn count_fitting(&self, free_bytes: u64) -> usize {
        let mut remaining_bytes = free_bytes.saturating_sub(MARK_BYTES);
        let fits = |(_, payload): &&(Lsn, Payload)| match remaining_bytes.checked_sub(payload.frame_bytes()) {
            Some(rest) => {
                remaining_bytes = rest;
                true
            }
            None => false,
        };
        self.records.iter().take_while(fits).count()
    }

    /// Completes and removes the first `count` records.
    pub(super) fn complete(&mut self, count: usize, outcome: &Result<(), JournalError>) {
        self.records.drain(..count);
        for completion in self.completions.drain(..count) {
            // The receiver is gone if the caller has dropped its PendingAppend.
            drop(completion.send(outcome.clone()));
        }
    }
}

/// Which appends are accepted. See "When the disk fails" in mod.rs.
#[derive(Debug)]
enum QueueState {
    Open,
    /// Only reserved ones: the disk has no space for a full-size segment.
    ReservedOnly(JournalError),
    Failed(JournalError),
    Closed,
}

/// Shared by all appends between two failures, each until its caller has observed the outcome. Its strong count shows
/// whether appends may be accepted again after a failure. See "When the disk fails" in mod.rs.
pub(super) type Generation = Arc<()>;

/// The state that callers and the journal thread share.
#[derive(Debug)]
pub(super) struct AppendQueue {
    config: JournalConfig,
    state: QueueState,
    next_lsn: Lsn,
    group: CommitGroup,
    /// Size of the frames that are queued or being written.
    queued_bytes: u64,
    disk_bytes: u64,
    /// Maximum size on disk for reserved appends.
    max_reserved_bytes: u64,
    release_lsn: Lsn,
    generation: Generation,
}

/// Which limits apply to an append: only reserved ones may use `reserve_bytes`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AppendClass {
    Normal,
    Reserved,
}

/// What the journal thread was woken for.
#[derive(Debug)]
pub(super) struct AppenderWork {
    pub(super) group: CommitGroup,
    pub(super) release_lsn: Lsn,
    pub(super) closing: bool,
}

impl AppendQueue {
    /// `disk_bytes` may be above `max_bytes`, if that was larger before the restart. Reserved appends must be accepted even
    /// then, since nothing could be released without them.
    pub(super) fn new(config: JournalConfig, next_lsn: Lsn, disk_bytes: u64) -> Self {
        Self {
            config,
            max_reserved_bytes: config.max_bytes.max(disk_bytes.saturating_add(config.reserve_bytes)),
            state: QueueState::Open,
            next_lsn,
            group: CommitGroup::default(),
            queued_bytes: 0,
            disk_bytes,
            release_lsn: 0,
            generation: Generation::default(),
        }
    }

    /// Whether a frame of this size would be accepted now.
    fn check_admission(&self, frame_bytes: u64, class: AppendClass) -> Result<(), JournalError> {
        match &self.state {
            QueueState::Open => {}
            QueueState::ReservedOnly(_) if class == AppendClass::Reserved => {}
            QueueState::ReservedOnly(cause) | QueueState::Failed(cause) => return Err(cause.clone()),
            QueueState::Closed => return Err(JournalError::Closed),
        }
        let (max_bytes, max_queued) = match class {
            AppendClass::Normal => {
                (self.config.max_bytes - self.config.reserve_bytes, self.config.queue_bytes)
            }
            AppendClass::Reserved => {
                (self.max_reserved_bytes, self.config.queue_bytes + self.config.reserve_bytes)
            }
        };
        let used_bytes = self.disk_bytes + self.queued_bytes;
        if used_bytes + frame_bytes > max_bytes {
            return Err(JournalError::Full { used_bytes, max_bytes });
        }
        // An empty queue accepts a frame that is larger than the limit.
        if self.queued_bytes > 0 && self.queued_bytes + frame_bytes > max_queued {
            return Err(JournalError::Busy { queued_bytes: self.queued_bytes, max_bytes: max_queued });
        }
        Ok(())
    }

    fn enqueue(&mut self, payload: Payload) -> PendingAppend {
        let lsn = self.next_lsn;
        let (completion, outcome) = oneshot::channel();
        self.next_lsn += 1;
        self.queued_bytes += payload.frame_bytes();
        self.group.records.push((lsn, payload));
        self.group.completions.push(completion);
        PendingAppend { lsn, outcome, unobserved: Some(Arc::clone(&self.generation)) }
    }

    /// These queued bytes are durable, and the segments now have `disk_bytes`.
    pub(super) fn mark_written(&mut self, frame_bytes: u64, disk_bytes: u64) {
        self.queued_bytes -= frame_bytes;
        self.disk_bytes = disk_bytes;
    }

    pub(super) fn set_disk_bytes(&mut self, disk_bytes: u64) {
        self.disk_bytes = disk_bytes;
    }

    /// Rejects appends with `cause`. Returns the queued appends, which must fail as well since an earlier one has failed,
    /// and the generation that must be observed completely before appends are accepted again.
    pub(super) fn fail(&mut self, cause: JournalError) -> (CommitGroup, Generation) {
        if !matches!(self.state, QueueState::Closed) {
            self.state = QueueState::Failed(cause);
        }
        self.queued_bytes = 0;
        (mem::take(&mut self.group), mem::take(&mut self.generation))
    }

    /// Replaces the cause with which appends are rejected.
    pub(super) fn update_failure(&mut self, cause: JournalError) {
        if matches!(self.state, QueueState::Failed(_)) {
            self.state = QueueState::Failed(cause);
        }
    }

    /// Accepts reserved appends, and rejects others with `cause`.
    pub(super) fn open_reserved_only(&mut self, cause: JournalError) {
        if matches!(self.state, QueueState::Failed(_) | QueueState::ReservedOnly(_)) {
            self.state = QueueState::ReservedOnly(cause);
        }
    }

    pub(super) fn reopen(&mut self) {
        if matches!(self.state, QueueState::Failed(_) | QueueState::ReservedOnly(_)) {
            self.state = QueueState::Open;
        }
    }

    /// Skips an LSN, and returns the next one: the unique name of a new segment, even if the segments before it are empty.
    pub(super) fn skip_lsn(&mut self) -> Lsn {
        self.next_lsn += 1;
        self.next_lsn
    }
}

/// The queue with its lock and its signals.
#[derive(Debug)]
pub(super) struct SharedQueue {
    // A std mutex is enough: it is held for a few assignments, never across an await or a file operation.
    queue: Mutex<AppendQueue>,
    wake: Condvar,
    pub(super) stats: watch::Sender<JournalStats>,
    pub(super) faults: FaultInjector,
    /// Write and sync of a group of records.
    pub(super) commit_latency: Histogram,
}

impl SharedQueue {
    pub(super) fn new(queue: AppendQueue) -> Self {
        let stats = watch::Sender::new(JournalStats::default());
        Self {
            queue: Mutex::new(queue),
            wake: Condvar::new(),
            stats,
            faults: FaultInjector::default(),
            commit_latency: Histogram::default(),
        }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, AppendQueue> {
        self.queue.lock().expect("no code that holds this lock panics")
    }

    /// Queues the payload under the next LSN, or returns it with the reason.
    pub(super) fn submit(
        &self,
        payload: Payload,
        class: AppendClass,
    ) -> Result<PendingAppend, (JournalError, Payload)> {
        let mut queue = self.lock();
        match queue.check_admission(payload.frame_bytes(), class) {
            Ok(()) => {
                let pending = queue.enqueue(payload);
                drop(queue);
                self.wake.notify_one();
                Ok(pending)
            }
            Err(error) => Err((error, payload)),
        }
    }

    pub(super) fn check_admission(&self, frame_bytes: u64) -> Result<(), JournalError> {
        self.lock().check_admission(frame_bytes, AppendClass::Normal)
    }

    pub(super) fn release(&self, up_to: Lsn) {
        let mut queue = self.lock();
        queue.release_lsn = queue.release_lsn.max(up_to);
        drop(queue);
        self.wake.notify_one();
    }

    /// Rejects further appends. Queued ones are still written.
    pub(super) fn close(&self) {
        self.lock().state = QueueState::Closed;
        self.wake.notify_one();
    }

    /// Blocks until there are appends, a release above `released_lsn`, a close, or `wake_at` is reached.
    pub(super) fn wait_for_work(&self, released_lsn: Lsn, wake_at: Option<Instant>) -> AppenderWork {
        let mut queue = self.lock();
        loop {
            let closing = matches!(queue.state, QueueState::Closed);
            let now = Instant::now();
            if closing
                || !queue.group.records.is_empty()
                || queue.release_lsn > released_lsn
                || wake_at.is_some_and(|at| at <= now)
            {
                return AppenderWork {
                    group: mem::take(&mut queue.group),
                    release_lsn: queue.release_lsn,
                    closing,
                };
            }
            let woken = match wake_at {
                Some(at) => self.wake.wait_timeout(queue, at - now).map(|(queue, _)| queue).ok(),
                None => self.wake.wait(queue).ok(),
            };
            queue = woken.expect("no code that holds this lock panics");
        }
    }
}

/// An append that has an LSN and may not be durable yet. Resolves to the LSN when it is durable.
///
/// After an error the record will not become durable, nor will any record that was submitted after it until then.
/// Dropping the future does not cancel the append; the outcome is then unknown.
#[derive(Debug)]
#[must_use = "the record is durable only when this resolves"]
pub struct PendingAppend {
    lsn: Lsn,
    outcome: oneshot::Receiver<Result<(), JournalError>>,
    unobserved: Option<Generation>,
}

impl PendingAppend {
    /// The record's LSN, assigned at submit.
    #[must_use]
    pub fn lsn(&self) -> Lsn {
        self.lsn
    }
}

impl Future for PendingAppend {
    type Output = Result<Lsn, JournalError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        // The thread completes every append unless it panics.
        let outcome = ready!(Pin::new(&mut self.outcome).poll(cx)).unwrap_or(Err(JournalError::Panicked));
        self.unobserved = None;
        Poll::Ready(outcome.map(|()| self.lsn))
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::super::frame::HEADER_BYTES;
    use super::*;

    const CONFIG: JournalConfig =
        JournalConfig { segment_bytes: 10_000, max_bytes: 30_000, reserve_bytes: 2_000, queue_bytes: 3_000 };

    /// A payload whose frame has this length.
    fn payload(frame_bytes: usize) -> Payload {
        Payload::new(0, vec![Bytes::from(vec![0; frame_bytes - HEADER_BYTES])], frame_bytes).unwrap()
    }

    fn disk_error() -> JournalError {
        JournalError::disk("x".as_ref(), std::io::ErrorKind::StorageFull.into())
    }

    #[test]
    fn lsns_follow_the_order_of_submits() {
        let mut queue = AppendQueue::new(CONFIG, 7, 0);
        let lsns = [
            queue.enqueue(payload(50)).lsn(),
            queue.enqueue(payload(50)).lsn(),
            queue.enqueue(payload(50)).lsn(),
        ];
        assert_eq!(lsns, [7, 8, 9]);
        assert_eq!(queue.group.records.iter().map(|(lsn, _)| *lsn).collect::<Vec<_>>(), lsns);
        assert_eq!(queue.queued_bytes, 150);
    }

    #[test]
    fn queue_memory_is_bounded_with_extra_capacity_for_reserved_records() {
        let mut queue = AppendQueue::new(CONFIG, 1, 0);
        let pending = queue.enqueue(payload(2_500));
        assert!(queue.check_admission(500, AppendClass::Normal).is_ok());
        assert!(matches!(
            queue.check_admission(501, AppendClass::Normal),
            Err(JournalError::Busy { queued_bytes: 2_500, max_bytes: 3_000 })
        ));
        assert!(queue.check_admission(2_500, AppendClass::Reserved).is_ok());
        assert!(matches!(
            queue.check_admission(2_501, AppendClass::Reserved),
            Err(JournalError::Busy { .. })
        ));
        queue.mark_written(2_500, 2_500);
        assert!(
            queue.check_admission(9_000, AppendClass::Normal).is_ok(),
            "an empty queue accepts a frame above the limit"
        );
        drop(pending);
    }

    #[test]
    fn the_disk_limit_includes_queued_bytes_and_keeps_the_reserve_for_reserved_records() {
        let mut queue = AppendQueue::new(CONFIG, 1, 0);
        queue.set_disk_bytes(27_000);
        let pending = queue.enqueue(payload(500));
        assert!(queue.check_admission(500, AppendClass::Normal).is_ok());
        assert!(matches!(
            queue.check_admission(501, AppendClass::Normal),
            Err(JournalError::Full { used_bytes: 27_500, max_bytes: 28_000 })
        ));
        assert!(queue.check_admission(2_500, AppendClass::Reserved).is_ok());
        assert!(matches!(
            queue.check_admission(2_501, AppendClass::Reserved),
            Err(JournalError::Full { .. })
        ));
        drop(pending);
    }

    #[test]
    fn a_failed_queue_rejects_with_the_cause_and_does_not_reuse_lsns() {
        let mut queue = AppendQueue::new(CONFIG, 1, 0);
        let failed = [queue.enqueue(payload(50)), queue.enqueue(payload(50))];
        let (group, generation) = queue.fail(disk_error());
        assert_eq!((group.records.len(), queue.queued_bytes), (2, 0));
        assert!(matches!(queue.check_admission(50, AppendClass::Reserved), Err(JournalError::Disk { .. })));
        assert_eq!(Arc::strong_count(&generation), 1 + failed.len());
        drop(failed);
        assert_eq!(Arc::strong_count(&generation), 1);
        assert_eq!(queue.skip_lsn(), 4);
        queue.reopen();
        assert_eq!(queue.enqueue(payload(50)).lsn(), 4);
    }

    #[test]
    fn without_space_for_a_full_segment_only_reserved_appends_are_accepted() {
        let mut queue = AppendQueue::new(CONFIG, 1, 0);
        queue.open_reserved_only(disk_error());
        assert!(queue.check_admission(50, AppendClass::Normal).is_ok(), "an open queue stays open");
        queue.fail(disk_error());
        queue.open_reserved_only(disk_error());
        assert!(matches!(queue.check_admission(50, AppendClass::Normal), Err(JournalError::Disk { .. })));
        assert!(queue.check_admission(50, AppendClass::Reserved).is_ok());
        queue.fail(disk_error());
        assert!(matches!(queue.check_admission(50, AppendClass::Reserved), Err(JournalError::Disk { .. })));
        queue.open_reserved_only(disk_error());
        queue.reopen();
        assert!(queue.check_admission(50, AppendClass::Normal).is_ok());
    }

    #[test]
    fn reserved_appends_keep_their_reserve_after_the_limit_was_lowered() {
        let queue = AppendQueue::new(CONFIG, 1, 90_000);
        assert!(matches!(
            queue.check_admission(50, AppendClass::Normal),
            Err(JournalError::Full { used_bytes: 90_000, max_bytes: 28_000 })
        ));
        assert!(queue.check_admission(2_000, AppendClass::Reserved).is_ok());
        assert!(matches!(
            queue.check_admission(2_001, AppendClass::Reserved),
            Err(JournalError::Full { .. })
        ));
    }

    #[test]
    fn a_closed_queue_stays_closed() {
        let mut queue = AppendQueue::new(CONFIG, 1, 0);
        queue.state = QueueState::Closed;
        queue.fail(disk_error());
        queue.update_failure(disk_error());
        queue.open_reserved_only(disk_error());
        queue.reopen();
        assert!(matches!(queue.check_admission(50, AppendClass::Reserved), Err(JournalError::Closed)));
    }

    #[test]
    fn a_commit_group_is_split_at_the_end_of_the_segment() {
        let mut queue = AppendQueue::new(CONFIG, 1, 0);
        let pending: Vec<_> = (0..3).map(|_| queue.enqueue(payload(100))).collect();
        let (mut group, _) = queue.fail(disk_error());
        assert_eq!(group.count_fitting(300 + MARK_BYTES), 3);
        assert_eq!(group.count_fitting(299 + MARK_BYTES), 2);
        assert_eq!(group.count_fitting(99), 0);
        group.complete(2, &Ok(()));
        assert_eq!(group.records.iter().map(|(lsn, _)| *lsn).collect::<Vec<_>>(), [3]);
        drop(pending);
    }
}

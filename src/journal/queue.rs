//! Between the callers and the thread: the order of appends, the bounds, and whether appends are taken at all.
//!
//! [`AppendQueue`] is the state and its rules, synchronous and without files; [`SharedQueue`] is its lock and its two signals.

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

/// How the journal is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct JournalStats {
    /// In segments on disk.
    pub disk_bytes: u64,
    /// The configured bound on that.
    pub max_bytes: u64,
    /// Segment files.
    pub segments: usize,
    /// Nothing before this is on disk. What is there from it on may be partly released.
    pub first_lsn: Lsn,
    /// The last record that is durable; 0 before the first.
    pub durable_lsn: Lsn,
    /// Whether all appends can be made durable now. False while the disk fails or lacks space, and once closed.
    pub durable: bool,
    /// What last failed, also when it is over.
    pub last_error: Option<String>,
}

/// Records in the order of their LSNs, and whom to tell once they are durable.
#[derive(Debug, Default)]
pub(super) struct CommitGroup {
    pub(super) records: Vec<(Lsn, Payload)>,
    completions: Vec<oneshot::Sender<Result<(), JournalError>>>,
}

impl CommitGroup {
    /// How many of the first records fit into a segment with this much room, beside the mark that follows them.
    pub(super) fn count_fitting(&self, free_bytes: u64) -> usize {
        let mut left = free_bytes.saturating_sub(MARK_BYTES);
        let fits = |(_, payload): &&(Lsn, Payload)| match left.checked_sub(payload.frame_bytes()) {
            Some(rest) => {
                left = rest;
                true
            }
            None => false,
        };
        self.records.iter().take_while(fits).count()
    }

    /// Tells the callers of the first `count` records, and forgets these.
    pub(super) fn complete(&mut self, count: usize, outcome: &Result<(), JournalError>) {
        self.records.drain(..count);
        for completion in self.completions.drain(..count) {
            // A caller that no longer waits does not need to know.
            drop(completion.send(outcome.clone()));
        }
    }
}

/// Whether appends are taken.
#[derive(Debug)]
enum QueueState {
    Open,
    /// Only reserved appends are taken: the disk has no space for a whole segment.
    ReservedOnly(JournalError),
    Failed(JournalError),
    Closed,
}

/// Held by every append whose outcome its caller has not seen. See "When the disk fails" in mod.rs.
pub(super) type Generation = Arc<()>;

/// What the callers and the thread share.
#[derive(Debug)]
pub(super) struct AppendQueue {
    config: JournalConfig,
    state: QueueState,
    next_lsn: Lsn,
    group: CommitGroup,
    /// Frames queued or being written.
    queued_bytes: u64,
    disk_bytes: u64,
    /// The bound for reserved appends.
    max_reserved_bytes: u64,
    release_lsn: Lsn,
    generation: Generation,
}

/// Which part of the bounds an append may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AppendClass {
    Normal,
    Reserved,
}

/// What the thread is woken for.
#[derive(Debug)]
pub(super) struct AppenderWork {
    pub(super) group: CommitGroup,
    pub(super) release_lsn: Lsn,
    pub(super) closing: bool,
}

impl AppendQueue {
    /// For a journal that was found with `disk_bytes`. These may be more than its bound, which was larger then: reserved
    /// appends must be taken all the same, since without these nothing would ever be released.
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

    /// Whether a frame of this size is taken now.
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
        // One that is larger than the bound goes alone.
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

    /// The thread has brought these bytes to disk, which now holds `disk_bytes`.
    pub(super) fn mark_written(&mut self, frame_bytes: u64, disk_bytes: u64) {
        self.queued_bytes -= frame_bytes;
        self.disk_bytes = disk_bytes;
    }

    pub(super) fn set_disk_bytes(&mut self, disk_bytes: u64) {
        self.disk_bytes = disk_bytes;
    }

    /// Takes no more appends. Returns those that were still queued, which fail for the same reason, since they were
    /// submitted after one that failed, and the generation that must have been seen before appends are taken again.
    pub(super) fn fail(&mut self, cause: JournalError) -> (CommitGroup, Generation) {
        if !matches!(self.state, QueueState::Closed) {
            self.state = QueueState::Failed(cause);
        }
        self.queued_bytes = 0;
        (mem::take(&mut self.group), mem::take(&mut self.generation))
    }

    /// Appends are still refused, now for this.
    pub(super) fn update_failure(&mut self, cause: JournalError) {
        if matches!(self.state, QueueState::Failed(_)) {
            self.state = QueueState::Failed(cause);
        }
    }

    /// Takes reserved appends, and refuses others for this.
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

    /// An LSN that names a new segment: one that no append and no other segment was given.
    pub(super) fn skip_lsn(&mut self) -> Lsn {
        self.next_lsn += 1;
        self.next_lsn
    }
}

/// The queue's lock and signals.
#[derive(Debug)]
pub(super) struct SharedQueue {
    // A std mutex: held for a few assignments, never across an await or a file operation.
    queue: Mutex<AppendQueue>,
    wake: Condvar,
    pub(super) stats: watch::Sender<JournalStats>,
    pub(super) faults: FaultInjector,
}

impl SharedQueue {
    pub(super) fn new(queue: AppendQueue) -> Self {
        let stats = watch::Sender::new(JournalStats::default());
        Self { queue: Mutex::new(queue), wake: Condvar::new(), stats, faults: FaultInjector::default() }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, AppendQueue> {
        self.queue.lock().expect("nothing that holds the queue's lock panics")
    }

    /// Gives the payload its place in the order, or gives it back.
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

    /// Takes no more appends; what is queued is still written.
    pub(super) fn close(&self) {
        self.lock().state = QueueState::Closed;
        self.wake.notify_one();
    }

    /// Waits until there is something to do: appends, a release beyond `released_lsn`, the end, or `wake_at`.
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
            queue = woken.expect("nothing that holds the queue's lock panics");
        }
    }
}

/// An append that has its place in the order and is not durable yet: a future of its LSN, once it is.
///
/// An error means that it is not durable and will not be, and neither is any that was submitted after it so far.
/// Dropping it does not undo the append; its outcome is then unknown.
#[derive(Debug)]
#[must_use = "until this resolves the record is not durable"]
pub struct PendingAppend {
    lsn: Lsn,
    outcome: oneshot::Receiver<Result<(), JournalError>>,
    unobserved: Option<Generation>,
}

impl PendingAppend {
    /// The record's place in the order, known before it is durable.
    #[must_use]
    pub fn lsn(&self) -> Lsn {
        self.lsn
    }
}

impl Future for PendingAppend {
    type Output = Result<Lsn, JournalError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        // The sender goes without a word only when the thread panicked.
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

    /// Whose frame has this many bytes.
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
            "alone, one may be larger than the bound"
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
        assert!(queue.check_admission(50, AppendClass::Normal).is_ok(), "only a failed journal becomes so");
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

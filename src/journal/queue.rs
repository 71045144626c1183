//! Between the callers and the thread: the order of appends, the bounds, and whether appends are taken at all.
//!
//! [`Queue`] is the state and its rules, synchronous and without files; [`Shared`] is its lock and its two signals.

use std::future::Future;
use std::mem;
use std::pin::Pin;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::task::{Context, Poll, ready};
use std::time::Instant;

use tokio::sync::{oneshot, watch};

use super::error::JournalError;
use super::record::Payload;
use super::segment::{Faults, MARK_BYTES};
use super::{JournalConfig, Lsn, Stats};

/// Records in the order of their LSNs, and whom to tell once they are durable.
#[derive(Debug, Default)]
pub(super) struct Group {
    pub(super) records: Vec<(Lsn, Payload)>,
    done: Vec<oneshot::Sender<Result<(), JournalError>>>,
}

impl Group {
    /// How many of the first records fit into a segment with this much room, beside the mark that follows them.
    pub(super) fn fitting(&self, room: u64) -> usize {
        let mut left = room.saturating_sub(MARK_BYTES);
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
        for done in self.done.drain(..count) {
            // A caller that no longer waits does not need to know.
            drop(done.send(outcome.clone()));
        }
    }
}

/// Whether appends are taken.
#[derive(Debug)]
enum State {
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
pub(super) struct Queue {
    config: JournalConfig,
    state: State,
    next_lsn: Lsn,
    group: Group,
    /// Frames queued or being written.
    queued_bytes: u64,
    disk_bytes: u64,
    /// The bound for reserved appends.
    max_reserved_bytes: u64,
    release_to: Lsn,
    generation: Generation,
}

/// Which part of the bounds an append may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Allowance {
    Ordinary,
    Reserved,
}

/// What the thread is woken for.
#[derive(Debug)]
pub(super) struct Work {
    pub(super) group: Group,
    pub(super) release_to: Lsn,
    pub(super) closing: bool,
}

impl Queue {
    /// For a journal that was found with `disk_bytes`. These may be more than its bound, which was larger then: reserved
    /// appends must be taken all the same, since without these nothing would ever be released.
    pub(super) fn new(config: JournalConfig, next_lsn: Lsn, disk_bytes: u64) -> Self {
        Self {
            config,
            max_reserved_bytes: config.max_bytes.max(disk_bytes.saturating_add(config.reserve_bytes)),
            state: State::Open,
            next_lsn,
            group: Group::default(),
            queued_bytes: 0,
            disk_bytes,
            release_to: 0,
            generation: Generation::default(),
        }
    }

    /// Whether a frame of this size is taken now.
    fn admit(&self, frame_bytes: u64, allowance: Allowance) -> Result<(), JournalError> {
        match &self.state {
            State::Open => {}
            State::ReservedOnly(_) if allowance == Allowance::Reserved => {}
            State::ReservedOnly(cause) | State::Failed(cause) => return Err(cause.clone()),
            State::Closed => return Err(JournalError::Closed),
        }
        let (max_bytes, max_queued) = match allowance {
            Allowance::Ordinary => {
                (self.config.max_bytes - self.config.reserve_bytes, self.config.queue_bytes)
            }
            Allowance::Reserved => {
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

    fn push(&mut self, payload: Payload) -> PendingAppend {
        let lsn = self.next_lsn;
        let (done, outcome) = oneshot::channel();
        self.next_lsn += 1;
        self.queued_bytes += payload.frame_bytes();
        self.group.records.push((lsn, payload));
        self.group.done.push(done);
        PendingAppend { lsn, outcome, unseen: Some(Arc::clone(&self.generation)) }
    }

    /// The thread has brought these bytes to disk, which now holds `disk_bytes`.
    pub(super) fn written(&mut self, frame_bytes: u64, disk_bytes: u64) {
        self.queued_bytes -= frame_bytes;
        self.disk_bytes = disk_bytes;
    }

    pub(super) fn set_disk_bytes(&mut self, disk_bytes: u64) {
        self.disk_bytes = disk_bytes;
    }

    /// Takes no more appends. Returns those that were still queued, which fail for the same reason, since they were
    /// submitted after one that failed, and the generation that must have been seen before appends are taken again.
    pub(super) fn fail(&mut self, cause: JournalError) -> (Group, Generation) {
        if !matches!(self.state, State::Closed) {
            self.state = State::Failed(cause);
        }
        self.queued_bytes = 0;
        (mem::take(&mut self.group), mem::take(&mut self.generation))
    }

    /// Appends are still refused, now for this.
    pub(super) fn fail_again(&mut self, cause: JournalError) {
        if matches!(self.state, State::Failed(_)) {
            self.state = State::Failed(cause);
        }
    }

    /// Takes reserved appends, and refuses others for this.
    pub(super) fn open_for_reserved(&mut self, cause: JournalError) {
        if matches!(self.state, State::Failed(_) | State::ReservedOnly(_)) {
            self.state = State::ReservedOnly(cause);
        }
    }

    pub(super) fn reopen(&mut self) {
        if matches!(self.state, State::Failed(_) | State::ReservedOnly(_)) {
            self.state = State::Open;
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
pub(super) struct Shared {
    // A std mutex: held for a few assignments, never across an await or a file operation.
    queue: Mutex<Queue>,
    wake: Condvar,
    pub(super) stats: watch::Sender<Stats>,
    pub(super) faults: Faults,
}

impl Shared {
    pub(super) fn new(queue: Queue) -> Self {
        let stats = watch::Sender::new(Stats::default());
        Self { queue: Mutex::new(queue), wake: Condvar::new(), stats, faults: Faults::default() }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().expect("nothing that holds the queue's lock panics")
    }

    /// Gives the payload its place in the order, or gives it back.
    pub(super) fn submit(
        &self,
        payload: Payload,
        allowance: Allowance,
    ) -> Result<PendingAppend, (JournalError, Payload)> {
        let mut queue = self.lock();
        match queue.admit(payload.frame_bytes(), allowance) {
            Ok(()) => {
                let pending = queue.push(payload);
                drop(queue);
                self.wake.notify_one();
                Ok(pending)
            }
            Err(error) => Err((error, payload)),
        }
    }

    pub(super) fn admit(&self, frame_bytes: u64) -> Result<(), JournalError> {
        self.lock().admit(frame_bytes, Allowance::Ordinary)
    }

    pub(super) fn release(&self, up_to: Lsn) {
        let mut queue = self.lock();
        queue.release_to = queue.release_to.max(up_to);
        drop(queue);
        self.wake.notify_one();
    }

    /// Takes no more appends; what is queued is still written.
    pub(super) fn close(&self) {
        self.lock().state = State::Closed;
        self.wake.notify_one();
    }

    /// Waits until there is something to do: appends, a release beyond `released`, the end, or `wake_at`.
    pub(super) fn wait(&self, released: Lsn, wake_at: Option<Instant>) -> Work {
        let mut queue = self.lock();
        loop {
            let closing = matches!(queue.state, State::Closed);
            let now = Instant::now();
            if closing
                || !queue.group.records.is_empty()
                || queue.release_to > released
                || wake_at.is_some_and(|at| at <= now)
            {
                return Work { group: mem::take(&mut queue.group), release_to: queue.release_to, closing };
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
    unseen: Option<Generation>,
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
        self.unseen = None;
        Poll::Ready(outcome.map(|()| self.lsn))
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::super::record::HEADER_BYTES;
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
    fn the_order_of_submits_is_the_order_of_lsns() {
        let mut queue = Queue::new(CONFIG, 7, 0);
        let lsns =
            [queue.push(payload(50)).lsn(), queue.push(payload(50)).lsn(), queue.push(payload(50)).lsn()];
        assert_eq!(lsns, [7, 8, 9]);
        assert_eq!(queue.group.records.iter().map(|(lsn, _)| *lsn).collect::<Vec<_>>(), lsns);
        assert_eq!(queue.queued_bytes, 150);
    }

    #[test]
    fn memory_is_bounded_and_reserved_records_have_more_of_it() {
        let mut queue = Queue::new(CONFIG, 1, 0);
        let pending = queue.push(payload(2_500));
        assert!(queue.admit(500, Allowance::Ordinary).is_ok());
        assert!(matches!(
            queue.admit(501, Allowance::Ordinary),
            Err(JournalError::Busy { queued_bytes: 2_500, max_bytes: 3_000 })
        ));
        assert!(queue.admit(2_500, Allowance::Reserved).is_ok());
        assert!(matches!(queue.admit(2_501, Allowance::Reserved), Err(JournalError::Busy { .. })));
        queue.written(2_500, 2_500);
        assert!(queue.admit(9_000, Allowance::Ordinary).is_ok(), "alone, one may be larger than the bound");
        drop(pending);
    }

    #[test]
    fn disk_is_bounded_with_what_is_queued_and_the_reserve_is_kept_for_reserved_records() {
        let mut queue = Queue::new(CONFIG, 1, 0);
        queue.set_disk_bytes(27_000);
        let pending = queue.push(payload(500));
        assert!(queue.admit(500, Allowance::Ordinary).is_ok());
        assert!(matches!(
            queue.admit(501, Allowance::Ordinary),
            Err(JournalError::Full { used_bytes: 27_500, max_bytes: 28_000 })
        ));
        assert!(queue.admit(2_500, Allowance::Reserved).is_ok());
        assert!(matches!(queue.admit(2_501, Allowance::Reserved), Err(JournalError::Full { .. })));
        drop(pending);
    }

    #[test]
    fn a_failure_refuses_with_its_cause_and_its_lsns_are_not_given_again() {
        let mut queue = Queue::new(CONFIG, 1, 0);
        let failed = [queue.push(payload(50)), queue.push(payload(50))];
        let (group, generation) = queue.fail(disk_error());
        assert_eq!((group.records.len(), queue.queued_bytes), (2, 0));
        assert!(matches!(queue.admit(50, Allowance::Reserved), Err(JournalError::Disk { .. })));
        assert_eq!(Arc::strong_count(&generation), 1 + failed.len());
        drop(failed);
        assert_eq!(Arc::strong_count(&generation), 1);
        assert_eq!(queue.skip_lsn(), 4);
        queue.reopen();
        assert_eq!(queue.push(payload(50)).lsn(), 4);
    }

    #[test]
    fn without_space_for_a_segment_only_reserved_appends_are_taken() {
        let mut queue = Queue::new(CONFIG, 1, 0);
        queue.open_for_reserved(disk_error());
        assert!(queue.admit(50, Allowance::Ordinary).is_ok(), "only a failed journal becomes so");
        queue.fail(disk_error());
        queue.open_for_reserved(disk_error());
        assert!(matches!(queue.admit(50, Allowance::Ordinary), Err(JournalError::Disk { .. })));
        assert!(queue.admit(50, Allowance::Reserved).is_ok());
        queue.fail(disk_error());
        assert!(matches!(queue.admit(50, Allowance::Reserved), Err(JournalError::Disk { .. })));
        queue.open_for_reserved(disk_error());
        queue.reopen();
        assert!(queue.admit(50, Allowance::Ordinary).is_ok());
    }

    #[test]
    fn reserved_appends_have_the_reserve_also_above_a_bound_that_was_lowered() {
        let queue = Queue::new(CONFIG, 1, 90_000);
        assert!(matches!(
            queue.admit(50, Allowance::Ordinary),
            Err(JournalError::Full { used_bytes: 90_000, max_bytes: 28_000 })
        ));
        assert!(queue.admit(2_000, Allowance::Reserved).is_ok());
        assert!(matches!(queue.admit(2_001, Allowance::Reserved), Err(JournalError::Full { .. })));
    }

    #[test]
    fn closed_stays_closed() {
        let mut queue = Queue::new(CONFIG, 1, 0);
        queue.state = State::Closed;
        queue.fail(disk_error());
        queue.fail_again(disk_error());
        queue.open_for_reserved(disk_error());
        queue.reopen();
        assert!(matches!(queue.admit(50, Allowance::Reserved), Err(JournalError::Closed)));
    }

    #[test]
    fn a_group_is_split_where_the_segment_ends() {
        let mut queue = Queue::new(CONFIG, 1, 0);
        let pending: Vec<_> = (0..3).map(|_| queue.push(payload(100))).collect();
        let (mut group, _) = queue.fail(disk_error());
        assert_eq!(group.fitting(300 + MARK_BYTES), 3);
        assert_eq!(group.fitting(299 + MARK_BYTES), 2);
        assert_eq!(group.fitting(99), 0);
        group.complete(2, &Ok(()));
        assert_eq!(group.records.iter().map(|(lsn, _)| *lsn).collect::<Vec<_>>(), [3]);
        drop(pending);
    }
}

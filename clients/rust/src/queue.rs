//! The events between [`Producer::send`](crate::Producer::send) and the background task. Callers encode their events into the
//! open batch; the task takes batches.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use tokio::sync::{Notify, oneshot};
use tokio::time::Instant;

use crate::proto::v1;
use crate::request::{EncodedEvents, EventsBuffer};
use crate::{ClientError, Totals};

/// How many complete batches wait for the task. At the limit, [`Producer::send`](crate::Producer::send) waits.
const MAX_COMPLETE_BATCHES: usize = 2;
/// A batch of this encoded size is complete. A quarter of the server's default limit for a message.
const MAX_BATCH_BYTES: usize = 1 << 20;

type FlushReply = oneshot::Sender<Result<Totals, ClientError>>;

/// Shared by the handles of a producer and its task.
#[derive(Debug)]
pub(crate) struct EventQueue {
    batch_events: u64,
    batch_delay: Duration,
    /// A std mutex: it is held for the encoding of one event, and never across an await.
    state: Mutex<QueueState>,
    /// Wakes the task: a batch was opened or completed, or a flush or the end was requested.
    work: Notify,
    /// Wakes the callers that wait for space.
    space: Notify,
}

#[derive(Debug, Default)]
struct QueueState {
    open: EventsBuffer,
    /// When the first event of the open batch was added.
    opened_at: Option<Instant>,
    /// Oldest first.
    complete: VecDeque<EncodedEvents>,
    /// Events that were ever added, and those of them that the task has taken.
    added: u64,
    taken: u64,
    /// Requests for a flush, with the number of events that must be acknowledged.
    flushes: Vec<(u64, FlushReply)>,
    /// No event or flush is accepted any more.
    closed: bool,
}

/// What the task does next.
#[derive(Debug)]
pub(crate) enum NextBatch {
    /// Send this batch.
    Ready(EncodedEvents),
    /// The open batch waits for more events until then.
    OpenUntil(Instant),
    /// There are no events.
    Empty,
}

/// Why an event was not added.
#[derive(Debug, PartialEq, Eq)]
enum NotAdded {
    Full,
    Closed,
}

impl EventQueue {
    pub(crate) fn new(batch_events: usize, batch_delay: Duration) -> Self {
        Self {
            batch_events: batch_events as u64,
            batch_delay,
            state: Mutex::default(),
            work: Notify::new(),
            space: Notify::new(),
        }
    }

    fn state(&self) -> MutexGuard<'_, QueueState> {
        self.state.lock().expect("no holder of the lock panics")
    }

    /// Adds an event; waits for space. `None` if the queue is closed.
    pub(crate) async fn add(&self, event: &v1::Event) -> Option<()> {
        loop {
            match self.try_add(event) {
                Ok(()) => return Some(()),
                Err(NotAdded::Closed) => return None,
                Err(NotAdded::Full) => {}
            }
            // Receives wake-ups from its creation on, so none is missed between the check and the wait.
            let space = self.space.notified();
            if self.state().has_space_or_is_closed() {
                continue;
            }
            space.await;
        }
    }

    fn try_add(&self, event: &v1::Event) -> Result<(), NotAdded> {
        let mut state = self.state();
        if state.closed {
            return Err(NotAdded::Closed);
        }
        if !state.has_space_or_is_closed() {
            return Err(NotAdded::Full);
        }
        let is_first = state.open.events() == 0;
        state.open.push(event);
        state.added += 1;
        let is_complete = state.open.events() >= self.batch_events || state.open.bytes() >= MAX_BATCH_BYTES;
        if is_complete {
            let batch = state.take_open();
            state.complete.push_back(batch);
        } else if is_first {
            state.opened_at = Some(Instant::now());
        }
        drop(state);
        if is_first || is_complete {
            self.work.notify_one();
        }
        Ok(())
    }

    /// Requests a flush of everything that was added before. `None` if the queue is closed.
    pub(crate) fn request_flush(&self) -> Option<oneshot::Receiver<Result<Totals, ClientError>>> {
        let (reply, flushed) = oneshot::channel();
        let mut state = self.state();
        if state.closed {
            return None;
        }
        let added = state.added;
        state.flushes.push((added, reply));
        drop(state);
        self.work.notify_one();
        Some(flushed)
    }

    /// Accepts nothing more, and wakes everyone.
    pub(crate) fn close(&self) {
        self.state().closed = true;
        self.work.notify_one();
        self.space.notify_waiters();
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.state().closed
    }

    pub(crate) fn is_empty(&self) -> bool {
        let state = self.state();
        state.complete.is_empty() && state.open.events() == 0
    }

    /// For the task: waits until [`take`](Self::take) may have a different result.
    pub(crate) async fn changed(&self) {
        self.work.notified().await;
    }

    /// For the task: the next batch to send. An incomplete one is ready after its delay, or if a flush waits for it.
    pub(crate) fn take(&self, now: Instant) -> NextBatch {
        let mut state = self.state();
        if let Some(batch) = state.complete.pop_front() {
            state.taken += batch.events();
            drop(state);
            self.space.notify_waiters();
            return NextBatch::Ready(batch);
        }
        let Some(opened_at) = state.opened_at else { return NextBatch::Empty };
        let deadline = opened_at + self.batch_delay;
        let taken = state.taken;
        let is_awaited = state.closed || state.flushes.iter().any(|(added, _)| *added > taken);
        if !is_awaited && now < deadline {
            return NextBatch::OpenUntil(deadline);
        }
        let batch = state.take_open();
        state.taken += batch.events();
        NextBatch::Ready(batch)
    }

    /// For the task: completes the flushes whose events are acknowledged.
    pub(crate) fn complete_flushes(&self, totals: &Totals) {
        let mut state = self.state();
        if state.flushes.iter().all(|(added, _)| *added > totals.acknowledged) {
            return;
        }
        let flushes = std::mem::take(&mut state.flushes);
        let (completed, waiting) = flushes.into_iter().partition(|(added, _)| *added <= totals.acknowledged);
        state.flushes = waiting;
        drop(state);
        let completed: Vec<(u64, FlushReply)> = completed;
        for (_, reply) in completed {
            reply.send(Ok(totals.clone())).ok(); // the caller may have stopped waiting
        }
    }

    /// For the task: closes the queue, and drops the flushes that are not completed.
    pub(crate) fn end(&self) {
        self.close();
        let flushes = std::mem::take(&mut self.state().flushes);
        drop(flushes);
    }
}

impl QueueState {
    fn has_space_or_is_closed(&self) -> bool {
        self.closed || self.complete.len() < MAX_COMPLETE_BATCHES
    }

    fn take_open(&mut self) -> EncodedEvents {
        self.opened_at = None;
        self.open.take()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DELAY: Duration = Duration::from_millis(20);

    fn queue() -> EventQueue {
        EventQueue::new(2, DELAY)
    }

    fn take(queue: &EventQueue, now: Instant) -> Option<u64> {
        match queue.take(now) {
            NextBatch::Ready(batch) => Some(batch.events()),
            _ => None,
        }
    }

    #[test]
    fn a_batch_is_ready_when_it_is_complete_or_its_delay_has_passed() {
        let queue = queue();
        let event = v1::Event::default();
        assert!(matches!(queue.take(Instant::now()), NextBatch::Empty));
        (0..3).for_each(|_| queue.try_add(&event).unwrap());
        let now = Instant::now();
        assert_eq!(take(&queue, now), Some(2));
        let NextBatch::OpenUntil(deadline) = queue.take(now) else { panic!("one event is not a batch") };
        assert!(deadline <= now + DELAY);
        assert_eq!(take(&queue, deadline), Some(1));
        assert!(queue.is_empty());
    }

    #[test]
    fn a_flush_waits_for_the_events_before_it_only() {
        let queue = queue();
        let (event, now) = (v1::Event::default(), Instant::now());
        queue.try_add(&event).unwrap();
        let mut flushed = queue.request_flush().unwrap();
        assert_eq!(take(&queue, now), Some(1), "the flush waits for it");
        queue.try_add(&event).unwrap();
        assert_eq!(take(&queue, now), None, "nothing waits for the event after the flush");
        queue.complete_flushes(&Totals::default());
        assert!(flushed.try_recv().is_err());
        queue.complete_flushes(&Totals { acknowledged: 1, ..Totals::default() });
        assert_eq!(flushed.try_recv().unwrap().unwrap().acknowledged, 1);
    }

    #[tokio::test]
    async fn a_full_queue_makes_its_callers_wait_and_a_closed_one_rejects_them() {
        let queue = queue();
        let event = v1::Event::default();
        (0..4).for_each(|_| queue.try_add(&event).unwrap());
        assert_eq!(queue.try_add(&event), Err(NotAdded::Full));
        let taken = async { take(&queue, Instant::now()) };
        let (added, taken) = tokio::join!(queue.add(&event), taken);
        assert_eq!((added, taken), (Some(()), Some(2)));
        queue.try_add(&event).unwrap();
        let (added, ()) = tokio::join!(queue.add(&event), async { queue.close() });
        assert_eq!(added, None);
        assert!(queue.request_flush().is_none());
        // What was added before is still sent.
        assert_eq!((take(&queue, Instant::now()), take(&queue, Instant::now())), (Some(2), Some(2)));
    }
}

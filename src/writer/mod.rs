//! The writer: from accepted events to batches in ClickHouse.
//!
//! # What an acknowledgement means
//!
//! A [`PendingAck`] that resolves to an [`Ack`] means: the events of the request are synced in the journal, and will be in
//! ClickHouse and in every rollup exactly once, whichever process or machine crashes meanwhile. If it is dropped, or fails
//! with [`SubmitError::Disk`] or [`SubmitError::Stopping`], the outcome is unknown: the events may or may not be durable. A
//! producer with sequences then resends the same request.
//!
//! # Path of a request
//!
//! ```text
//! submit -> admit     -> journal -> open batch -> seal    -> encode    -> insert            -> landed
//!           sequence,    fsync      columns       journal    columns,     events, rollup,      journal
//!           event ids                                        rollup       token = batch id
//! ```
//!
//! A synchronous state machine (`state.rs`) makes all decisions. The writer's task around it (`task.rs`) owns channels and
//! timers. The [`batch`] encoder concatenates the columns of a batch and computes its rows of the rollup (`rollup/`), on another
//! thread. The inserter has its own task (`insert.rs`), so that a slow ClickHouse does not delay acknowledgements;
//! it stores each batch with `store.rs`. While a
//! batch is in flight, the next one grows; on a machine with many cores, or by `MILLRACE_INSERTS_IN_FLIGHT`, a large one is
//! inserted at the same time. Batches may land in any order; they are recorded as landed in the order of the journal. A batch
//! that cannot be inserted goes to the [`dead_letter`] folder, from which a third task (`replay.rs`) replays it.
//!
//! # When an insert fails
//!
//! A batch gets four attempts (`store.rs`), with delays of 250 ms to 1 s between them. An attempt ends after 30 s
//! without progress (`INSERT_TIMEOUT` in `clickhouse/client.rs`). After an attempt without a response, each further one waits up
//! to a minute until ClickHouse is idle, and compares and repairs the batch instead of sending it under its token
//! (`reconcile.rs`). An attempt inserts the events and then the rollup rows. If it fails between the two, the next one skips the
//! events by their token. After the fourth failure, or at once if ClickHouse rejects its contents, the batch is dead-lettered.
//!
//! # Limits
//!
//! | limit | when it is reached |
//! | --- | --- |
//! | bytes in memory (`MILLRACE_MAX_BUFFER_BYTES`) | streams wait; unary calls are rejected with a retry delay |
//! | bytes on disk (`MILLRACE_JOURNAL_MAX_BYTES`) | streams wait; unary calls are rejected with a retry delay |
//! | 100,000 producers, all active within the last hour | a new producer is rejected with a retry delay |
//! | the batches in flight and one more in memory | further batches are read from the journal when they are inserted |

pub(crate) mod admission;
pub(crate) mod batch;
pub(crate) mod batch_id;
pub(crate) mod boot;
pub(crate) mod columns;
mod copies;
pub(crate) mod dead_letter;
pub(crate) mod durability;
pub(crate) mod feed;
pub(crate) mod flush_policy;
mod insert;
mod producer_queries;
pub(crate) mod producers;
pub(crate) mod recent_ids;
pub(crate) mod reconcile;
pub(crate) mod record;
mod recover;
pub(crate) mod replay;
mod rollup;
#[cfg(test)]
mod simulation;
mod state;
mod stats;
mod store;
mod task;
mod unlanded;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio_util::sync::CancellationToken;

#[cfg(feature = "kafka")]
pub(crate) use copies::WeakCopies;
pub(crate) use insert::MAX_INSERTS_IN_FLIGHT;
pub(crate) use recover::{RecoveredState, recover};
pub(crate) use stats::{RejectedByField, WriterStats};
pub(crate) use store::BatchStore;
#[cfg(feature = "kafka")]
pub(crate) use store::{BatchInfo, ShardChoice};
pub(crate) use task::{WriterDependencies, batch_limits, journal_reserve_bytes, start};
pub(crate) use unlanded::UnlandedBatches;

use crate::error::{Error, ErrorCode};
use crate::sources::Sender;
use columns::EventColumns;
use producers::{MAX_PRODUCERS, ProducerState, producer_key};

use crate::project::Project;

/// Requests that may wait for the writer's task. At the limit, [`Writer::submit`] waits.
const SUBMISSION_QUEUE_CAPACITY: usize = 1_024;
/// How long a unary call waits for capacity before it is rejected.
const TRY_TIMEOUT: Duration = Duration::from_millis(500);
/// The retry delay sent with a rejection.
const RETRY_DELAY: Duration = Duration::from_secs(1);
/// Memory of a request in addition to its columns.
const REQUEST_OVERHEAD_BYTES: usize = 512;
/// Maximum size of one permit: the minimum of MILLRACE_MAX_BUFFER_BYTES, so that every request can get its permit.
const MAX_PERMIT_BYTES: usize = 16 << 20;

/// The valid events of one request.
#[derive(Debug)]
pub(crate) struct WriteRequest {
    /// The project of the events and of the producer.
    pub project: Project,
    /// Empty for a request without a producer.
    pub producer_id: String,
    /// Ignored without a producer.
    pub sequence: u64,
    /// Whether the producer starts again at sequence 1 with this request.
    pub start_new_numbering: bool,
    /// Whether another server may have stored the events.
    pub sent_to_another_server: bool,
    /// Milliseconds since 1970 UTC.
    pub received_at_ms: i64,
    /// Counts its events; `None` in tests of the writer.
    pub sender: Option<Sender>,
    pub columns: EventColumns,
}

/// The acknowledgement of a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Ack {
    /// Number of events that this request added.
    pub accepted: u64,
    /// Number of events that were accepted before.
    pub duplicates: u64,
    /// The producer's last durable sequence; 0 without a producer.
    pub last_durable_sequence: u64,
}

/// Why a request is not acknowledged.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SubmitError {
    /// An earlier request of the producer is missing.
    #[error(
        "sequence: the producer {producer_id:?} sent {sequence}, but {expected} is the next; call GetProducer and resume \
         after its last durable sequence, with start_new_numbering if the producer is not known"
    )]
    SequenceGap {
        producer_id: String,
        /// As sent.
        sequence: u64,
        expected: u64,
    },
    /// The producer's state was dropped, so the request may be a duplicate.
    #[error(
        "sequence: the producer {producer_id:?} sent {sequence}, but its last sequence is forgotten after a long idle time, \
         and the request may be a duplicate; call GetProducer, then send only what is certainly not stored, with sequences \
         from 1 and start_new_numbering in the first request"
    )]
    ForgottenProducer {
        producer_id: String,
        /// As sent.
        sequence: u64,
    },
    /// The first request of a new producer, at the limit of producers.
    #[error(
        "producer_id: {MAX_PRODUCERS} producers were active within the last hour, which is the limit; retry the same \
         request later, or send it without a producer_id"
    )]
    TooManyProducers {
        /// When a slot may be free.
        retry_after: Duration,
    },
    /// A memory or disk limit is reached. Nothing was stored.
    #[error("{0}; retry the same request later")]
    Busy(String),
    /// The request does not fit into a journal record.
    #[error("the request is too large: {0}; send fewer events per request")]
    TooLarge(String),
    /// The journal could not be written or synced. The events may be stored.
    #[error("the events cannot be written to the journal: {0}; retry the same request later")]
    Disk(String),
    #[error(transparent)]
    Stopping(#[from] Stopping),
}

/// The writer has stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the server is stopping; reconnect and resend what was not acknowledged")]
pub struct Stopping;

impl From<SubmitError> for Error {
    fn from(error: SubmitError) -> Self {
        let kind = match error {
            SubmitError::SequenceGap { .. } | SubmitError::ForgottenProducer { .. } => ErrorCode::OutOfOrder,
            SubmitError::TooManyProducers { retry_after } => ErrorCode::Busy { retry_after },
            SubmitError::TooLarge(_) => ErrorCode::Invalid,
            SubmitError::Busy(_) => ErrorCode::Busy { retry_after: RETRY_DELAY },
            SubmitError::Disk(_) | SubmitError::Stopping(_) => {
                ErrorCode::Unavailable { retry_after: RETRY_DELAY }
            }
        };
        Self::new(kind, error.to_string())
    }
}

impl From<Stopping> for Error {
    fn from(stopping: Stopping) -> Self {
        SubmitError::Stopping(stopping).into()
    }
}

/// Reserved memory for a request that is not decoded yet. Dropping it releases the memory.
#[derive(Debug)]
#[must_use = "dropping the permit releases the memory"]
pub(crate) struct MemoryPermit(OwnedSemaphorePermit);

/// A submitted request.
#[derive(Debug)]
pub(crate) struct Submission {
    pub(crate) request: WriteRequest,
    /// Whether the request may wait for space on disk. Otherwise it is rejected.
    pub(crate) may_wait: bool,
    /// Dropped when the events are no longer in memory.
    pub(crate) permit: OwnedSemaphorePermit,
    pub(crate) reply: AckSender,
}

/// Sends the acknowledgement of a request.
#[derive(Debug)]
pub(crate) struct AckSender {
    reply: oneshot::Sender<Result<Ack, SubmitError>>,
    pub(crate) submitted_at: Instant,
    sender: Option<Sender>,
}

/// What the handles of another journal submit.
#[cfg(feature = "kafka")]
#[derive(Debug)]
pub(crate) struct JournalQueue {
    pub(crate) submissions: mpsc::Receiver<Submission>,
    pub(crate) producer_queries: mpsc::Receiver<ProducerQuery>,
}

impl AckSender {
    /// Without a sender: what it counts is not of interest.
    #[cfg(all(test, feature = "kafka"))]
    pub(crate) fn for_test() -> (Self, PendingAck) {
        let (reply, ack) = oneshot::channel();
        (Self { reply, submitted_at: Instant::now(), sender: None }, PendingAck(ack))
    }

    pub(crate) fn send(self, result: Result<Ack, SubmitError>, stats: &WriterStats) {
        if let Ok(ack) = &result {
            stats.acknowledgement.observe(self.submitted_at.elapsed());
            if let Some(sender) = &self.sender {
                sender.count_acknowledged(ack.accepted);
            }
        }
        // An error means that the caller no longer waits.
        self.reply.send(result).ok();
    }
}

/// The future acknowledgement of a submitted request. Resolves when the request is durable, or cannot become durable.
#[derive(Debug)]
#[must_use = "without the acknowledgement, the outcome of the request is unknown"]
pub(crate) struct PendingAck(oneshot::Receiver<Result<Ack, SubmitError>>);

impl Future for PendingAck {
    type Output = Result<Ack, SubmitError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        // The writer's task drops a reply only when it ends.
        Pin::new(&mut self.0).poll(cx).map(|ack| ack.unwrap_or(Err(SubmitError::Stopping(Stopping))))
    }
}

/// The key of a producer, and where its state is sent.
pub(crate) type ProducerQuery = (String, oneshot::Sender<Option<ProducerState>>);

/// The handle of the writer's task. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Writer {
    submissions: mpsc::Sender<Submission>,
    producer_queries: mpsc::Sender<ProducerQuery>,
    memory: Arc<Semaphore>,
    /// Number of batches that may be inserted at the same time.
    inserts_in_flight: u64,
    stats: Arc<WriterStats>,
    unlanded: UnlandedBatches,
    reconciled: CancellationToken,
    #[cfg(feature = "kafka")]
    store: BatchStore,
    #[cfg(feature = "kafka")]
    copies: WeakCopies,
}

/// How long [`Writer::settle`] waits. A batch that takes longer fails repeatedly, and is encoded again as a dead letter.
const SETTLE_TIMEOUT: Duration = Duration::from_secs(10);

impl Writer {
    /// Waits until every batch that is encoded now has landed.
    pub(crate) async fn settle(&self) {
        let mut landed = self.stats.landed();
        let first = *landed.borrow_and_update();
        let settled = async {
            // The batches in flight are consecutive. At most as many land before a given one of them, and as many after them.
            let batches = 2 * self.inserts_in_flight;
            while self.stats.unlanded() > 0 && *landed.borrow_and_update() < first + batches {
                // Never an error: `self.stats` holds the sender.
                landed.changed().await.ok();
            }
        };
        tokio::time::timeout(SETTLE_TIMEOUT, settled).await.ok();
    }

    /// Reserves memory for a request with at most `columns_bytes` of columns. Waits until the memory is free.
    pub(crate) async fn reserve(&self, columns_bytes: usize) -> Result<MemoryPermit, SubmitError> {
        let bytes = (columns_bytes + REQUEST_OVERHEAD_BYTES).min(MAX_PERMIT_BYTES);
        let bytes = u32::try_from(bytes).expect("MAX_PERMIT_BYTES fits into 32 bits");
        let permit = Arc::clone(&self.memory).acquire_many_owned(bytes).await;
        permit.map(MemoryPermit).map_err(|_| Stopping.into())
    }

    /// Like [`Self::reserve`], but fails with [`SubmitError::Busy`] after 500 ms, or at once if the journal is full. For
    /// unary calls, which flow control does not slow.
    pub(crate) async fn try_reserve(&self, columns_bytes: usize) -> Result<MemoryPermit, SubmitError> {
        if let Some(reason) = self.stats.refusal() {
            return Err(SubmitError::Busy(reason));
        }
        match tokio::time::timeout(TRY_TIMEOUT, self.reserve(columns_bytes)).await {
            Ok(permit) => permit,
            Err(_) => Err(self.busy()),
        }
    }

    /// Submits a request. Waits for space in the queue and on disk. Requests of one caller keep their order.
    pub(crate) async fn submit(
        &self,
        request: WriteRequest,
        permit: MemoryPermit,
    ) -> Result<PendingAck, SubmitError> {
        self.enqueue(request, permit, true).await
    }

    /// Like [`Self::submit`], but fails with [`SubmitError::Busy`] if the queue has no space for 500 ms. If the journal
    /// has no space, the acknowledgement fails with the same error. For unary calls, which flow control does not slow.
    pub(crate) async fn try_submit(
        &self,
        request: WriteRequest,
        permit: MemoryPermit,
    ) -> Result<PendingAck, SubmitError> {
        match tokio::time::timeout(TRY_TIMEOUT, self.enqueue(request, permit, false)).await {
            Ok(submitted) => submitted,
            Err(_) => Err(self.busy()),
        }
    }

    fn busy(&self) -> SubmitError {
        SubmitError::Busy(self.stats.refusal().unwrap_or_else(|| {
            "the memory for buffered events is in use (MILLRACE_MAX_BUFFER_BYTES)".to_owned()
        }))
    }

    /// The state of a producer; `None` if the producer is not known.
    pub(crate) async fn producer_state(
        &self,
        project: &Project,
        producer_id: &str,
    ) -> Result<Option<ProducerState>, Stopping> {
        let (reply, state) = oneshot::channel();
        let key = producer_key(project, producer_id).into_owned();
        self.producer_queries.send((key, reply)).await.map_err(|_| Stopping)?;
        state.await.map_err(|_| Stopping)
    }

    pub(crate) fn stats(&self) -> &Arc<WriterStats> {
        &self.stats
    }

    /// A handle whose requests go to another journal, and where they arrive.
    #[cfg(feature = "kafka")]
    pub(crate) fn with_other_journal(&self) -> (Self, JournalQueue) {
        let (submissions, received) = mpsc::channel(SUBMISSION_QUEUE_CAPACITY);
        let (producer_queries, queries) = mpsc::channel(16);
        let writer = Self { submissions, producer_queries, ..self.clone() };
        (writer, JournalQueue { submissions: received, producer_queries: queries })
    }

    /// Compares batches of another source with those of other servers.
    #[cfg(feature = "kafka")]
    pub(crate) fn copies(&self) -> WeakCopies {
        self.copies.clone()
    }

    /// Stores batches of another source. Not before [`Self::reconciled`].
    #[cfg(feature = "kafka")]
    pub(crate) fn store(&self) -> &BatchStore {
        &self.store
    }

    /// The batches that have not landed.
    pub(crate) fn unlanded_batches(&self) -> &UnlandedBatches {
        &self.unlanded
    }

    /// Cancelled when the batches of earlier processes are reconciled, before anything is inserted.
    pub(crate) fn reconciled(&self) -> &CancellationToken {
        &self.reconciled
    }

    async fn enqueue(
        &self,
        request: WriteRequest,
        MemoryPermit(mut permit): MemoryPermit,
        may_wait: bool,
    ) -> Result<PendingAck, SubmitError> {
        let (reply, ack) = oneshot::channel();
        let reply = AckSender { reply, submitted_at: Instant::now(), sender: request.sender.clone() };
        // The permit was sized for the maximum. Release what the decoded columns do not need.
        let surplus =
            permit.num_permits().saturating_sub(request.columns.size_bytes() + REQUEST_OVERHEAD_BYTES);
        drop(permit.split(surplus));
        let submission = Submission { request, may_wait, permit, reply };
        self.submissions.send(submission).await.map_err(|_| SubmitError::Stopping(Stopping))?;
        Ok(PendingAck(ack))
    }
}

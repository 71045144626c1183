//! The one writer: from accepted events to batches in ClickHouse.
//!
//! # What an acknowledgement means
//!
//! A [`PendingAck`] that is kept says: the events of the request are in the journal, synced to disk, and will be in
//! ClickHouse and in every rollup exactly once, whatever dies in between. A promise that is dropped or broken says
//! nothing: the events may or may not be kept, and a producer that numbers its requests sends them again.
//!
//! # The way of a request
//!
//! ```text
//! submit -> order and repeats -> journal -> open batch -> seal -> insert -> landed
//!           producers,            fsync      columns      journal  one POST   journal
//!           recent_ids                                             token = batch id
//! ```
//!
//! One task (`task.rs`) around one pure state (`state.rs`) owns all of it but the insert, which has a task of its own (`insert.rs`), so that a slow
//! ClickHouse does not hold up acknowledgements. A batch that cannot be inserted goes to the [`dead_letter`] folder.
//!
//! # Bounds
//!
//! | bound | reached | who notices |
//! | --- | --- | --- |
//! | bytes in memory (`MILLRACE_MAX_BUFFER_BYTES`) | streams wait, unary calls are told to come back | the door |
//! | bytes on disk (`MILLRACE_JOURNAL_MAX_BYTES`) | the intake stops, so streams wait, unary calls are told | the door |
//! | sealed batches in memory: two | the others are read from the journal when their turn comes | nobody |

pub mod boot;
pub mod columns;
pub mod dead_letter;
pub mod durability;
pub mod flush_policy;
mod insert;
pub mod producers;
pub mod recent_ids;
pub mod reconcile;
pub mod record;
mod recover;
pub(crate) mod replay;
#[cfg(test)]
mod simulation;
mod state;
mod stats;
mod task;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};

pub use recover::{RecoverError, RecoveredState, recover};
pub use stats::WriterStats;
pub use task::{WriterDependencies, batch_limits, journal_reserve_bytes, start};

use crate::error::{Error, ErrorCode};
use columns::EventColumns;
use producers::{MAX_PRODUCERS, ProducerState};

/// How many requests may be on their way to the intake; more wait in [`Writer::submit`].
const SUBMISSION_QUEUE_CAPACITY: usize = 1_024;
/// How long a unary call waits for room before it is told to come back.
const TRY_TIMEOUT: Duration = Duration::from_millis(500);
/// When a caller that was told to come back should.
const RETRY_DELAY: Duration = Duration::from_secs(1);
/// What a request costs in memory beside its columns.
const REQUEST_OVERHEAD_BYTES: usize = 512;
/// The most that one request waits for: the smallest MILLRACE_MAX_BUFFER_BYTES there is, so that it can always be had.
const MAX_PERMIT_BYTES: usize = 16 << 20;

/// The accepted events of one request.
#[derive(Debug)]
pub struct WriteRequest {
    /// The producer; empty for none.
    pub producer_id: String,
    /// The request's number; of no meaning without a producer.
    pub sequence: u64,
    /// Whether the producer says that its numbering begins anew with this request.
    pub start_new_numbering: bool,
    /// When it was received, in milliseconds since 1970 UTC.
    pub received_at_ms: i64,
    /// The events.
    pub columns: EventColumns,
}

/// The writer's word for a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ack {
    /// Events that are kept.
    pub accepted: u64,
    /// Events that had been accepted before.
    pub duplicates: u64,
    /// The last durable sequence of the producer; 0 without one.
    pub last_durable_sequence: u64,
}

/// Why a request is not kept.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SubmitError {
    /// Requests before it are missing.
    #[error(
        "sequence: the producer {producer_id:?} sent {sequence}, but {expected} is the next; ask GetProducer and resume \
         from there, with start_new_numbering where it is not known"
    )]
    SequenceGap {
        /// The producer.
        producer_id: String,
        /// What it sent.
        sequence: u64,
        /// What was to come.
        expected: u64,
    },
    /// Its producer was forgotten, so it may be a repeat.
    #[error(
        "sequence: the producer {producer_id:?} sent {sequence}, but it sent nothing for so long that its last sequence is \
         forgotten, and a repeat could not be told from a new request; ask GetProducer, and send what is certainly not \
         stored with new sequences from 1, the first with start_new_numbering"
    )]
    ForgottenProducer {
        /// The producer.
        producer_id: String,
        /// What it sent.
        sequence: u64,
    },
    /// It would be the first of a new producer, and there is no place for one.
    #[error(
        "producer_id: {MAX_PRODUCERS} producers were active within the last hour, and no more are remembered; send the same \
         request again later, or without a producer_id"
    )]
    TooManyProducers {
        /// When there may be a place.
        retry_after: Duration,
    },
    /// A bound is reached.
    #[error("{0}; send the same request again later")]
    Busy(String),
    /// It is larger than a journal record may be.
    #[error("the request is too large to be kept: {0}; send fewer events in each request")]
    TooLarge(String),
    /// The disk does not take it.
    #[error("the events cannot be kept: {0}; send the same request again later")]
    Disk(String),
    /// The server is stopping.
    #[error(transparent)]
    Stopping(#[from] Stopping),
}

/// The server is stopping.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the server is stopping; connect again and send what was not acknowledged")]
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

/// Memory for a request that is not decoded yet.
#[derive(Debug)]
#[must_use = "memory that is given back at once was not needed"]
pub struct MemoryPermit(OwnedSemaphorePermit);

/// A request on its way, with its share of the memory.
struct Submission {
    request: WriteRequest,
    /// Whether it may be held back until there is room on the disk; otherwise it is refused.
    may_wait: bool,
    /// Given back when the events have left the memory.
    permit: OwnedSemaphorePermit,
    reply: oneshot::Sender<Result<Ack, SubmitError>>,
}

/// The writer's word for a request that was submitted: comes once the request is durable, or will not be.
#[derive(Debug)]
#[must_use = "a promise that is dropped says nothing about the events"]
pub struct PendingAck(oneshot::Receiver<Result<Ack, SubmitError>>);

impl Future for PendingAck {
    type Output = Result<Ack, SubmitError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        // The intake drops replies only when it ends.
        Pin::new(&mut self.0).poll(cx).map(|ack| ack.unwrap_or(Err(SubmitError::Stopping(Stopping))))
    }
}

type ProducerQuery = (String, oneshot::Sender<Option<ProducerState>>);

/// The handle of the writer: cheap to clone, one for each door.
#[derive(Clone, Debug)]
pub struct Writer {
    submissions: mpsc::Sender<Submission>,
    producer_queries: mpsc::Sender<ProducerQuery>,
    memory: Arc<Semaphore>,
    stats: Arc<WriterStats>,
}

impl Writer {
    /// Takes the memory for a request whose columns will have so many bytes at most, once there is room.
    pub async fn reserve(&self, columns_bytes: usize) -> Result<MemoryPermit, SubmitError> {
        let bytes = (columns_bytes + REQUEST_OVERHEAD_BYTES).min(MAX_PERMIT_BYTES);
        let bytes = u32::try_from(bytes).expect("16 MiB are few");
        let permit = Arc::clone(&self.memory).acquire_many_owned(bytes).await;
        permit.map(MemoryPermit).map_err(|_| Stopping.into())
    }

    /// Takes the memory, or says that there is no room: for callers that flow control does not slow.
    pub async fn try_reserve(&self, columns_bytes: usize) -> Result<MemoryPermit, SubmitError> {
        if let Some(full) = self.stats.disk_full() {
            return Err(SubmitError::Busy(full));
        }
        match tokio::time::timeout(TRY_TIMEOUT, self.reserve(columns_bytes)).await {
            Ok(permit) => permit,
            Err(_) => Err(self.busy()),
        }
    }

    /// Hands a request over, once there is room. Requests of one caller keep their order.
    pub async fn submit(
        &self,
        request: WriteRequest,
        permit: MemoryPermit,
    ) -> Result<PendingAck, SubmitError> {
        self.enqueue(request, permit, true).await
    }

    /// Hands a request over, or says that there is no room: for callers that flow control does not slow.
    pub async fn try_submit(
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
        SubmitError::Busy(self.stats.disk_full().unwrap_or_else(|| {
            "too many bytes of events are in memory (MILLRACE_MAX_BUFFER_BYTES)".to_owned()
        }))
    }

    /// The place of a producer, if it is known.
    pub async fn producer_state(&self, producer_id: String) -> Result<Option<ProducerState>, Stopping> {
        let (reply, state) = oneshot::channel();
        self.producer_queries.send((producer_id, reply)).await.map_err(|_| Stopping)?;
        state.await.map_err(|_| Stopping)
    }

    /// The writer's figures.
    pub fn stats(&self) -> &WriterStats {
        &self.stats
    }

    async fn enqueue(
        &self,
        request: WriteRequest,
        MemoryPermit(mut permit): MemoryPermit,
        may_wait: bool,
    ) -> Result<PendingAck, SubmitError> {
        let (reply, ack) = oneshot::channel();
        // Now it is known how much it takes.
        let surplus =
            permit.num_permits().saturating_sub(request.columns.size_bytes() + REQUEST_OVERHEAD_BYTES);
        drop(permit.split(surplus));
        let submission = Submission { request, may_wait, permit, reply };
        self.submissions.send(submission).await.map_err(|_| SubmitError::Stopping(Stopping))?;
        Ok(PendingAck(ack))
    }
}

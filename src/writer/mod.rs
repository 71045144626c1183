//! The one writer: from accepted events to batches in ClickHouse.
//!
//! # What an acknowledgement means
//!
//! A [`Promise`] that is kept says: the events of the request are in the journal, synced to disk, and will be in
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

pub mod batch;
pub mod boot;
pub mod checkpoint;
pub mod columns;
pub mod dead_letter;
mod insert;
pub mod producers;
pub mod recent_ids;
pub mod reconcile;
pub mod record;
mod recover;
pub(crate) mod redrive;
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

pub use recover::{RecoverError, Recovered, recover};
pub use stats::Stats;
pub use task::{Parts, journal_reserve_bytes, limits, start};

use crate::error::{Error, Kind};
use columns::EventColumns;
use producers::{MAX_PRODUCERS, Place};

/// How many requests may be on their way to the intake; more wait in [`Writer::submit`].
const QUEUED_REQUESTS: usize = 1_024;
/// How long a unary call waits for room before it is told to come back.
const TRY_FOR: Duration = Duration::from_millis(500);
/// When a caller that was told to come back should.
const COME_BACK: Duration = Duration::from_secs(1);
/// What a request costs in memory beside its columns.
const REQUEST_BYTES: usize = 512;
/// The most that one request waits for: the smallest MILLRACE_MAX_BUFFER_BYTES there is, so that it can always be had.
const MAX_SHARE_BYTES: usize = 16 << 20;

/// The accepted events of one request.
#[derive(Debug)]
pub struct Request {
    /// The producer; empty for none.
    pub producer_id: String,
    /// The request's number; of no meaning without a producer.
    pub sequence: u64,
    /// Whether the producer says that its numbering begins anew with this request.
    pub new_numbering: bool,
    /// When it was received, in milliseconds since 1970 UTC.
    pub received_at_ms: i64,
    /// The events.
    pub columns: EventColumns,
}

/// The writer's word for a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Receipt {
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
    Gap {
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
    Forgotten {
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
            SubmitError::Gap { .. } | SubmitError::Forgotten { .. } => Kind::OutOfOrder,
            SubmitError::TooManyProducers { retry_after } => Kind::Busy { retry_after },
            SubmitError::TooLarge(_) => Kind::Invalid,
            SubmitError::Busy(_) => Kind::Busy { retry_after: COME_BACK },
            SubmitError::Disk(_) | SubmitError::Stopping(_) => Kind::Unavailable { retry_after: COME_BACK },
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
pub struct Share(OwnedSemaphorePermit);

/// A request on its way, with its share of the memory.
struct Submission {
    request: Request,
    /// Whether it may be held back until there is room on the disk; otherwise it is refused.
    may_wait: bool,
    /// Given back when the events have left the memory.
    share: OwnedSemaphorePermit,
    reply: oneshot::Sender<Result<Receipt, SubmitError>>,
}

/// The writer's word for a request that was submitted: comes once the request is durable, or will not be.
#[derive(Debug)]
#[must_use = "a promise that is dropped says nothing about the events"]
pub struct Promise(oneshot::Receiver<Result<Receipt, SubmitError>>);

impl Future for Promise {
    type Output = Result<Receipt, SubmitError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        // The intake drops replies only when it ends.
        Pin::new(&mut self.0).poll(cx).map(|word| word.unwrap_or(Err(SubmitError::Stopping(Stopping))))
    }
}

type PlaceQuery = (String, oneshot::Sender<Option<Place>>);

/// The handle of the writer: cheap to clone, one for each door.
#[derive(Clone, Debug)]
pub struct Writer {
    submissions: mpsc::Sender<Submission>,
    places: mpsc::Sender<PlaceQuery>,
    memory: Arc<Semaphore>,
    stats: Arc<Stats>,
}

impl Writer {
    /// Takes the memory for a request whose columns will have so many bytes at most, once there is room.
    pub async fn reserve(&self, columns_bytes: usize) -> Result<Share, SubmitError> {
        let bytes = (columns_bytes + REQUEST_BYTES).min(MAX_SHARE_BYTES);
        let bytes = u32::try_from(bytes).expect("16 MiB are few");
        let permit = Arc::clone(&self.memory).acquire_many_owned(bytes).await;
        permit.map(Share).map_err(|_| Stopping.into())
    }

    /// Takes the memory, or says that there is no room: for callers that flow control does not slow.
    pub async fn try_reserve(&self, columns_bytes: usize) -> Result<Share, SubmitError> {
        if let Some(full) = self.stats.disk_full() {
            return Err(SubmitError::Busy(full));
        }
        match tokio::time::timeout(TRY_FOR, self.reserve(columns_bytes)).await {
            Ok(share) => share,
            Err(_) => Err(self.busy()),
        }
    }

    /// Hands a request over, once there is room. Requests of one caller keep their order.
    pub async fn submit(&self, request: Request, share: Share) -> Result<Promise, SubmitError> {
        self.hand_over(request, share, true).await
    }

    /// Hands a request over, or says that there is no room: for callers that flow control does not slow.
    pub async fn try_submit(&self, request: Request, share: Share) -> Result<Promise, SubmitError> {
        match tokio::time::timeout(TRY_FOR, self.hand_over(request, share, false)).await {
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
    pub async fn producer(&self, producer_id: String) -> Result<Option<Place>, Stopping> {
        let (reply, place) = oneshot::channel();
        self.places.send((producer_id, reply)).await.map_err(|_| Stopping)?;
        place.await.map_err(|_| Stopping)
    }

    /// The writer's figures.
    pub fn stats(&self) -> &Stats {
        &self.stats
    }

    async fn hand_over(
        &self,
        request: Request,
        Share(mut share): Share,
        may_wait: bool,
    ) -> Result<Promise, SubmitError> {
        let (reply, word) = oneshot::channel();
        // Now it is known how much it takes.
        let surplus = share.num_permits().saturating_sub(request.columns.bytes() + REQUEST_BYTES);
        drop(share.split(surplus));
        let submission = Submission { request, may_wait, share, reply };
        self.submissions.send(submission).await.map_err(|_| SubmitError::Stopping(Stopping))?;
        Ok(Promise(word))
    }
}

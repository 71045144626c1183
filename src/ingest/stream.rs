//! The requests of one UploadEvents or StreamEvents call. Requests are submitted in the order in which they arrive. Their
//! outcomes follow in the same order, each once its request is durable.

use std::collections::VecDeque;
use std::ops::ControlFlow;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio_stream::{Stream, StreamExt};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::Ingester;
use super::ingester::{MAX_STREAM_EVENTS, RejectionBudget, Rejections, check_event_count};
use super::wire::EventsRequest;
use crate::edge::{self, body::BodyPermit};
use crate::error::{Error, ErrorCode};
use crate::writer::PendingAck;

/// How many requests of a stream may wait for their acknowledgement. At the limit the stream is not read, and HTTP/2 flow
/// control slows the client down.
const MAX_PENDING_REQUESTS: usize = 256;
/// How many outcomes may wait for a slow client. At the limit the stream is not read either.
const MAX_UNSENT_OUTCOMES: usize = 64;

/// What is reported to the client about one durable request.
#[derive(Debug)]
pub(super) struct RequestOutcome {
    pub(super) sequence: u64,
    pub(super) accepted: u64,
    pub(super) rejected: u64,
    pub(super) duplicates: u64,
    pub(super) rejections: Rejections,
    pub(super) last_durable_sequence: u64,
}

/// Why a stream ended before the client half-closed it. `E` is the transport's error.
#[derive(Debug, thiserror::Error)]
pub(super) enum StreamError<E> {
    /// The next request could not be received or parsed.
    #[error("cannot read the next request: {0}")]
    Read(#[source] E),
    /// A request is invalid, the writer rejected it, or the connection is closing.
    #[error(transparent)]
    Ingest(#[from] Error),
}

/// The outcomes of a stream. The first error is the last item.
///
/// Owns the task that reads the stream: the task is joined before the outcomes end, and aborted on drop. Requests that were
/// submitted by then are still written, but their outcomes are lost.
pub(super) struct Outcomes<E> {
    receiver: mpsc::Receiver<Result<RequestOutcome, StreamError<E>>>,
    /// `None` once joined.
    task: Option<AbortOnDropHandle<()>>,
}

/// Starts to read `requests`. When `stopping` is cancelled, no further request is read; the outcomes of the earlier ones
/// follow, then an error with a retry delay.
pub(super) fn run<R, E>(
    ingester: Ingester,
    stream_permit: Option<OwnedSemaphorePermit>,
    body_permit: Option<BodyPermit>,
    requests: R,
    stopping: CancellationToken,
) -> Outcomes<E>
where
    R: Stream<Item = Result<EventsRequest, E>> + Unpin + Send + 'static,
    E: Send + 'static,
{
    let (outcomes, receiver) = mpsc::channel(MAX_UNSENT_OUTCOMES);
    let stream = IngestStream {
        ingester,
        _stream_permit: stream_permit,
        body_permit,
        rejection_budget: RejectionBudget::for_stream(),
        producer_id: None,
        requests: 0,
    };
    let task = tokio::spawn(serve(stream, requests, stopping, outcomes));
    Outcomes { receiver, task: Some(AbortOnDropHandle::new(task)) }
}

impl<E> Stream for Outcomes<E> {
    type Item = Result<RequestOutcome, StreamError<E>>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if let Some(outcome) = ready!(self.receiver.poll_recv(cx)) {
            return Poll::Ready(Some(outcome));
        }
        let Some(task) = &mut self.task else { return Poll::Ready(None) };
        let joined = ready!(Pin::new(task).poll(cx));
        self.task = None;
        // After a panic, the end of the outcomes must not look like success.
        Poll::Ready(joined.err().map(|error| {
            Err(Error::new(ErrorCode::Internal, format!("the stream's task failed: {error}")).into())
        }))
    }
}

struct IngestStream {
    ingester: Ingester,
    /// One of the streams of the caller's key.
    _stream_permit: Option<OwnedSemaphorePermit>,
    /// Charges the request that is being decoded to the edge's budget of bytes.
    body_permit: Option<BodyPermit>,
    rejection_budget: RejectionBudget,
    /// That of the first request, which every further request must have.
    producer_id: Option<String>,
    /// How many requests were read.
    requests: u64,
}

/// A submitted request whose acknowledgement is pending.
struct PendingRequest {
    sequence: u64,
    rejected: u64,
    rejections: Rejections,
    pending_ack: PendingAck,
}

async fn serve<E>(
    mut stream: IngestStream,
    mut requests: impl Stream<Item = Result<EventsRequest, E>> + Unpin,
    stopping: CancellationToken,
    outcomes: mpsc::Sender<Result<RequestOutcome, StreamError<E>>>,
) {
    let mut pending = VecDeque::new();
    let end = loop {
        let next = tokio::select! {
            biased;
            outcome = next_outcome(&mut pending), if !pending.is_empty() => {
                if send_outcome(outcome, &outcomes).await.is_break() {
                    return;
                }
                continue;
            }
            () = stopping.cancelled() => break Err(edge::connection_closing_error().into()),
            next = requests.next(), if pending.len() < MAX_PENDING_REQUESTS => next,
        };
        let request = match next {
            None => break Ok(()),
            Some(Err(error)) => break Err(StreamError::Read(error)),
            Some(Ok(request)) => request,
        };
        match stream.submit(request).await {
            Ok(request) => pending.push_back(request),
            Err(error) => break Err(error.into()),
        }
    };
    // The requests before the end were submitted, so the client gets their outcomes before the error.
    while !pending.is_empty() {
        if send_outcome(next_outcome(&mut pending).await, &outcomes).await.is_break() {
            return;
        }
    }
    if let Err(error) = end {
        outcomes.send(Err(error)).await.ok(); // the client may be gone
    }
}

impl IngestStream {
    /// Waits for memory, then decodes a request and submits it.
    async fn submit(&mut self, request: EventsRequest) -> Result<PendingRequest, Error> {
        let request_index = self.requests;
        self.requests += 1;
        let stream_producer_id = self.producer_id.get_or_insert_with(|| request.producer_id.clone());
        if *stream_producer_id != request.producer_id {
            return Err(Error::invalid(format!(
                "producer_id: request {request_index} has {:?}, but the first request of the stream has \
                 {stream_producer_id:?}; open a stream for each producer",
                request.producer_id
            )));
        }
        check_event_count(request.len(), MAX_STREAM_EVENTS, "a request of a stream", "")?;
        if let Some(body_permit) = &self.body_permit {
            body_permit.grow_to(request.message_bytes())?;
        }
        if let Some(limits) = self.ingester.caller()?.limits() {
            limits.take(request.len(), request.message_bytes()).await?;
        }
        let sequence = request.sequence;
        let permit = self.ingester.writer.reserve(request.max_columns_bytes()).await?;
        let decoded = self.ingester.decode_request(request_index, request, &self.rejection_budget)?;
        let pending_ack = self.ingester.writer.submit(decoded.request, permit).await?;
        Ok(PendingRequest {
            sequence,
            rejected: decoded.rejected,
            rejections: decoded.rejections,
            pending_ack,
        })
    }
}

/// Waits for the acknowledgement of the oldest pending request. Cancel safe: the request is removed only with its outcome.
async fn next_outcome(pending: &mut VecDeque<PendingRequest>) -> Result<RequestOutcome, Error> {
    let Some(request) = pending.front_mut() else {
        return std::future::pending().await;
    };
    let ack = (&mut request.pending_ack).await;
    let request = pending.pop_front().expect("the front was awaited");
    let ack = ack?;
    Ok(RequestOutcome {
        sequence: request.sequence,
        accepted: ack.accepted,
        rejected: request.rejected,
        duplicates: ack.duplicates,
        rejections: request.rejections,
        last_durable_sequence: ack.last_durable_sequence,
    })
}

/// Breaks after an error, which ends the stream, and when the client is gone.
async fn send_outcome<E>(
    outcome: Result<RequestOutcome, Error>,
    outcomes: &mpsc::Sender<Result<RequestOutcome, StreamError<E>>>,
) -> ControlFlow<()> {
    let is_error = outcome.is_err();
    let sent = outcomes.send(outcome.map_err(StreamError::Ingest)).await;
    if is_error || sent.is_err() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;

    #[tokio::test]
    async fn a_panicked_task_ends_the_outcomes_with_an_error() {
        let (outcomes, receiver) = mpsc::channel(1);
        let task = tokio::spawn(async move {
            let _outcomes = outcomes;
            panic!("test");
        });
        let mut outcomes = Outcomes::<Infallible> { receiver, task: Some(AbortOnDropHandle::new(task)) };
        let Some(Err(StreamError::Ingest(error))) = outcomes.next().await else {
            panic!("the outcomes must end with an error");
        };
        assert_eq!(error.code, ErrorCode::Internal);
        assert!(outcomes.next().await.is_none());
    }

    #[tokio::test]
    async fn dropped_outcomes_abort_the_task() {
        let (outcomes, receiver) = mpsc::channel(1);
        let (alive, ended) = tokio::sync::oneshot::channel::<()>();
        let task = tokio::spawn(async move {
            let _held = (outcomes, alive);
            std::future::pending().await
        });
        drop(Outcomes::<Infallible> { receiver, task: Some(AbortOnDropHandle::new(task)) });
        assert!(ended.await.is_err(), "the task has dropped what it held");
    }
}

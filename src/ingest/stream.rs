//! One stream of requests, whichever call it belongs to: requests go to the writer as they come, outcomes come back in
//! the same order, each once its request is durable.

use std::collections::VecDeque;

use tokio::sync::mpsc;
use tokio_stream::{Stream, StreamExt};
use tokio_util::sync::CancellationToken;
use tonic::{Request, Status, Streaming};

use super::Ingester;
use super::ingester::{MAX_STREAM_EVENTS, RejectionBudget, Rejections, check_event_count};
use super::wire::EventsRequest;
use crate::edge::{self, body::BodyPermit};
use crate::error::Error;
use crate::writer::PendingAck;

/// How many requests of one stream may wait for the disk. Beyond it the stream is not read, and HTTP/2 flow control
/// slows the client.
const MAX_PENDING_REQUESTS: usize = 256;
/// How many outcomes may wait for a slow client. Beyond it the stream is not read either.
const MAX_UNSENT_OUTCOMES: usize = 64;

/// What became of one request.
#[derive(Debug)]
pub(super) struct RequestOutcome {
    pub(super) sequence: u64,
    pub(super) accepted: u64,
    pub(super) rejected: u64,
    pub(super) duplicates: u64,
    pub(super) rejections: Rejections,
    pub(super) last_durable_sequence: u64,
}

struct PendingRequest {
    sequence: u64,
    rejected: u64,
    rejections: Rejections,
    pending_ack: PendingAck,
}

/// Runs a stream to its end. The outcomes end with the first error, which is the stream's.
pub(super) fn run(
    ingester: Ingester,
    mut request: Request<Streaming<EventsRequest>>,
    stopping: CancellationToken,
) -> mpsc::Receiver<Result<RequestOutcome, Status>> {
    let (outcomes, outcome_receiver) = mpsc::channel(MAX_UNSENT_OUTCOMES);
    let body_permit = request.extensions_mut().remove::<BodyPermit>();
    let stream = IngestStream {
        ingester,
        body_permit,
        rejection_budget: RejectionBudget::for_stream(),
        producer_id: None,
        requests: 0,
    };
    tokio::spawn(async move {
        let response_stream = outcomes.clone();
        tokio::select! {
            // The client is gone: what it sent stays with the writer, its answer has nowhere to go.
            () = response_stream.closed() => {}
            () = serve(stream, request.into_inner(), stopping, outcomes) => {}
        }
    });
    outcome_receiver
}

/// What is known of a stream whose requests come in.
struct IngestStream {
    ingester: Ingester,
    /// What the request that is decoded holds of the edge's budget.
    body_permit: Option<BodyPermit>,
    rejection_budget: RejectionBudget,
    producer_id: Option<String>,
    requests: u64,
}

async fn serve(
    mut stream: IngestStream,
    mut requests: impl Stream<Item = Result<EventsRequest, Status>> + Unpin,
    stopping: CancellationToken,
    outcomes: mpsc::Sender<Result<RequestOutcome, Status>>,
) {
    let mut pending = VecDeque::new();
    let end: Result<(), Status> = loop {
        let next = tokio::select! {
            biased;
            outcome = next_outcome(&mut pending), if !pending.is_empty() => {
                if forward_outcome(outcome, &outcomes).await.is_err() {
                    return;
                }
                continue;
            }
            () = stopping.cancelled() => break Err(edge::connection_closing_error().into()),
            next = requests.next(), if pending.len() < MAX_PENDING_REQUESTS => next,
        };
        let request = match next {
            None => break Ok(()),
            Some(Err(status)) => break Err(status),
            Some(Ok(request)) => request,
        };
        match stream.submit(request).await {
            Ok(pending_request) => pending.push_back(pending_request),
            Err(error) => break Err(error.into()),
        }
    };
    // What was read before the end has been handed over, so its outcome is told first.
    while !pending.is_empty() {
        if forward_outcome(next_outcome(&mut pending).await, &outcomes).await.is_err() {
            return;
        }
    }
    if let Err(status) = end {
        // A client that is gone needs no status.
        outcomes.send(Err(status)).await.ok();
    }
}

impl IngestStream {
    /// Decodes a request and hands it over, once there is memory for it.
    async fn submit(&mut self, request: EventsRequest) -> Result<PendingRequest, Error> {
        let request_index = self.requests;
        self.requests += 1;
        let stream_producer_id = self.producer_id.get_or_insert_with(|| request.producer_id.clone());
        if *stream_producer_id != request.producer_id {
            return Err(Error::invalid(format!(
                "producer_id: request {request_index} has {:?}, but this stream began with {stream_producer_id:?}; open a stream for each \
                 producer",
                request.producer_id
            )));
        }
        check_event_count(request.len(), MAX_STREAM_EVENTS, "a request of a stream", "")?;
        if let Some(body_permit) = &self.body_permit {
            body_permit.grow_to(request.message_bytes())?;
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

/// The outcome of the first outstanding request. It stays the first until it is there, so this may be cancelled.
async fn next_outcome(pending: &mut VecDeque<PendingRequest>) -> Result<RequestOutcome, Status> {
    let Some(request) = pending.front_mut() else {
        return std::future::pending().await;
    };
    let ack = (&mut request.pending_ack).await;
    let request = pending.pop_front().expect("there is a first one");
    let ack = ack.map_err(Error::from)?;
    Ok(RequestOutcome {
        sequence: request.sequence,
        accepted: ack.accepted,
        rejected: request.rejected,
        duplicates: ack.duplicates,
        rejections: request.rejections,
        last_durable_sequence: ack.last_durable_sequence,
    })
}

/// Passes an outcome on; an error is the last one, and so is a client that is gone.
async fn forward_outcome(
    outcome: Result<RequestOutcome, Status>,
    outcomes: &mpsc::Sender<Result<RequestOutcome, Status>>,
) -> Result<(), ()> {
    let last = outcome.is_err();
    let sent = outcomes.send(outcome).await;
    if last || sent.is_err() { Err(()) } else { Ok(()) }
}

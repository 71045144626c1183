//! One stream of requests, whichever call it belongs to: requests go to the writer as they come, outcomes come back in
//! the same order, each once its request is durable.

use std::collections::VecDeque;

use tokio::sync::mpsc;
use tokio_stream::{Stream, StreamExt};
use tokio_util::sync::CancellationToken;
use tonic::{Request, Status, Streaming};

use super::Receiver;
use super::receive::{Client, MAX_STREAM_EVENTS, Rejections, check_count};
use super::wire::EventsRequest;
use crate::edge::{self, body::Charge};
use crate::error::Error;
use crate::writer::Promise;

/// How many requests of one stream may wait for the disk. Beyond it the stream is not read, and HTTP/2 flow control
/// slows the client.
const MAX_OUTSTANDING: usize = 256;
/// How many outcomes may wait for a slow client. Beyond it the stream is not read either.
const MAX_UNSENT: usize = 64;

/// What became of one request.
#[derive(Debug)]
pub(super) struct Outcome {
    pub(super) sequence: u64,
    pub(super) accepted: u64,
    pub(super) rejected: u64,
    pub(super) duplicates: u64,
    pub(super) rejections: Rejections,
    pub(super) last_durable_sequence: u64,
}

struct Outstanding {
    sequence: u64,
    rejected: u64,
    rejections: Rejections,
    promise: Promise,
}

/// Runs a stream to its end. The outcomes end with the first error, which is the stream's.
pub(super) fn run(
    receiver: Receiver,
    mut request: Request<Streaming<EventsRequest>>,
    stopping: CancellationToken,
) -> mpsc::Receiver<Result<Outcome, Status>> {
    let (outcomes, from_session) = mpsc::channel(MAX_UNSENT);
    let charge = request.extensions_mut().remove::<Charge>();
    let stream = Incoming { receiver, charge, client: Client::stream(), producer_id: None, requests: 0 };
    tokio::spawn(async move {
        let ended = outcomes.clone();
        tokio::select! {
            // The client is gone: what it sent stays with the writer, its answer has nowhere to go.
            () = ended.closed() => {}
            () = serve(stream, request.into_inner(), stopping, outcomes) => {}
        }
    });
    from_session
}

/// What is known of a stream whose requests come in.
struct Incoming {
    receiver: Receiver,
    /// What the request that is decoded holds of the edge's budget.
    charge: Option<Charge>,
    client: Client,
    producer_id: Option<String>,
    requests: u64,
}

async fn serve(
    mut stream: Incoming,
    mut requests: impl Stream<Item = Result<EventsRequest, Status>> + Unpin,
    stopping: CancellationToken,
    outcomes: mpsc::Sender<Result<Outcome, Status>>,
) {
    let mut outstanding = VecDeque::new();
    let end: Result<(), Status> = loop {
        let next = tokio::select! {
            biased;
            done = first(&mut outstanding), if !outstanding.is_empty() => {
                if pass_on(done, &outcomes).await.is_err() {
                    return;
                }
                continue;
            }
            () = stopping.cancelled() => break Err(edge::ended().into()),
            next = requests.next(), if outstanding.len() < MAX_OUTSTANDING => next,
        };
        let request = match next {
            None => break Ok(()),
            Some(Err(status)) => break Err(status),
            Some(Ok(request)) => request,
        };
        match stream.take(request).await {
            Ok(taken) => outstanding.push_back(taken),
            Err(error) => break Err(error.into()),
        }
    };
    // What was read before the end has been handed over, so its outcome is told first.
    while !outstanding.is_empty() {
        if pass_on(first(&mut outstanding).await, &outcomes).await.is_err() {
            return;
        }
    }
    if let Err(status) = end {
        // A client that is gone needs no status.
        outcomes.send(Err(status)).await.ok();
    }
}

impl Incoming {
    /// Decodes a request and hands it over, once there is memory for it.
    async fn take(&mut self, request: EventsRequest) -> Result<Outstanding, Error> {
        let number = self.requests;
        self.requests += 1;
        let same = self.producer_id.get_or_insert_with(|| request.producer_id.clone());
        if *same != request.producer_id {
            return Err(Error::invalid(format!(
                "producer_id: request {number} has {:?}, but this stream began with {same:?}; open a stream for each \
                 producer",
                request.producer_id
            )));
        }
        check_count(request.len(), MAX_STREAM_EVENTS, "a request of a stream", "")?;
        if let Some(charge) = &self.charge {
            charge.cover(request.message_bytes())?;
        }
        let sequence = request.sequence;
        let share = self.receiver.writer.reserve(request.columns_bytes()).await?;
        let received = self.receiver.receive(number, request, &self.client)?;
        let promise = self.receiver.writer.submit(received.request, share).await?;
        Ok(Outstanding { sequence, rejected: received.rejected, rejections: received.rejections, promise })
    }
}

/// The outcome of the first outstanding request. It stays the first until it is there, so this may be cancelled.
async fn first(outstanding: &mut VecDeque<Outstanding>) -> Result<Outcome, Status> {
    let Some(request) = outstanding.front_mut() else {
        return std::future::pending().await;
    };
    let receipt = (&mut request.promise).await;
    let request = outstanding.pop_front().expect("there is a first one");
    let receipt = receipt.map_err(Error::from)?;
    Ok(Outcome {
        sequence: request.sequence,
        accepted: receipt.accepted,
        rejected: request.rejected,
        duplicates: receipt.duplicates,
        rejections: request.rejections,
        last_durable_sequence: receipt.last_durable_sequence,
    })
}

/// Passes an outcome on; an error is the last one, and so is a client that is gone.
async fn pass_on(
    outcome: Result<Outcome, Status>,
    outcomes: &mpsc::Sender<Result<Outcome, Status>>,
) -> Result<(), ()> {
    let last = outcome.is_err();
    let sent = outcomes.send(outcome).await;
    if last || sent.is_err() { Err(()) } else { Ok(()) }
}

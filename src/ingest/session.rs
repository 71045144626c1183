//! One stream of requests, whichever call it belongs to: requests go to the writer as they come, outcomes come back in
//! the same order, each once its request is durable.

use std::collections::VecDeque;

use tokio::sync::mpsc;
use tokio_stream::{Stream, StreamExt};
use tokio_util::sync::CancellationToken;
use tonic::Status;

use super::Receiver;
use crate::proto::v1;
use crate::writer::{Promise, Stopping};

/// How many requests of one stream may wait for the disk. Beyond it the stream is not read, and HTTP/2 flow control
/// slows the client.
const MAX_OUTSTANDING: usize = 256;
/// How many outcomes may wait for a slow client. Beyond it the stream is not read either.
const MAX_UNSENT: usize = 64;

/// A request of either streaming call.
#[derive(Debug)]
pub(super) struct Incoming {
    pub(super) producer_id: String,
    pub(super) sequence: u64,
    pub(super) new_numbering: bool,
    pub(super) events: Vec<v1::Event>,
}

/// What became of one request.
#[derive(Debug)]
pub(super) struct Outcome {
    pub(super) sequence: u64,
    pub(super) accepted: u64,
    pub(super) rejected: u64,
    pub(super) duplicates: u64,
    pub(super) rejections: Vec<v1::Rejection>,
    pub(super) last_durable_sequence: u64,
}

struct Outstanding {
    sequence: u64,
    rejected: u64,
    rejections: Vec<v1::Rejection>,
    promise: Promise,
}

/// Runs a stream to its end. The outcomes end with the first error, which is the stream's.
pub(super) fn run(
    receiver: Receiver,
    requests: impl Stream<Item = Result<Incoming, Status>> + Send + Unpin + 'static,
    stopping: CancellationToken,
) -> mpsc::Receiver<Result<Outcome, Status>> {
    let (outcomes, from_session) = mpsc::channel(MAX_UNSENT);
    tokio::spawn(async move {
        let ended = outcomes.clone();
        tokio::select! {
            // The client is gone: what it sent stays with the writer, its answer has nowhere to go.
            () = ended.closed() => {}
            () = serve(receiver, requests, stopping, outcomes) => {}
        }
    });
    from_session
}

async fn serve(
    receiver: Receiver,
    mut requests: impl Stream<Item = Result<Incoming, Status>> + Unpin,
    stopping: CancellationToken,
    outcomes: mpsc::Sender<Result<Outcome, Status>>,
) {
    let mut outstanding = VecDeque::new();
    let mut producer_id = None;
    let mut number = 0;
    let end: Result<(), Status> = loop {
        let next = tokio::select! {
            biased;
            done = first(&mut outstanding), if !outstanding.is_empty() => {
                if pass_on(done, &outcomes).await.is_err() {
                    return;
                }
                continue;
            }
            () = stopping.cancelled() => break Err(crate::error::Error::from(Stopping).into()),
            next = requests.next(), if outstanding.len() < MAX_OUTSTANDING => next,
        };
        let incoming = match next {
            None => break Ok(()),
            Some(Err(status)) => break Err(status),
            Some(Ok(incoming)) => incoming,
        };
        match take_in(&receiver, number, &mut producer_id, incoming).await {
            Ok(taken) => outstanding.push_back(taken),
            Err(status) => break Err(status),
        }
        number += 1;
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

async fn take_in(
    receiver: &Receiver,
    number: u64,
    producer_id: &mut Option<String>,
    incoming: Incoming,
) -> Result<Outstanding, Status> {
    let same = producer_id.get_or_insert_with(|| incoming.producer_id.clone());
    if *same != incoming.producer_id {
        return Err(Status::invalid_argument(format!(
            "producer_id: request {number} has {:?}, but this stream began with {same:?}; open a stream for each producer",
            incoming.producer_id
        )));
    }
    let received = receiver.receive(number, incoming.producer_id, incoming.sequence, &incoming.events)?;
    let received = received.new_numbering(incoming.new_numbering)?;
    let promise = receiver.writer.submit(received.request).await.map_err(crate::error::Error::from)?;
    Ok(Outstanding {
        sequence: incoming.sequence,
        rejected: received.rejected,
        rejections: received.rejections,
        promise,
    })
}

/// The outcome of the first outstanding request. It stays the first until it is there, so this may be cancelled.
async fn first(outstanding: &mut VecDeque<Outstanding>) -> Result<Outcome, Status> {
    let Some(request) = outstanding.front_mut() else {
        return std::future::pending().await;
    };
    let receipt = (&mut request.promise).await;
    let request = outstanding.pop_front().expect("there is a first one");
    let receipt = receipt.map_err(crate::error::Error::from)?;
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

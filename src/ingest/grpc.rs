//! IngestService.

use std::pin::Pin;

use tokio_stream::wrappers::ReceiverStream;
use tokio_stream::{Stream, StreamExt};
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status, Streaming};

use super::Receiver;
use super::receive::{MAX_PRODUCER_ID_BYTES, MAX_REJECTIONS};
use super::session::{self, Incoming, Outcome};
use crate::error::Error;
use crate::proto::v1;
use v1::ingest_service_server::IngestService;

/// How many events SendEvents takes.
pub const MAX_SEND_EVENTS: usize = 500;

/// The gRPC door.
#[derive(Debug)]
pub struct IngestDoor {
    receiver: Receiver,
    stopping: CancellationToken,
}

impl IngestDoor {
    /// A door to the writer. When `stopping` is cancelled, streams are no longer read: what was read is acknowledged,
    /// then the stream ends with UNAVAILABLE.
    pub fn new(receiver: Receiver, stopping: CancellationToken) -> Self {
        Self { receiver, stopping }
    }
}

#[tonic::async_trait]
impl IngestService for IngestDoor {
    async fn upload_events(
        &self,
        request: Request<Streaming<v1::UploadEventsRequest>>,
    ) -> Result<Response<v1::UploadEventsResponse>, Status> {
        let requests = request.into_inner().map(|request| {
            request.map(|r| Incoming {
                producer_id: r.producer_id,
                sequence: r.sequence,
                new_numbering: r.start_new_numbering,
                events: r.events,
            })
        });
        let mut outcomes = session::run(self.receiver.clone(), requests, self.stopping.clone());
        let mut total = v1::UploadEventsResponse::default();
        while let Some(outcome) = outcomes.recv().await {
            let outcome = outcome?;
            total.accepted += outcome.accepted;
            total.rejected += outcome.rejected;
            total.duplicates += outcome.duplicates;
            let room = MAX_REJECTIONS - total.rejections.len();
            total.rejections.extend(outcome.rejections.into_iter().take(room));
            total.last_durable_sequence = outcome.last_durable_sequence;
        }
        Ok(Response::new(total))
    }

    type StreamEventsStream = Pin<Box<dyn Stream<Item = Result<v1::StreamEventsResponse, Status>> + Send>>;

    async fn stream_events(
        &self,
        request: Request<Streaming<v1::StreamEventsRequest>>,
    ) -> Result<Response<Self::StreamEventsStream>, Status> {
        let requests = request.into_inner().map(|request| {
            request.map(|r| Incoming {
                producer_id: r.producer_id,
                sequence: r.sequence,
                new_numbering: r.start_new_numbering,
                events: r.events,
            })
        });
        let outcomes = session::run(self.receiver.clone(), requests, self.stopping.clone());
        let responses = ReceiverStream::new(outcomes).map(|outcome| outcome.map(acknowledgement));
        Ok(Response::new(Box::pin(responses)))
    }

    async fn send_events(
        &self,
        request: Request<v1::SendEventsRequest>,
    ) -> Result<Response<v1::SendEventsResponse>, Status> {
        let request = request.into_inner();
        if request.events.len() > MAX_SEND_EVENTS {
            return Err(Error::invalid(format!(
                "events: {} were sent; SendEvents takes at most {MAX_SEND_EVENTS}: send them in parts, or use UploadEvents",
                request.events.len()
            ))
            .into());
        }
        let received = self.receiver.receive(0, request.producer_id, request.sequence, &request.events)?;
        let received = received.new_numbering(request.start_new_numbering)?;
        let promise = self.receiver.writer.try_submit(received.request).await.map_err(Error::from)?;
        let receipt = promise.await.map_err(Error::from)?;
        Ok(Response::new(v1::SendEventsResponse {
            accepted: receipt.accepted,
            rejected: received.rejected,
            duplicates: receipt.duplicates,
            rejections: received.rejections,
            last_durable_sequence: receipt.last_durable_sequence,
        }))
    }

    async fn get_producer(
        &self,
        request: Request<v1::GetProducerRequest>,
    ) -> Result<Response<v1::GetProducerResponse>, Status> {
        let producer_id = request.into_inner().producer_id;
        if producer_id.is_empty() || producer_id.len() > MAX_PRODUCER_ID_BYTES {
            return Err(Error::invalid(format!(
                "producer_id has {} bytes; 1 to {MAX_PRODUCER_ID_BYTES} are allowed",
                producer_id.len()
            ))
            .into());
        }
        let place = self.receiver.writer.producer(producer_id.clone()).await.map_err(Error::from)?;
        Ok(Response::new(v1::GetProducerResponse {
            producer_id,
            last_durable_sequence: place.map_or(0, |place| place.durable),
            last_seen: place.map(|place| crate::proto::timestamp(place.last_seen_ms)),
            known: place.is_some(),
        }))
    }
}

fn acknowledgement(outcome: Outcome) -> v1::StreamEventsResponse {
    v1::StreamEventsResponse {
        sequence: outcome.sequence,
        accepted: outcome.accepted,
        rejected: outcome.rejected,
        duplicates: outcome.duplicates,
        rejections: outcome.rejections,
        last_durable_sequence: outcome.last_durable_sequence,
    }
}

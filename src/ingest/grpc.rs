//! IngestService.

use std::pin::Pin;

use tokio_stream::wrappers::ReceiverStream;
use tokio_stream::{Stream, StreamExt};
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status, Streaming};

use super::Receiver;
use super::receive::{Client, MAX_PRODUCER_ID_BYTES, Rejections, check_count};
use super::session::{self, Outcome};
use super::wire::EventsRequest;
use crate::edge::{self, body::Charge};
use crate::error::Error;
use crate::proto::ingest_server::ingest_service_server::IngestService;
use crate::proto::v1;

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
        request: Request<Streaming<EventsRequest>>,
    ) -> Result<Response<v1::UploadEventsResponse>, Status> {
        // Its one response comes at the end, so it outlasts the age of its connection.
        let mut outcomes = session::run(self.receiver.clone(), request, self.stopping.clone());
        let mut total = v1::UploadEventsResponse::default();
        let mut rejections = Rejections::default();
        while let Some(outcome) = outcomes.recv().await {
            let outcome = outcome?;
            total.accepted += outcome.accepted;
            total.rejected += outcome.rejected;
            total.duplicates += outcome.duplicates;
            rejections.extend(outcome.rejections);
            total.last_durable_sequence = outcome.last_durable_sequence;
        }
        total.rejections = rejections.into_list();
        Ok(Response::new(total))
    }

    type StreamEventsStream = Pin<Box<dyn Stream<Item = Result<v1::StreamEventsResponse, Status>> + Send>>;

    async fn stream_events(
        &self,
        request: Request<Streaming<EventsRequest>>,
    ) -> Result<Response<Self::StreamEventsStream>, Status> {
        let ending = edge::ending(request.extensions(), &self.stopping);
        let outcomes = session::run(self.receiver.clone(), request, ending);
        let responses = ReceiverStream::new(outcomes).map(|outcome| outcome.map(acknowledgement));
        Ok(Response::new(Box::pin(responses)))
    }

    async fn send_events(
        &self,
        mut request: Request<EventsRequest>,
    ) -> Result<Response<v1::SendEventsResponse>, Status> {
        let charge = request.extensions_mut().remove::<Charge>();
        let request = request.into_inner();
        check_count(request.len(), MAX_SEND_EVENTS, "SendEvents", ", or use UploadEvents")?;
        if let Some(charge) = &charge {
            charge.cover(request.message_bytes())?;
        }
        let writer = &self.receiver.writer;
        let share = writer.try_reserve(request.columns_bytes()).await.map_err(Error::from)?;
        let received = self.receiver.receive(0, request, &Client::unary())?;
        drop(charge); // it is decoded
        let promise = writer.try_submit(received.request, share).await.map_err(Error::from)?;
        let receipt = promise.await.map_err(Error::from)?;
        Ok(Response::new(v1::SendEventsResponse {
            accepted: receipt.accepted,
            rejected: received.rejected,
            duplicates: receipt.duplicates,
            rejections: received.rejections.into_list(),
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
        rejections: outcome.rejections.into_list(),
        last_durable_sequence: outcome.last_durable_sequence,
    }
}

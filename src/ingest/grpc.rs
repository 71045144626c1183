//! IngestService.

use std::pin::Pin;

use tokio_stream::wrappers::ReceiverStream;
use tokio_stream::{Stream, StreamExt};
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status, Streaming};

use super::Ingester;
use super::ingester::{MAX_PRODUCER_ID_BYTES, RejectionBudget, Rejections, check_event_count};
use super::stream::{self, RequestOutcome};
use super::wire::EventsRequest;
use crate::edge::{self, body::BodyPermit};
use crate::error::Error;
use crate::proto::v1;
use crate::proto::v1::ingest_service_server::IngestService;

/// How many events SendEvents takes.
pub const MAX_SEND_EVENTS: usize = 500;

/// The gRPC door.
#[derive(Debug)]
pub struct IngestHandler {
    ingester: Ingester,
    stopping: CancellationToken,
}

impl IngestHandler {
    /// A door to the writer. When `stopping` is cancelled, streams are no longer read: what was read is acknowledged,
    /// then the stream ends with UNAVAILABLE.
    pub fn new(ingester: Ingester, stopping: CancellationToken) -> Self {
        Self { ingester, stopping }
    }
}

#[tonic::async_trait]
impl IngestService for IngestHandler {
    async fn upload_events(
        &self,
        request: Request<Streaming<EventsRequest>>,
    ) -> Result<Response<v1::UploadEventsResponse>, Status> {
        // Its one response comes at the end, so it outlasts the age of its connection.
        let mut outcomes = stream::run(self.ingester.clone(), request, self.stopping.clone());
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
        let ending = edge::connection_shutdown(request.extensions(), &self.stopping);
        let outcomes = stream::run(self.ingester.clone(), request, ending);
        let responses = ReceiverStream::new(outcomes).map(|outcome| outcome.map(to_stream_response));
        Ok(Response::new(Box::pin(responses)))
    }

    async fn send_events(
        &self,
        mut request: Request<EventsRequest>,
    ) -> Result<Response<v1::SendEventsResponse>, Status> {
        let body_permit = request.extensions_mut().remove::<BodyPermit>();
        let request = request.into_inner();
        check_event_count(request.len(), MAX_SEND_EVENTS, "SendEvents", ", or use UploadEvents")?;
        if let Some(body_permit) = &body_permit {
            body_permit.grow_to(request.message_bytes())?;
        }
        let writer = &self.ingester.writer;
        let permit = writer.try_reserve(request.max_columns_bytes()).await.map_err(Error::from)?;
        let decoded = self.ingester.decode_request(0, request, &RejectionBudget::for_unary())?;
        drop(body_permit); // it is decoded
        let pending_ack = writer.try_submit(decoded.request, permit).await.map_err(Error::from)?;
        let ack = pending_ack.await.map_err(Error::from)?;
        Ok(Response::new(v1::SendEventsResponse {
            accepted: ack.accepted,
            rejected: decoded.rejected,
            duplicates: ack.duplicates,
            rejections: decoded.rejections.into_list(),
            last_durable_sequence: ack.last_durable_sequence,
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
        let producer = self.ingester.writer.producer_state(producer_id.clone()).await.map_err(Error::from)?;
        Ok(Response::new(v1::GetProducerResponse {
            producer_id,
            last_durable_sequence: producer.map_or(0, |producer| producer.last_durable_sequence),
            last_seen: producer.map(|producer| crate::proto::timestamp_from_millis(producer.last_seen_ms)),
            known: producer.is_some(),
        }))
    }
}

fn to_stream_response(outcome: RequestOutcome) -> v1::StreamEventsResponse {
    v1::StreamEventsResponse {
        sequence: outcome.sequence,
        accepted: outcome.accepted,
        rejected: outcome.rejected,
        duplicates: outcome.duplicates,
        rejections: outcome.rejections.into_list(),
        last_durable_sequence: outcome.last_durable_sequence,
    }
}

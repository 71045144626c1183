//! IngestService over gRPC.

use std::pin::Pin;
use std::sync::Arc;

use tokio_stream::{Stream, StreamExt};
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status, Streaming};

use super::ingester::{MAX_PRODUCER_ID_BYTES, RejectionBudget, Rejections, check_event_count};
use super::stream::{self, Outcomes, RequestOutcome, StreamError};
use super::wire::EventsRequest;
use super::{Ingester, MAX_SEND_EVENTS};
use crate::access::Caller;
use crate::edge::{self, body::BodyPermit};
use crate::error::Error;
use crate::proto::v1::{self, EventSource};
use v1::ingest_service_server::IngestService;

/// Serves IngestService.
#[derive(Debug)]
pub(crate) struct IngestHandler {
    ingester: Ingester,
    server_id: Arc<str>,
    stopping: CancellationToken,
}

impl IngestHandler {
    /// `server_id` names the data folder to producers. When `stopping` is cancelled, streams are no longer read: what was read is acknowledged, then the stream ends with
    /// UNAVAILABLE.
    pub(crate) fn new(ingester: Ingester, server_id: &str, stopping: CancellationToken) -> Self {
        Self { ingester, server_id: server_id.into(), stopping }
    }

    fn run_stream(
        &self,
        mut request: Request<Streaming<EventsRequest>>,
        stopping: CancellationToken,
    ) -> Result<Outcomes<Status>, Error> {
        let ingester = self.ingester.for_request(
            request.extensions(),
            request.metadata().as_ref(),
            EventSource::Grpc,
        )?;
        let stream_permit = ingester.caller()?.limits().map_or(Ok(None), |limits| limits.open_stream())?;
        let body_permit = request.extensions_mut().remove::<BodyPermit>();
        Ok(stream::run(ingester, stream_permit, body_permit, request.into_inner(), stopping))
    }
}

#[tonic::async_trait]
impl IngestService for IngestHandler {
    async fn upload_events(
        &self,
        request: Request<Streaming<EventsRequest>>,
    ) -> Result<Response<v1::UploadEventsResponse>, Status> {
        // Not ended by the maximum age of its connection: its only response is the one at the end.
        let mut outcomes = self.run_stream(request, self.stopping.clone())?;
        let mut total = v1::UploadEventsResponse::default();
        let mut rejections = Rejections::default();
        while let Some(outcome) = outcomes.next().await {
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
        let stopping = edge::connection_shutdown(request.extensions(), &self.stopping);
        let outcomes = self.run_stream(request, stopping)?;
        let server_id = Arc::clone(&self.server_id);
        let responses = outcomes.map(move |outcome| {
            outcome.map(|outcome| to_stream_response(outcome, &server_id)).map_err(Status::from)
        });
        Ok(Response::new(Box::pin(responses)))
    }

    async fn send_events(
        &self,
        mut request: Request<EventsRequest>,
    ) -> Result<Response<v1::SendEventsResponse>, Status> {
        let ingester = self.ingester.for_request(
            request.extensions(),
            request.metadata().as_ref(),
            EventSource::Grpc,
        )?;
        let body_permit = request.extensions_mut().remove::<BodyPermit>();
        let request = request.into_inner();
        check_event_count(request.len(), MAX_SEND_EVENTS, "SendEvents", ", or use UploadEvents")?;
        if let Some(body_permit) = &body_permit {
            body_permit.grow_to(request.message_bytes())?;
        }
        ingester.take_tokens(request.len(), request.message_bytes()).await?;
        let writer = &ingester.writer;
        let permit = writer.try_reserve(request.max_columns_bytes()).await.map_err(Error::from)?;
        let decoded = ingester.decode_request(0, request, &RejectionBudget::for_unary())?;
        drop(body_permit); // the message is decoded
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
        let caller = Caller::of(request.extensions())?;
        let producer_id = request.into_inner().producer_id;
        if producer_id.is_empty() || producer_id.len() > MAX_PRODUCER_ID_BYTES {
            return Err(Error::invalid(format!(
                "producer_id has {} bytes; use 1 to {MAX_PRODUCER_ID_BYTES}",
                producer_id.len()
            ))
            .into());
        }
        let producer =
            self.ingester.writer.producer_state(&caller.project, &producer_id).await.map_err(Error::from)?;
        Ok(Response::new(v1::GetProducerResponse {
            producer_id,
            last_durable_sequence: producer.map_or(0, |producer| producer.last_durable_sequence),
            last_seen: producer.map(|producer| crate::proto::timestamp_from_millis(producer.last_seen_ms)),
            known: producer.is_some(),
            server_id: self.server_id.to_string(),
        }))
    }
}

impl From<StreamError<Status>> for Status {
    fn from(error: StreamError<Status>) -> Self {
        match error {
            StreamError::Read(status) => status,
            StreamError::Ingest(error) => error.into(),
        }
    }
}

fn to_stream_response(outcome: RequestOutcome, server_id: &str) -> v1::StreamEventsResponse {
    v1::StreamEventsResponse {
        sequence: outcome.sequence,
        accepted: outcome.accepted,
        rejected: outcome.rejected,
        duplicates: outcome.duplicates,
        rejections: outcome.rejections.into_list(),
        last_durable_sequence: outcome.last_durable_sequence,
        server_id: server_id.to_owned(),
    }
}

//! The background task of a producer. It owns the connection and the send window, and takes batches from the queue.

use std::sync::Arc;
use std::time::{Duration, Instant};

use backon::{BackoffBuilder, ExponentialBuilder};
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status, Streaming};
use tonic_types::StatusExt;

use crate::producer::ProducerConfig;
use crate::proto::v1;
use crate::queue::{EventQueue, NextBatch};
use crate::request::{EncodedEvents, EncodedRequest, StreamEventsCodec};
use crate::send_window::{ClockReading, ProducerStatus, SendWindow};
use crate::{ClientError, Totals};
use v1::ingest_service_client::IngestServiceClient;

/// Delays between reconnects: 100 ms, doubling to 4 s. Jitter adds up to the same again.
const BACKOFF: ExponentialBuilder = ExponentialBuilder::new()
    .with_min_delay(Duration::from_millis(100))
    .with_max_delay(Duration::from_secs(4))
    .with_factor(2.0)
    .without_max_times()
    .with_jitter();
/// The longest retry delay of a server that is honored.
const MAX_RETRY_DELAY: Duration = Duration::from_secs(300);
/// After this many consecutive rejections without a retry delay the producer fails. Fewer may come from an overloaded proxy.
const MAX_CONSECUTIVE_REJECTIONS: u32 = 5;
/// The producer's id, for proxies in front of several servers.
const PRODUCER_ID_HEADER: &str = "millrace-producer-id";
const STREAM_EVENTS_PATH: &str = "/millrace.v1.IngestService/StreamEvents";
/// How long the server may take to respond to GetProducer, and to accept a stream.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(10);

pub(crate) struct ProducerTask {
    config: ProducerConfig,
    producer_id: Arc<str>,
    endpoint: Endpoint,
    queue: Arc<EventQueue>,
    window: SendWindow,
    totals: watch::Sender<Totals>,
}

impl Drop for ProducerTask {
    /// Also when the task panics, or its runtime shuts down.
    fn drop(&mut self) {
        self.queue.end();
    }
}

/// An open StreamEvents call.
pub(crate) struct OpenStream {
    requests: mpsc::Sender<EncodedRequest>,
    responses: Streaming<v1::StreamEventsResponse>,
}

enum StreamEnd {
    /// No further event can arrive, and everything is acknowledged.
    Drained,
    /// The connection was lost (`None`), or the server ended the call with a status.
    Disconnected(Option<Status>),
}

/// Why a stream ended, or could not be opened.
pub(crate) struct StreamFailure {
    pub(crate) error: ClientError,
    /// Whether a retry would fail in the same way.
    permanent: bool,
    /// The retry delay from the server's `RetryInfo`.
    retry_after: Option<Duration>,
}

impl ProducerTask {
    pub(crate) fn new(
        config: ProducerConfig,
        producer_id: Arc<str>,
        endpoint: Endpoint,
        queue: Arc<EventQueue>,
        totals: watch::Sender<Totals>,
    ) -> Self {
        Self { config, producer_id, endpoint, queue, window: SendWindow::default(), totals }
    }

    /// Runs until the producer is closed, or all its handles are dropped, and everything is acknowledged; or until a failure
    /// is permanent.
    pub(crate) async fn run(mut self, first_stream: OpenStream) -> Result<Totals, ClientError> {
        let result = self.drive(first_stream).await;
        self.queue.complete_flushes(&self.totals.borrow());
        if let Err(error) = &result {
            // Before the queue ends, so that a failed `send` or `flush` finds the reason.
            self.totals.send_modify(|totals| totals.failure = Some(error.clone()));
        }
        result.map(|()| self.totals.borrow().clone())
    }

    /// Drives one stream after the other.
    async fn drive(&mut self, first_stream: OpenStream) -> Result<(), ClientError> {
        let mut next_stream = Some(first_stream);
        let mut backoff = BACKOFF.build();
        let mut stalled_since: Option<Instant> = None;
        let mut consecutive_rejections = 0;
        loop {
            if self.queue.is_closed() && self.is_done() {
                return Ok(()); // nothing is left to reconnect for
            }
            let acknowledged = self.totals.borrow().acknowledged;
            let stream = match next_stream.take() {
                Some(stream) => Ok(stream),
                None => self.connect().await,
            };
            let (failure, idle) = match stream {
                Ok(stream) => {
                    let idle = self.window.len() == 0;
                    let status = match self.drive_stream(stream).await {
                        StreamEnd::Drained => return Ok(()),
                        StreamEnd::Disconnected(status) => status,
                    };
                    self.totals.send_modify(|totals| totals.reconnects += 1);
                    (self.failure(status), idle)
                }
                Err(failure) => (failure, false),
            };
            if idle || self.totals.borrow().acknowledged > acknowledged {
                (stalled_since, consecutive_rejections, backoff) = (None, 0, BACKOFF.build());
            }
            let since = *stalled_since.get_or_insert_with(Instant::now);
            if failure.permanent || self.config.stall_timeout.is_some_and(|limit| since.elapsed() > limit) {
                return Err(failure.error);
            }
            consecutive_rejections = match failure.error {
                ClientError::Rejected(_) => consecutive_rejections + 1,
                _ => 0,
            };
            if consecutive_rejections == MAX_CONSECUTIVE_REJECTIONS {
                return Err(failure.error);
            }
            // Added to the server's delay too, so that rejected producers do not return at the same moment.
            let delay = backoff.next().expect("the number of retries is not limited");
            tokio::time::sleep(failure.retry_after.unwrap_or_default().min(MAX_RETRY_DELAY) + delay).await;
        }
    }

    fn failure(&self, status: Option<Status>) -> StreamFailure {
        let Some(status) = status else {
            return self.unavailable("the connection was closed");
        };
        let retry_after = status.get_error_details().retry_info().and_then(|info| info.retry_delay);
        let permanent = is_permanent(status.code());
        // A server that is full names a retry delay. Without one, the request itself exceeds a limit, or a proxy is full.
        if permanent || (status.code() == Code::ResourceExhausted && retry_after.is_none()) {
            let error = ClientError::Rejected(status.message().to_owned());
            return StreamFailure { error, permanent, retry_after };
        }
        StreamFailure { retry_after, ..self.unavailable(status.message()) }
    }

    fn unavailable(&self, reason: impl Into<String>) -> StreamFailure {
        let url = self.config.url.clone();
        let error = ClientError::Unavailable { url, reason: reason.into() };
        StreamFailure { error, permanent: false, retry_after: None }
    }

    /// Connects, gets the last durable sequence of the producer, and resends what comes after it.
    pub(crate) async fn connect(&mut self) -> Result<OpenStream, StreamFailure> {
        let channel = self.endpoint.connect().await.map_err(|error| self.unavailable(root_cause(&error)))?;
        let mut client: IngestServiceClient<Channel> = IngestServiceClient::new(channel.clone());
        let request =
            self.for_producer(v1::GetProducerRequest { producer_id: self.config.producer_id.clone() });
        let producer = tokio::time::timeout(RESPONSE_TIMEOUT, client.get_producer(request))
            .await
            .map_err(|_| self.unavailable(no_response_to("GetProducer")))?
            .map_err(|status| self.failure(Some(status)))?
            .into_inner();
        // Servers older than the field `known` set only `last_seen` for a known producer.
        let status = match producer.known || producer.last_seen.is_some() {
            true => ProducerStatus::DurableThrough(producer.last_durable_sequence),
            false => ProducerStatus::Unknown,
        };
        let resumed = self.window.resume(status, &producer.server_id, ClockReading::now());
        let resumed = resumed.map_err(|error| StreamFailure { error, permanent: true, retry_after: None })?;
        self.totals.send_modify(|totals| totals.add_resume_outcome(resumed));
        let (requests, outbound) = mpsc::channel(self.config.max_unacknowledged + 1);
        for request in self.window.unacknowledged() {
            requests.try_send(request.clone()).expect("the channel has capacity for the whole window");
        }
        let responses =
            tokio::time::timeout(RESPONSE_TIMEOUT, open_stream(channel, self.for_producer(outbound)))
                .await
                .map_err(|_| self.unavailable(no_response_to("StreamEvents")))?
                .map_err(|status| self.failure(Some(status)))?;
        Ok(OpenStream { requests, responses })
    }

    /// A request with the producer's key, and with the header by which a proxy sends all calls of a producer to one server. An id that is not ASCII is not
    /// sent; the proxy then chooses as it does for others.
    fn for_producer<T>(&self, message: T) -> tonic::Request<T> {
        let mut request = tonic::Request::new(message);
        if let Ok(producer_id) = self.config.producer_id.parse() {
            request.metadata_mut().insert(PRODUCER_ID_HEADER, producer_id);
        }
        if let Some(key) = &self.config.key {
            request.metadata_mut().insert("authorization", key.clone());
        }
        request
    }

    async fn drive_stream(&mut self, mut stream: OpenStream) -> StreamEnd {
        loop {
            let batch_deadline = self.send_batches(&stream);
            self.queue.complete_flushes(&self.totals.borrow());
            if self.queue.is_closed() && self.is_done() {
                return StreamEnd::Drained;
            }
            let delay = async {
                match batch_deadline {
                    Some(deadline) => tokio::time::sleep_until(deadline).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                response = stream.responses.message() => match response {
                    Ok(Some(response)) if self.window.is_from_server(&response.server_id) => {
                        self.handle_response(response);
                    }
                    Ok(Some(_)) => {
                        self.window.lose_numbering();
                        let moved = "a proxy sent GetProducer and StreamEvents to different servers";
                        return StreamEnd::Disconnected(Some(Status::unavailable(moved)));
                    }
                    Ok(None) => return StreamEnd::Disconnected(None),
                    Err(status) => return StreamEnd::Disconnected(Some(status)),
                },
                () = self.queue.changed() => {}
                () = delay => {}
            }
        }
    }

    /// Sends the batches that are ready and fit into the window. Returns when the open batch is ready, unless it must wait for
    /// an acknowledgement or has no events.
    fn send_batches(&mut self, stream: &OpenStream) -> Option<tokio::time::Instant> {
        while self.window.len() < self.config.max_unacknowledged {
            match self.queue.take(tokio::time::Instant::now()) {
                NextBatch::Ready(events) => self.send_batch(events, stream),
                NextBatch::OpenUntil(deadline) => return Some(deadline),
                NextBatch::Empty => return None,
            }
        }
        None
    }

    fn send_batch(&mut self, events: EncodedEvents, stream: &OpenStream) {
        let request = self.window.push(&self.producer_id, events, ClockReading::now());
        // The channel has capacity for the whole window. If it is closed, the stream has ended, which `responses` reports.
        stream.requests.try_send(request.clone()).ok();
    }

    fn handle_response(&mut self, response: v1::StreamEventsResponse) {
        let events = self.window.acknowledge(response.sequence);
        self.totals.send_modify(|totals| totals.add_response(events, response));
    }

    /// Whether every event is acknowledged.
    fn is_done(&self) -> bool {
        self.window.len() == 0 && self.queue.is_empty()
    }
}

/// Calls StreamEvents with encoded requests; the generated client would encode messages.
async fn open_stream(
    channel: Channel,
    requests: tonic::Request<mpsc::Receiver<EncodedRequest>>,
) -> Result<Streaming<v1::StreamEventsResponse>, Status> {
    let mut client = tonic::client::Grpc::new(channel);
    client.ready().await.map_err(|error| Status::unavailable(root_cause(&error)))?;
    let requests = requests.map(ReceiverStream::new);
    let path = PathAndQuery::from_static(STREAM_EVENTS_PATH);
    Ok(client.streaming(requests, path, StreamEventsCodec).await?.into_inner())
}

/// Whether a retry would get the same status.
fn is_permanent(code: Code) -> bool {
    matches!(
        code,
        Code::InvalidArgument
            | Code::Unimplemented
            | Code::Unauthenticated
            | Code::PermissionDenied
            | Code::NotFound
    )
}

fn no_response_to(call: &str) -> String {
    format!("no response to {call} within {} s", RESPONSE_TIMEOUT.as_secs())
}

/// tonic's own text is "transport error" for every failure.
pub(crate) fn root_cause(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}

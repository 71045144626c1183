//! The background task of a producer. It owns the connection, the open batch and the send window.

use std::time::{Duration, Instant};

use backon::{BackoffBuilder, ExponentialBuilder};
use prost::Message;
use tokio::sync::{mpsc, oneshot, watch};
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status, Streaming};
use tonic_types::StatusExt;

use crate::producer::{Command, ProducerConfig};
use crate::proto::v1;
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
/// A batch of this encoded size is sent. A quarter of the server's default limit for a message.
const MAX_BATCH_BYTES: usize = 1 << 20;
/// How long the server may take to respond to GetProducer, and to accept a stream.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(10);

pub(crate) struct ProducerTask {
    config: ProducerConfig,
    endpoint: Endpoint,
    window: SendWindow,
    batch: Vec<v1::Event>,
    batch_bytes: usize,
    flushes: Vec<oneshot::Sender<Result<Totals, ClientError>>>,
    totals: watch::Sender<Totals>,
}

/// An open StreamEvents call.
pub(crate) struct OpenStream {
    requests: mpsc::Sender<v1::StreamEventsRequest>,
    responses: Streaming<v1::StreamEventsResponse>,
}

enum StreamEnd {
    /// No further command can arrive, and everything is acknowledged.
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
    pub(crate) fn new(config: ProducerConfig, endpoint: Endpoint, totals: watch::Sender<Totals>) -> Self {
        Self {
            config,
            endpoint,
            window: SendWindow::default(),
            batch: Vec::new(),
            batch_bytes: 0,
            flushes: Vec::new(),
            totals,
        }
    }

    /// Runs until the producer is closed, or all its handles are dropped, and everything is acknowledged; or until a failure
    /// is permanent.
    pub(crate) async fn run(
        mut self,
        mut commands: mpsc::Receiver<Command>,
        first_stream: OpenStream,
    ) -> Result<Totals, ClientError> {
        let result = self.drive(&mut commands, first_stream).await;
        if let Err(error) = &result {
            // Before `commands` is dropped, so that a failed `send` finds the reason.
            self.totals.send_modify(|totals| totals.failure = Some(error.clone()));
            for flush in self.flushes.drain(..) {
                flush.send(Err(error.clone())).ok(); // the caller may have stopped waiting
            }
        }
        result.map(|()| self.totals.borrow().clone())
    }

    /// Drives one stream after the other.
    async fn drive(
        &mut self,
        commands: &mut mpsc::Receiver<Command>,
        first_stream: OpenStream,
    ) -> Result<(), ClientError> {
        let mut next_stream = Some(first_stream);
        let mut backoff = BACKOFF.build();
        let mut stalled_since: Option<Instant> = None;
        let mut consecutive_rejections = 0;
        loop {
            if commands.is_closed() && commands.is_empty() && self.is_done() {
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
                    let status = match self.drive_stream(commands, stream).await {
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
        let mut client: IngestServiceClient<Channel> = IngestServiceClient::new(channel);
        let request = v1::GetProducerRequest { producer_id: self.config.producer_id.clone() };
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
        let resumed = self.window.resume(status, ClockReading::now());
        let resumed = resumed.map_err(|error| StreamFailure { error, permanent: true, retry_after: None })?;
        self.totals.send_modify(|totals| totals.add_resume_outcome(resumed));
        let (requests, outbound) = mpsc::channel(self.config.max_unacknowledged + 1);
        for request in self.window.unacknowledged() {
            requests.try_send(request.clone()).expect("the channel has capacity for the whole window");
        }
        let stream_call = client.stream_events(ReceiverStream::new(outbound));
        let responses = tokio::time::timeout(RESPONSE_TIMEOUT, stream_call)
            .await
            .map_err(|_| self.unavailable(no_response_to("StreamEvents")))?
            .map_err(|status| self.failure(Some(status)))?;
        Ok(OpenStream { requests, responses: responses.into_inner() })
    }

    async fn drive_stream(
        &mut self,
        commands: &mut mpsc::Receiver<Command>,
        mut stream: OpenStream,
    ) -> StreamEnd {
        let mut batch_deadline = tokio::time::Instant::now();
        let mut commands_open = true;
        self.complete_flushes();
        loop {
            if !commands_open && self.is_done() {
                return StreamEnd::Drained;
            }
            let has_capacity = self.window.len() < self.config.max_unacknowledged;
            let can_send = has_capacity && !self.batch.is_empty();
            let flushing = !commands_open || !self.flushes.is_empty();
            tokio::select! {
                biased;
                response = stream.responses.message() => match response {
                    Ok(Some(response)) => self.handle_response(response),
                    Ok(None) => return StreamEnd::Disconnected(None),
                    Err(status) => return StreamEnd::Disconnected(Some(status)),
                },
                () = tokio::time::sleep_until(batch_deadline), if can_send && !flushing => self.send_batch(&stream),
                () = std::future::ready(()), if can_send && flushing => self.send_batch(&stream),
                command = commands.recv(), if commands_open && has_capacity => match command {
                    Some(Command::Event(event)) => {
                        if self.batch.is_empty() {
                            batch_deadline = tokio::time::Instant::now() + self.config.batch_delay;
                        }
                        self.batch_bytes += event.encoded_len();
                        self.batch.push(event);
                        if self.batch.len() >= self.config.batch_events || self.batch_bytes >= MAX_BATCH_BYTES {
                            self.send_batch(&stream);
                        }
                    }
                    Some(Command::Flush(reply)) => {
                        self.flushes.push(reply);
                        self.complete_flushes();
                    }
                    // What clones have queued behind it is still received, then `None`.
                    Some(Command::Close) => commands.close(),
                    None => commands_open = false,
                },
            }
        }
    }

    fn send_batch(&mut self, stream: &OpenStream) {
        let events = std::mem::take(&mut self.batch);
        self.batch_bytes = 0;
        let request = self.window.push(&self.config.producer_id, events, ClockReading::now());
        // The channel has capacity for the whole window. If it is closed, the stream has ended, which `responses` reports.
        stream.requests.try_send(request.clone()).ok();
    }

    fn handle_response(&mut self, response: v1::StreamEventsResponse) {
        let events = self.window.acknowledge(response.sequence);
        self.totals.send_modify(|totals| totals.add_response(events, response));
        self.complete_flushes();
    }

    /// Whether every event is acknowledged.
    fn is_done(&self) -> bool {
        self.batch.is_empty() && self.window.len() == 0
    }

    fn complete_flushes(&mut self) {
        if self.is_done() {
            for flush in self.flushes.drain(..) {
                flush.send(Ok(self.totals.borrow().clone())).ok(); // the caller may have stopped waiting
            }
        }
    }
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
fn root_cause(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}

//! The task that owns the window and the connection.

use std::time::{Duration, Instant};

use prost::Message;
use rand::Rng;
use tokio::sync::{mpsc, oneshot, watch};
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status, Streaming};
use tonic_types::StatusExt;

use super::send_window::{ClockReading, ProducerStatus, SendWindow};
use super::{ClientError, Command, ProducerConfig, Totals};
use crate::proto::v1;
use v1::ingest_service_client::IngestServiceClient;

/// The wait before the first reconnect; it doubles up to the last.
const INITIAL_BACKOFF: Duration = Duration::from_millis(100);
const MAX_BACKOFF: Duration = Duration::from_secs(5);
/// The longest wait that a server may ask for.
const MAX_RETRY_DELAY: Duration = Duration::from_secs(300);
/// How often in a row requests may be refused as too large before the producer gives up.
const MAX_CONSECUTIVE_REJECTIONS: u32 = 5;
/// A request is sent when its events have so many bytes: a quarter of what a server takes by default.
const MAX_BATCH_BYTES: usize = 1 << 20;
/// How long the server may take to say where the producer is.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(10);

/// Connects once, so that a wrong address is told at once, then works in the background.
pub(super) async fn start(
    config: ProducerConfig,
    endpoint: Endpoint,
    commands: mpsc::Receiver<Command>,
    totals: watch::Sender<Totals>,
) -> Result<(), ClientError> {
    let (window, batch, flushes) = (SendWindow::default(), Vec::new(), Vec::new());
    let mut task = ProducerTask { config, endpoint, window, batch, batch_bytes: 0, flushes, totals };
    let stream = task.connect().await.map_err(|failure| failure.error)?;
    tokio::spawn(task.run(commands, stream));
    Ok(())
}

struct ProducerTask {
    config: ProducerConfig,
    endpoint: Endpoint,
    window: SendWindow,
    batch: Vec<v1::Event>,
    batch_bytes: usize,
    flushes: Vec<oneshot::Sender<Result<Totals, ClientError>>>,
    totals: watch::Sender<Totals>,
}

/// An open stream: requests out, acknowledgements in.
struct OpenStream {
    requests: mpsc::Sender<v1::StreamEventsRequest>,
    responses: Streaming<v1::StreamEventsResponse>,
}

/// Why a stream ended.
enum StreamEnd {
    /// The handles are gone and everything is acknowledged.
    Drained,
    /// The connection broke, or the server ended it, and says why.
    Disconnected(Option<Status>),
}

/// Why there is no stream, or none any more.
struct StreamFailure {
    error: ClientError,
    /// Whether the server would say the same again.
    permanent: bool,
    /// When the server asks to come back.
    retry_after: Option<Duration>,
}

impl ProducerTask {
    async fn run(mut self, mut commands: mpsc::Receiver<Command>, first_stream: OpenStream) {
        let mut next_stream = Some(first_stream);
        let mut backoff = INITIAL_BACKOFF;
        // Since when nothing was acknowledged although something is to be, and how often in a row it was refused.
        let mut stalled_since: Option<Instant> = None;
        let mut consecutive_rejections = 0;
        let failure = loop {
            if commands.is_closed() && commands.is_empty() && self.is_done() {
                return; // nobody waits for the server to come back
            }
            let acknowledged = self.totals.borrow().acknowledged;
            let stream = match next_stream.take() {
                Some(stream) => Ok(stream),
                None => self.connect().await,
            };
            let (failure, idle) = match stream {
                Ok(stream) => {
                    let idle = self.window.len() == 0;
                    let status = match self.drive_stream(&mut commands, stream).await {
                        StreamEnd::Drained => return,
                        StreamEnd::Disconnected(status) => status,
                    };
                    self.totals.send_modify(|totals| totals.reconnects += 1);
                    (self.failure(status), idle)
                }
                Err(failure) => (failure, false),
            };
            if idle || self.totals.borrow().acknowledged > acknowledged {
                (stalled_since, consecutive_rejections, backoff) = (None, 0, INITIAL_BACKOFF);
            }
            let since = *stalled_since.get_or_insert_with(Instant::now);
            let stalled_too_long =
                self.config.stall_timeout.is_some_and(|stall_timeout| since.elapsed() > stall_timeout);
            if failure.permanent || stalled_too_long {
                break failure.error;
            }
            // A server that is full says when to come back; without that the request itself passes a bound, or a proxy is
            // full, which passes.
            consecutive_rejections = if matches!(failure.error, ClientError::Rejected(_)) {
                consecutive_rejections + 1
            } else {
                0
            };
            if consecutive_rejections == MAX_CONSECUTIVE_REJECTIONS {
                break failure.error;
            }
            let delay = match failure.retry_after {
                Some(retry_after) => {
                    retry_after.min(MAX_RETRY_DELAY).mul_f64(rand::rng().random_range(1.0..1.5))
                }
                None => backoff.mul_f64(rand::rng().random_range(0.5..1.5)),
            };
            tokio::time::sleep(delay).await;
            backoff = (backoff * 2).min(MAX_BACKOFF);
        };
        self.totals.send_modify(|totals| totals.failure = Some(failure.clone()));
        for flush in self.flushes.drain(..) {
            // A caller that does not wait any more needs no answer.
            flush.send(Err(failure.clone())).ok();
        }
    }

    /// What a status says about trying again.
    fn failure(&self, status: Option<Status>) -> StreamFailure {
        let url = self.config.url.clone();
        let Some(status) = status else {
            let error = ClientError::Unreachable { url, reason: "the connection was closed".into() };
            return StreamFailure { error, permanent: false, retry_after: None };
        };
        let retry_after = status.get_error_details().retry_info().and_then(|info| info.retry_delay);
        let reason = status.message().to_owned();
        let permanent = is_permanent(&status);
        let rejected = permanent || (status.code() == Code::ResourceExhausted && retry_after.is_none());
        let error =
            if rejected { ClientError::Rejected(reason) } else { ClientError::Unreachable { url, reason } };
        StreamFailure { error, permanent, retry_after }
    }

    fn unreachable(&self, reason: impl Into<String>) -> StreamFailure {
        let error = ClientError::Unreachable { url: self.config.url.clone(), reason: reason.into() };
        StreamFailure { error, permanent: false, retry_after: None }
    }

    /// Connects, learns what the server has, and sends the rest again.
    async fn connect(&mut self) -> Result<OpenStream, StreamFailure> {
        let channel = self.endpoint.connect().await.map_err(|error| self.unreachable(root_cause(&error)))?;
        let mut client: IngestServiceClient<Channel> = IngestServiceClient::new(channel);
        let request = v1::GetProducerRequest { producer_id: self.config.producer_id.clone() };
        let producer = tokio::time::timeout(RESPONSE_TIMEOUT, client.get_producer(request))
            .await
            .map_err(|_| self.unreachable("it gives no answer"))?
            .map_err(|status| self.failure(Some(status)))?
            .into_inner();
        // Servers from before `known` set `last_seen` for the producers that they know.
        let status = match producer.known || producer.last_seen.is_some() {
            true => ProducerStatus::DurableThrough(producer.last_durable_sequence),
            false => ProducerStatus::Unknown,
        };
        let resumed = self.window.resume(status, ClockReading::now());
        let resumed = resumed.map_err(|error| StreamFailure { error, permanent: true, retry_after: None })?;
        self.totals.send_modify(|totals| totals.add_resume_outcome(resumed));
        let (requests, outbound) = mpsc::channel(self.config.max_unacknowledged + 1);
        for request in self.window.unacknowledged() {
            requests.try_send(request.clone()).expect("the channel has room for the whole window");
        }
        let stream_call = client.stream_events(ReceiverStream::new(outbound));
        let responses = tokio::time::timeout(RESPONSE_TIMEOUT, stream_call)
            .await
            .map_err(|_| self.unreachable("it gives no answer"))?
            .map_err(|status| self.failure(Some(status)))?;
        Ok(OpenStream { requests, responses: responses.into_inner() })
    }

    /// Works on one stream until it ends.
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
            let flushing = !commands_open || !self.flushes.is_empty();
            tokio::select! {
                biased;
                response = stream.responses.message() => match response {
                    Ok(Some(response)) => self.handle_response(response),
                    Ok(None) => return StreamEnd::Disconnected(None),
                    Err(status) => return StreamEnd::Disconnected(Some(status)),
                },
                () = tokio::time::sleep_until(batch_deadline), if has_capacity && !flushing && !self.batch.is_empty() => {
                    self.send_batch(&stream);
                }
                () = std::future::ready(()), if has_capacity && flushing && !self.batch.is_empty() => self.send_batch(&stream),
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
                    None => commands_open = false,
                },
            }
        }
    }

    fn send_batch(&mut self, stream: &OpenStream) {
        let events = std::mem::take(&mut self.batch);
        self.batch_bytes = 0;
        let request = self.window.push(&self.config.producer_id, events, ClockReading::now());
        // The channel has room for the whole window; when the stream is gone, its answers say so.
        stream.requests.try_send(request.clone()).ok();
    }

    fn handle_response(&mut self, response: v1::StreamEventsResponse) {
        let events = self.window.acknowledge(response.sequence);
        self.totals.send_modify(|totals| totals.add_response(events, response));
        self.complete_flushes();
    }

    /// Whether everything that was sent is acknowledged.
    fn is_done(&self) -> bool {
        self.batch.is_empty() && self.window.len() == 0
    }

    fn complete_flushes(&mut self) {
        if self.is_done() {
            for flush in self.flushes.drain(..) {
                flush.send(Ok(self.totals.borrow().clone())).ok();
            }
        }
    }
}

/// Whether the server would say the same again.
fn is_permanent(status: &Status) -> bool {
    matches!(
        status.code(),
        Code::InvalidArgument
            | Code::Unimplemented
            | Code::Unauthenticated
            | Code::PermissionDenied
            | Code::NotFound
    )
}

fn root_cause(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}

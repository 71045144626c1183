//! The task that owns the window and the connection.

use std::time::{Duration, Instant};

use prost::Message;
use rand::Rng;
use tokio::sync::{mpsc, oneshot, watch};
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status, Streaming};
use tonic_types::StatusExt;

use super::window::{At, Known, Window};
use super::{ClientError, Command, ProducerConfig, Totals};
use crate::proto::v1;
use v1::ingest_service_client::IngestServiceClient;

/// The wait before the first reconnect; it doubles up to the last.
const FIRST_WAIT: Duration = Duration::from_millis(100);
const LAST_WAIT: Duration = Duration::from_secs(5);
/// The longest wait that a server may ask for.
const LONGEST_ASKED_WAIT: Duration = Duration::from_secs(300);
/// How often in a row requests may be refused as too large before the producer gives up.
const REFUSED_TIMES: u32 = 5;
/// A request is sent when its events have so many bytes: a quarter of what a server takes by default.
const BATCH_BYTES: usize = 1 << 20;
/// How long the server may take to say where the producer is.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// Connects once, so that a wrong address is told at once, then works in the background.
pub(super) async fn start(
    config: ProducerConfig,
    endpoint: Endpoint,
    commands: mpsc::Receiver<Command>,
    totals: watch::Sender<Totals>,
) -> Result<(), ClientError> {
    let (window, batch, flushes) = (Window::default(), Vec::new(), Vec::new());
    let mut task = Task { config, endpoint, window, batch, batch_bytes: 0, flushes, totals };
    let stream = task.connect().await.map_err(|failure| failure.error)?;
    tokio::spawn(task.run(commands, stream));
    Ok(())
}

struct Task {
    config: ProducerConfig,
    endpoint: Endpoint,
    window: Window,
    batch: Vec<v1::Event>,
    batch_bytes: usize,
    flushes: Vec<oneshot::Sender<Result<Totals, ClientError>>>,
    totals: watch::Sender<Totals>,
}

/// An open stream: requests out, acknowledgements in.
struct Open {
    requests: mpsc::Sender<v1::StreamEventsRequest>,
    answers: Streaming<v1::StreamEventsResponse>,
}

/// Why a stream ended.
enum End {
    /// The handles are gone and everything is acknowledged.
    Done,
    /// The connection broke, or the server ended it, and says why.
    Broken(Option<Status>),
}

/// Why there is no stream, or none any more.
struct Failure {
    error: ClientError,
    /// Whether the server would say the same again.
    lasts: bool,
    /// When the server asks to come back.
    retry_after: Option<Duration>,
}

impl Task {
    async fn run(mut self, mut commands: mpsc::Receiver<Command>, first: Open) {
        let mut open = Some(first);
        let mut wait = FIRST_WAIT;
        // Since when nothing was acknowledged although something is to be, and how often in a row it was refused.
        let mut fruitless_since: Option<Instant> = None;
        let mut refused_times = 0;
        let failure = loop {
            if commands.is_closed() && commands.is_empty() && self.is_done() {
                return; // nobody waits for the server to come back
            }
            let acknowledged = self.totals.borrow().acknowledged;
            let stream = match open.take() {
                Some(stream) => Ok(stream),
                None => self.connect().await,
            };
            let (failure, idle) = match stream {
                Ok(stream) => {
                    let idle = self.window.len() == 0;
                    let status = match self.work(&mut commands, stream).await {
                        End::Done => return,
                        End::Broken(status) => status,
                    };
                    self.totals.send_modify(|totals| totals.reconnects += 1);
                    (self.failure(status), idle)
                }
                Err(failure) => (failure, false),
            };
            if idle || self.totals.borrow().acknowledged > acknowledged {
                (fruitless_since, refused_times, wait) = (None, 0, FIRST_WAIT);
            }
            let since = *fruitless_since.get_or_insert_with(Instant::now);
            let given_up = self.config.patience.is_some_and(|patience| since.elapsed() > patience);
            if failure.lasts || given_up {
                break failure.error;
            }
            // A server that is full says when to come back; without that the request itself passes a bound, or a proxy is
            // full, which passes.
            refused_times =
                if matches!(failure.error, ClientError::Refused(_)) { refused_times + 1 } else { 0 };
            if refused_times == REFUSED_TIMES {
                break failure.error;
            }
            let pause = match failure.retry_after {
                Some(asked) => asked.min(LONGEST_ASKED_WAIT).mul_f64(rand::rng().random_range(1.0..1.5)),
                None => wait.mul_f64(rand::rng().random_range(0.5..1.5)),
            };
            tokio::time::sleep(pause).await;
            wait = (wait * 2).min(LAST_WAIT);
        };
        self.totals.send_modify(|totals| totals.failure = Some(failure.clone()));
        for flush in self.flushes.drain(..) {
            // A caller that does not wait any more needs no answer.
            flush.send(Err(failure.clone())).ok();
        }
    }

    /// What a status says about trying again.
    fn failure(&self, status: Option<Status>) -> Failure {
        let url = self.config.url.clone();
        let Some(status) = status else {
            let error = ClientError::Unreachable { url, reason: "the connection was closed".into() };
            return Failure { error, lasts: false, retry_after: None };
        };
        let retry_after = status.get_error_details().retry_info().and_then(|info| info.retry_delay);
        let reason = status.message().to_owned();
        let lasts = lasting(&status);
        let refused = lasts || (status.code() == Code::ResourceExhausted && retry_after.is_none());
        let error =
            if refused { ClientError::Refused(reason) } else { ClientError::Unreachable { url, reason } };
        Failure { error, lasts, retry_after }
    }

    fn unreachable(&self, reason: impl Into<String>) -> Failure {
        let error = ClientError::Unreachable { url: self.config.url.clone(), reason: reason.into() };
        Failure { error, lasts: false, retry_after: None }
    }

    /// Connects, learns what the server has, and sends the rest again.
    async fn connect(&mut self) -> Result<Open, Failure> {
        let channel = self.endpoint.connect().await.map_err(|error| self.unreachable(innermost(&error)))?;
        let mut client: IngestServiceClient<Channel> = IngestServiceClient::new(channel);
        let asked = v1::GetProducerRequest { producer_id: self.config.producer_id.clone() };
        let place = tokio::time::timeout(ANSWER_TIMEOUT, client.get_producer(asked))
            .await
            .map_err(|_| self.unreachable("it gives no answer"))?
            .map_err(|status| self.failure(Some(status)))?
            .into_inner();
        // Servers from before `known` set `last_seen` for the producers that they know.
        let known = match place.known || place.last_seen.is_some() {
            true => Known::UpTo(place.last_durable_sequence),
            false => Known::No,
        };
        let resumed = self.window.resume(known, At::now());
        let resumed = resumed.map_err(|error| Failure { error, lasts: true, retry_after: None })?;
        self.totals.send_modify(|totals| totals.resumed(resumed));
        let (requests, outbound) = mpsc::channel(self.config.max_unacknowledged + 1);
        for request in self.window.unacknowledged() {
            requests.try_send(request.clone()).expect("the channel has room for the whole window");
        }
        let opening = client.stream_events(ReceiverStream::new(outbound));
        let answers = tokio::time::timeout(ANSWER_TIMEOUT, opening)
            .await
            .map_err(|_| self.unreachable("it gives no answer"))?
            .map_err(|status| self.failure(Some(status)))?;
        Ok(Open { requests, answers: answers.into_inner() })
    }

    /// Works on one stream until it ends.
    async fn work(&mut self, commands: &mut mpsc::Receiver<Command>, mut stream: Open) -> End {
        let mut due = tokio::time::Instant::now();
        let mut open = true;
        self.answer_flushes();
        loop {
            if !open && self.is_done() {
                return End::Done;
            }
            let room = self.window.len() < self.config.max_unacknowledged;
            let flushing = !open || !self.flushes.is_empty();
            tokio::select! {
                biased;
                answer = stream.answers.message() => match answer {
                    Ok(Some(answer)) => self.acknowledged(answer),
                    Ok(None) => return End::Broken(None),
                    Err(status) => return End::Broken(Some(status)),
                },
                () = tokio::time::sleep_until(due), if room && !flushing && !self.batch.is_empty() => {
                    self.send_batch(&stream);
                }
                () = std::future::ready(()), if room && flushing && !self.batch.is_empty() => self.send_batch(&stream),
                command = commands.recv(), if open && room => match command {
                    Some(Command::Event(event)) => {
                        if self.batch.is_empty() {
                            due = tokio::time::Instant::now() + self.config.batch_delay;
                        }
                        self.batch_bytes += event.encoded_len();
                        self.batch.push(event);
                        if self.batch.len() >= self.config.batch_events || self.batch_bytes >= BATCH_BYTES {
                            self.send_batch(&stream);
                        }
                    }
                    Some(Command::Flush(reply)) => {
                        self.flushes.push(reply);
                        self.answer_flushes();
                    }
                    None => open = false,
                },
            }
        }
    }

    fn send_batch(&mut self, stream: &Open) {
        let events = std::mem::take(&mut self.batch);
        self.batch_bytes = 0;
        let request = self.window.push(&self.config.producer_id, events, At::now());
        // The channel has room for the whole window; when the stream is gone, its answers say so.
        stream.requests.try_send(request.clone()).ok();
    }

    fn acknowledged(&mut self, answer: v1::StreamEventsResponse) {
        let events = self.window.acknowledge(answer.sequence);
        self.totals.send_modify(|totals| totals.add(events, answer));
        self.answer_flushes();
    }

    /// Whether everything that was sent is acknowledged.
    fn is_done(&self) -> bool {
        self.batch.is_empty() && self.window.len() == 0
    }

    fn answer_flushes(&mut self) {
        if self.is_done() {
            for flush in self.flushes.drain(..) {
                flush.send(Ok(self.totals.borrow().clone())).ok();
            }
        }
    }
}

/// Whether the server would say the same again.
fn lasting(status: &Status) -> bool {
    matches!(
        status.code(),
        Code::InvalidArgument
            | Code::Unimplemented
            | Code::Unauthenticated
            | Code::PermissionDenied
            | Code::NotFound
    )
}

fn innermost(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}

//! The task that owns the window and the connection.

use std::time::{Duration, Instant};

use rand::Rng;
use tokio::sync::{mpsc, oneshot, watch};
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status, Streaming};
use tonic_types::StatusExt;

use super::window::Window;
use super::{ClientError, Command, ProducerConfig, Totals};
use crate::proto::v1;
use v1::ingest_service_client::IngestServiceClient;

/// The wait before the first reconnect; it doubles up to the last.
const FIRST_WAIT: Duration = Duration::from_millis(100);
const LAST_WAIT: Duration = Duration::from_secs(5);
/// How long the server may take to say where the producer is.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// Connects once, so that a wrong address is told at once, then works in the background.
pub(super) async fn start(
    config: ProducerConfig,
    endpoint: Endpoint,
    commands: mpsc::Receiver<Command>,
    totals: watch::Sender<Totals>,
) -> Result<(), ClientError> {
    let mut task =
        Task { config, endpoint, window: Window::default(), batch: Vec::new(), flushes: Vec::new(), totals };
    let stream = task.connect().await?;
    tokio::spawn(task.run(commands, stream));
    Ok(())
}

struct Task {
    config: ProducerConfig,
    endpoint: Endpoint,
    window: Window,
    batch: Vec<v1::Event>,
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
    /// The connection broke, or the server asks to come back after a while.
    Broken(Option<Duration>),
    /// The server would refuse the same again.
    Refused(ClientError),
}

impl Task {
    async fn run(mut self, mut commands: mpsc::Receiver<Command>, first: Open) {
        let mut open = Some(first);
        let mut wait = FIRST_WAIT;
        let mut away_since: Option<Instant> = None;
        let failure = loop {
            let mut asked_wait = None;
            let stream = match open.take() {
                Some(stream) => Ok(stream),
                None => self.connect().await,
            };
            match stream {
                Ok(stream) => {
                    away_since = None;
                    match self.work(&mut commands, stream).await {
                        End::Done => return,
                        End::Refused(error) => break error,
                        End::Broken(after) => asked_wait = after,
                    }
                    self.totals.send_modify(|totals| totals.reconnects += 1);
                    wait = FIRST_WAIT;
                }
                Err(error @ ClientError::Unreachable { .. }) => {
                    let since = *away_since.get_or_insert_with(Instant::now);
                    if self.config.patience.is_some_and(|patience| since.elapsed() > patience) {
                        break error;
                    }
                }
                Err(error) => break error,
            }
            tokio::time::sleep(
                asked_wait.unwrap_or_else(|| wait.mul_f64(rand::rng().random_range(0.5..1.5))),
            )
            .await;
            wait = (wait * 2).min(LAST_WAIT);
        };
        self.totals.send_modify(|totals| totals.failure = Some(failure.clone()));
        for flush in self.flushes.drain(..) {
            // A caller that does not wait any more needs no answer.
            flush.send(Err(failure.clone())).ok();
        }
    }

    /// Connects, learns what the server has, and sends the rest again.
    async fn connect(&mut self) -> Result<Open, ClientError> {
        let url = self.config.url.clone();
        let unreachable = |reason: String| ClientError::Unreachable { url: url.clone(), reason };
        let channel = self.endpoint.connect().await.map_err(|error| unreachable(innermost(&error)))?;
        let mut client: IngestServiceClient<Channel> = IngestServiceClient::new(channel);
        let asked = v1::GetProducerRequest { producer_id: self.config.producer_id.clone() };
        let place = tokio::time::timeout(ANSWER_TIMEOUT, client.get_producer(asked))
            .await
            .map_err(|_| unreachable("it gives no answer".into()))?
            .map_err(|status| match lasting(&status) {
                true => ClientError::Refused(status.message().to_owned()),
                false => unreachable(status.message().to_owned()),
            })?
            .into_inner();
        let acknowledged = self.window.resume(place.last_durable_sequence)?;
        // Their acknowledgement was lost, so how many of them were refused is not known.
        self.totals.send_modify(|totals| {
            totals.acknowledged += acknowledged;
            totals.accepted += acknowledged;
        });
        let (requests, outbound) = mpsc::channel(self.config.max_unacknowledged + 1);
        for request in self.window.unacknowledged() {
            requests.try_send(request.clone()).map_err(|_| ClientError::Closed)?;
        }
        let opening = client.stream_events(ReceiverStream::new(outbound));
        let answers = tokio::time::timeout(ANSWER_TIMEOUT, opening)
            .await
            .map_err(|_| unreachable("it gives no answer".into()))?
            .map_err(|status| unreachable(status.message().to_owned()))?;
        Ok(Open { requests, answers: answers.into_inner() })
    }

    /// Works on one stream until it ends.
    async fn work(&mut self, commands: &mut mpsc::Receiver<Command>, mut stream: Open) -> End {
        let mut due = tokio::time::Instant::now();
        let mut open = true;
        self.answer_flushes();
        loop {
            if !open && self.batch.is_empty() && self.window.len() == 0 {
                return End::Done;
            }
            let room = self.window.len() < self.config.max_unacknowledged;
            let flushing = !open || !self.flushes.is_empty();
            tokio::select! {
                biased;
                answer = stream.answers.message() => match answer {
                    Ok(Some(answer)) => self.acknowledged(answer),
                    Ok(None) => return End::Broken(None),
                    Err(status) if lasting(&status) => return End::Refused(ClientError::Refused(status.message().into())),
                    Err(status) => {
                        return End::Broken(status.get_error_details().retry_info().and_then(|info| info.retry_delay));
                    }
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
                        self.batch.push(event);
                        if self.batch.len() >= self.config.batch_events {
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
        let request = self.window.push(&self.config.producer_id, events);
        // The channel has room for the whole window; when the stream is gone, its answers say so.
        stream.requests.try_send(request.clone()).ok();
    }

    fn acknowledged(&mut self, answer: v1::StreamEventsResponse) {
        let events = self.window.acknowledge(answer.sequence);
        self.totals.send_modify(|totals| totals.add(events, answer));
        self.answer_flushes();
    }

    fn answer_flushes(&mut self) {
        if self.batch.is_empty() && self.window.len() == 0 {
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

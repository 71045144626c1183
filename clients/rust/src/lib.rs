#![doc = include_str!("../README.md")]

pub mod proto;
mod send_window;
mod task;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tonic::transport::Endpoint;

use proto::v1;
pub use send_window::Totals;

/// How many events the server takes in a request of a stream.
const MAX_REQUEST_EVENTS: usize = 20_000;
/// How many events may wait for the client's task. Beyond it [`Producer::send`] waits.
const COMMAND_QUEUE_CAPACITY: usize = 1_024;

/// Why a producer cannot go on.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ClientError {
    /// The address is none.
    #[error("{url:?} is no address of a server: {reason}; one like http://127.0.0.1:8080 is expected")]
    InvalidUrl {
        /// What was given.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The server is not there.
    #[error("{url} cannot be reached: {reason}; is `millrace serve` running there?")]
    Unreachable {
        /// The address.
        url: String,
        /// Why.
        reason: String,
    },
    /// The server refuses the requests, and would again.
    #[error("the server refuses the requests: {0}")]
    Rejected(String),
    /// The producer was closed, or its task ended.
    #[error("the producer is closed")]
    Closed,
}

/// How a producer works.
#[derive(Clone, Debug)]
pub struct ProducerConfig {
    url: String,
    producer_id: String,
    batch_events: usize,
    batch_delay: Duration,
    max_unacknowledged: usize,
    stall_timeout: Option<Duration>,
}

impl ProducerConfig {
    /// A producer for the server at this address.
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            producer_id: format!("producer-{}", uuid::Uuid::new_v4()),
            batch_events: 500,
            batch_delay: Duration::from_millis(20),
            max_unacknowledged: 64,
            stall_timeout: None,
        }
    }

    /// A name that stays, so that a later process goes on with its numbers.
    #[must_use]
    pub fn producer_id(mut self, id: impl Into<String>) -> Self {
        self.producer_id = id.into();
        self
    }

    /// A request is sent when it holds so many events, 20,000 at most, or a MiB of them; 500 by default.
    #[must_use]
    pub fn batch_events(mut self, events: usize) -> Self {
        self.batch_events = events.clamp(1, MAX_REQUEST_EVENTS);
        self
    }

    /// A request is sent so long after its first event; 20 ms by default.
    #[must_use]
    pub fn batch_delay(mut self, delay: Duration) -> Self {
        self.batch_delay = delay;
        self
    }

    /// How many requests may be unacknowledged. Beyond it [`Producer::send`] waits; 64 by default.
    #[must_use]
    pub fn max_unacknowledged(mut self, requests: usize) -> Self {
        self.max_unacknowledged = requests.max(1);
        self
    }

    /// How long nothing may be acknowledged, with the server away or refusing, before the producer gives up; by default it
    /// never does.
    #[must_use]
    pub fn stall_timeout(mut self, stall_timeout: Duration) -> Self {
        self.stall_timeout = Some(stall_timeout);
        self
    }

    /// Connects, and asks the server where the producer is.
    pub async fn connect(self) -> Result<Producer, ClientError> {
        let endpoint = Endpoint::from_shared(self.url.clone())
            .map_err(|error| ClientError::InvalidUrl { url: self.url.clone(), reason: error.to_string() })?
            .connect_timeout(Duration::from_secs(5))
            .http2_keep_alive_interval(Duration::from_secs(10))
            .tcp_nodelay(true);
        let (commands, command_receiver) = mpsc::channel(COMMAND_QUEUE_CAPACITY);
        let (totals_sender, totals) = watch::channel(Totals::default());
        let id = Arc::from(self.producer_id.as_str());
        task::start(self, endpoint, command_receiver, totals_sender).await?;
        Ok(Producer { id, commands, totals })
    }
}

enum Command {
    Event(v1::Event),
    /// Answered once everything before it is acknowledged.
    Flush(oneshot::Sender<Result<Totals, ClientError>>),
}

/// A connected producer: cheap to clone.
#[derive(Clone, Debug)]
pub struct Producer {
    id: Arc<str>,
    commands: mpsc::Sender<Command>,
    totals: watch::Receiver<Totals>,
}

impl Producer {
    /// The producer's name.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Takes an event; waits while too much is unacknowledged.
    pub async fn send(&self, event: v1::Event) -> Result<(), ClientError> {
        self.commands.send(Command::Event(event)).await.map_err(|_| self.close_reason())
    }

    /// Waits until everything that was sent is acknowledged.
    pub async fn flush(&self) -> Result<Totals, ClientError> {
        let (reply, flushed) = oneshot::channel();
        self.commands.send(Command::Flush(reply)).await.map_err(|_| self.close_reason())?;
        flushed.await.map_err(|_| self.close_reason())?
    }

    /// Flushes, and ends.
    pub async fn close(self) -> Result<Totals, ClientError> {
        self.flush().await
    }

    /// What is acknowledged so far.
    pub fn totals(&self) -> Totals {
        self.totals.borrow().clone()
    }

    fn close_reason(&self) -> ClientError {
        self.totals.borrow().failure.clone().unwrap_or(ClientError::Closed)
    }
}

#[cfg(test)]
mod tests;

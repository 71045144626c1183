use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinHandle;
use tonic::metadata::MetadataValue;
use tonic::transport::{Certificate, ClientTlsConfig, Endpoint};

use crate::proto::v1;
use crate::queue::EventQueue;
use crate::task::{ProducerTask, root_cause};
use crate::{ClientError, Totals};

/// The most events that the server accepts in one request of a stream.
const MAX_REQUEST_EVENTS: usize = 20_000;
/// The server lists who sends events by this name.
const USER_AGENT: &str = concat!("millrace-client/", env!("CARGO_PKG_VERSION"));
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(10);

/// Settings of a [`Producer`].
#[derive(Clone, Debug)]
pub struct ProducerConfig {
    pub(crate) url: String,
    pub(crate) producer_id: String,
    pub(crate) batch_events: usize,
    pub(crate) batch_delay: Duration,
    pub(crate) max_unacknowledged: usize,
    pub(crate) stall_timeout: Option<Duration>,
    pub(crate) key: Option<Ascii>,
    invalid_key: bool,
    ca_certificate: Option<Certificate>,
}

type Ascii = MetadataValue<tonic::metadata::Ascii>;

impl ProducerConfig {
    /// The default settings for the server at `url`, for example `http://127.0.0.1:8080`.
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            producer_id: format!("producer-{}", uuid::Uuid::new_v4()),
            batch_events: 500,
            batch_delay: Duration::from_millis(20),
            max_unacknowledged: 64,
            stall_timeout: None,
            key: None,
            invalid_key: false,
            ca_certificate: None,
        }
    }

    /// The key that the producer presents: one with the scope write, or admin. None by default.
    #[must_use]
    pub fn key(mut self, key: &str) -> Self {
        let value = Ascii::try_from(format!("Bearer {}", key.trim()));
        self.invalid_key = value.is_err();
        self.key = value.ok().map(|mut value| {
            // Keeps it out of debug output and of the compression state of connections.
            value.set_sensitive(true);
            value
        });
        self
    }

    /// Certificates in PEM of the authorities that may have issued the server's certificate, for an `https://` URL; those
    /// of the system by default.
    #[must_use]
    pub fn ca_certificate(mut self, pem: impl AsRef<[u8]>) -> Self {
        self.ca_certificate = Some(Certificate::from_pem(pem));
        self
    }

    /// The id under which the server keeps the last sequence, 1 to 128 bytes; random by default. A fixed id lets a later
    /// process continue the numbering. Only one producer may use an id at a time.
    #[must_use]
    pub fn producer_id(mut self, id: impl Into<String>) -> Self {
        self.producer_id = id.into();
        self
    }

    /// Events per request, clamped to 1 to 20,000; 500 by default. A request is also sent once its events have 1 MiB.
    #[must_use]
    pub fn batch_events(mut self, events: usize) -> Self {
        self.batch_events = events.clamp(1, MAX_REQUEST_EVENTS);
        self
    }

    /// How long an incomplete request waits for more events after its first one; 20 ms by default.
    #[must_use]
    pub fn batch_delay(mut self, delay: Duration) -> Self {
        self.batch_delay = delay;
        self
    }

    /// How many requests may be unacknowledged, at least 1; 64 by default. They are kept in memory. At the limit,
    /// [`Producer::send`] waits.
    #[must_use]
    pub fn max_unacknowledged(mut self, requests: usize) -> Self {
        self.max_unacknowledged = requests.max(1);
        self
    }

    /// How long the server may be unavailable, or reject requests, without acknowledging anything before the producer fails;
    /// unlimited by default.
    #[must_use]
    pub fn stall_timeout(mut self, timeout: Duration) -> Self {
        self.stall_timeout = Some(timeout);
        self
    }

    /// The server's endpoint, with TLS if the URL is `https://`: for clients of other services.
    pub fn endpoint(&self) -> Result<Endpoint, ClientError> {
        let invalid = |error| ClientError::InvalidUrl { url: self.url.clone(), reason: root_cause(&error) };
        let endpoint = Endpoint::from_shared(self.url.clone())
            .map_err(invalid)?
            .user_agent(USER_AGENT)
            .map_err(invalid)?
            .connect_timeout(CONNECT_TIMEOUT)
            .http2_keep_alive_interval(KEEP_ALIVE_INTERVAL)
            .tcp_nodelay(true);
        if !self.url.starts_with("https:") {
            return Ok(endpoint);
        }
        let tls = match &self.ca_certificate {
            Some(certificate) => ClientTlsConfig::new().ca_certificate(certificate.clone()),
            None => ClientTlsConfig::new().with_native_roots(),
        };
        endpoint.tls_config(tls).map_err(invalid)
    }

    /// Connects, and resumes after the producer's last durable sequence.
    ///
    /// Fails if this first connection does; later ones are retried. Starts the background task that owns the connection: see
    /// [`Producer`].
    pub async fn connect(self) -> Result<Producer, ClientError> {
        if self.invalid_key {
            return Err(ClientError::InvalidKey);
        }
        let endpoint = self.endpoint()?;
        let id = Arc::from(self.producer_id.as_str());
        let queue = Arc::new(EventQueue::new(self.batch_events, self.batch_delay));
        let (totals_sender, totals) = watch::channel(Totals::default());
        let mut task = ProducerTask::new(self, Arc::clone(&id), endpoint, Arc::clone(&queue), totals_sender);
        let stream = task.connect().await.map_err(|failure| failure.error)?;
        let task = tokio::spawn(task.run(stream));
        let handles = Arc::new(QueueHandle(queue));
        Ok(Producer { id, handles, totals, task: Arc::new(Mutex::new(Some(task))) })
    }
}

/// Shared by the clones of a producer. Closes the queue when the last one is dropped.
#[derive(Debug)]
struct QueueHandle(Arc<EventQueue>);

impl Drop for QueueHandle {
    fn drop(&mut self) {
        self.0.close();
    }
}

type TaskHandle = JoinHandle<Result<Totals, ClientError>>;

/// A connected producer; cheap to clone.
///
/// Its background task batches, sends and resends. [`close`](Self::close) ends the task and joins it. If every clone is
/// dropped without `close`, the task is detached: it ends once what was sent is acknowledged, or with the runtime.
#[derive(Clone, Debug)]
pub struct Producer {
    id: Arc<str>,
    handles: Arc<QueueHandle>,
    pub(crate) totals: watch::Receiver<Totals>,
    /// Taken by the first `close`.
    task: Arc<Mutex<Option<TaskHandle>>>,
}

impl Producer {
    /// The producer id, as sent to the server.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Encodes an event into the next request. Waits while
    /// [`max_unacknowledged`](ProducerConfig::max_unacknowledged) requests are in flight and two more are complete.
    ///
    /// Returning `Ok` does not mean that the event is stored: see [`flush`](Self::flush).
    pub async fn send(&self, event: v1::Event) -> Result<(), ClientError> {
        tokio::task::coop::consume_budget().await; // a loop of sends lets the other tasks of its thread run
        self.handles.0.add(&event).await.ok_or_else(|| self.failure())
    }

    /// Waits until every event that was sent before is acknowledged, which means on the server's disk.
    pub async fn flush(&self) -> Result<Totals, ClientError> {
        let flushed = self.handles.0.request_flush().ok_or_else(|| self.failure())?;
        flushed.await.map_err(|_| self.failure())?
    }

    /// Waits until every event that was sent before is acknowledged, then ends the background task and joins it.
    ///
    /// The clones are closed too: their `send` and `flush` fail with [`ClientError::Closed`], and so does a second `close`.
    pub async fn close(self) -> Result<Totals, ClientError> {
        let task = self.task.lock().expect("no holder of the lock panics").take();
        let Some(task) = task else {
            return Err(self.failure());
        };
        self.handles.0.close();
        match task.await {
            Ok(result) => result,
            Err(error) => match error.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                Err(_cancelled) => Err(ClientError::Closed),
            },
        }
    }

    /// The totals so far.
    pub fn totals(&self) -> Totals {
        self.totals.borrow().clone()
    }

    /// Why nothing is accepted any more.
    fn failure(&self) -> ClientError {
        self.totals.borrow().failure.clone().unwrap_or(ClientError::Closed)
    }
}

//! One connection from its first byte to its end.
//!
//! hyper has no timer before it knows the protocol (hyperium/hyper#3756) and none for connections that open no stream, so
//! both are here: the protocol is found out first, under a deadline, and a connection is looked at now and then.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use bytes::Buf as _;
use hyper::server::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rand::Rng as _;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;

use super::{Service, Shared};

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// How long the first bytes and the head of a request may take.
const HEAD_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a connection may have no request.
const IDLE_TIMEOUT: Duration = Duration::from_secs(60);
/// How long the peer may take nothing of what there is to send.
const WRITE_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a connection that was asked to end may stay without a request.
const END_TIMEOUT: Duration = Duration::from_secs(5);
/// How often a connection is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// A connection that is silent for so long is asked for a sign of life, and closed without one.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(30);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(20);
/// What HTTP/2 may have on the way in one stream: enough that a fast producer isn't stopped by the window.
const STREAM_WINDOW_BYTES: u32 = 1 << 20;
const MAX_STREAMS: u32 = 128;
const MAX_HEADER_LIST_BYTES: u32 = 8 << 10;
/// HTTP/1: with the request line, which carries the parameters of panels.
const MAX_HEAD_BYTES: usize = 16 << 10;
/// Streams that the peer's errors have reset, and those that it reset itself before they were accepted (CVE-2023-44487).
const MAX_LOCAL_ERROR_RESETS: usize = 128;
const MAX_PENDING_RESETS: usize = 20;
/// What one stream may have waiting to be sent.
const SEND_BUFFER_BYTES: usize = 64 << 10;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// The preface and the head of the first frame.
const FIRST_BYTES: usize = PREFACE.len() + 9;
const SETTINGS: u8 = 4;

/// Serves a connection to its end.
pub(super) async fn run(stream: TcpStream, peer: SocketAddr, shared: &Shared) -> Result<(), BoxError> {
    let begun = Instant::now();
    let found = tokio::select! {
        () = shared.stop.cancelled() => return Ok(()),
        found = tokio::time::timeout(HEAD_TIMEOUT, Start::read(stream)) => found,
    };
    let start = found.map_err(|_| "its first bytes took too long")??;
    let Some(start) = start else {
        return Ok(()); // it was closed again, as port scans and load balancers do
    };
    let ending = shared.stop.child_token();
    let activity = Arc::new(Activity::new(begun));
    let service = Service {
        router: shared.router.clone(),
        peer,
        activity: Arc::clone(&activity),
        requests: Arc::clone(&shared.requests),
        budget: shared.budget.clone(),
        ending: ending.clone(),
    };
    let watch = Watch { activity: Arc::clone(&activity), ending, max_age: shared.max_age.map(jittered) };
    let http2 = start.http2;
    let io = TokioIo::new(Io { stream: start.stream, first: start.bytes, activity });
    if http2 {
        let window = shared.windows.take();
        let connection = http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .initial_stream_window_size(STREAM_WINDOW_BYTES.min(window.bytes))
            .initial_connection_window_size(window.bytes)
            .max_concurrent_streams(MAX_STREAMS)
            .max_header_list_size(MAX_HEADER_LIST_BYTES)
            .max_local_error_reset_streams(MAX_LOCAL_ERROR_RESETS)
            .max_pending_accept_reset_streams(MAX_PENDING_RESETS)
            .max_send_buf_size(SEND_BUFFER_BYTES)
            .keep_alive_interval(KEEPALIVE_INTERVAL)
            .keep_alive_timeout(KEEPALIVE_TIMEOUT)
            .serve_connection(io, service);
        watch.drive(connection, http2::Connection::graceful_shutdown, |_| None).await
    } else {
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            // The first head is looked after here; this is for those that follow, which may come late.
            .header_read_timeout(IDLE_TIMEOUT)
            .max_header_size(MAX_HEAD_BYTES)
            .serve_connection(io, service);
        watch.drive(connection, http1::Connection::graceful_shutdown, Activity::head_since).await
    }
}

/// So that connections which began together, as after a restart, do not end together.
fn jittered(age: Duration) -> Duration {
    age.mul_f64(rand::rng().random_range(0.9..1.1))
}

/// What a connection began with.
struct Start {
    stream: TcpStream,
    bytes: io::Cursor<Vec<u8>>,
    http2: bool,
}

impl Start {
    /// Reads until the protocol is known; none for a connection that ends before.
    async fn read(mut stream: TcpStream) -> io::Result<Option<Self>> {
        let mut bytes = Vec::with_capacity(FIRST_BYTES);
        loop {
            let preface = bytes.len().min(PREFACE.len());
            let is_http1 = bytes[..preface] != PREFACE[..preface];
            if is_http1 || bytes.len() >= FIRST_BYTES {
                if !is_http1 && bytes[PREFACE.len() + 3] != SETTINGS {
                    return Err(io::Error::new(io::ErrorKind::InvalidData, "the preface lacks its SETTINGS"));
                }
                return Ok(Some(Self { stream, bytes: io::Cursor::new(bytes), http2: !is_http1 }));
            }
            // Not more than what tells: the rest is hyper's.
            let missing = (FIRST_BYTES - bytes.len()) as u64;
            if (&mut stream).take(missing).read_buf(&mut bytes).await? == 0 {
                return Ok(None);
            }
        }
    }
}

/// What happens on a connection. Times are milliseconds since its begin; 0 is none.
pub(super) struct Activity {
    begun: Instant,
    /// Requests whose response is not sent yet.
    active: AtomicUsize,
    /// Since when there has been no request.
    idle_since: AtomicU64,
    /// Since when bytes come that are no request yet.
    head_since: AtomicU64,
    /// Since when the peer takes nothing.
    stuck_since: AtomicU64,
}

/// A request under way.
pub(super) struct Active(Arc<Activity>);

impl Activity {
    fn new(begun: Instant) -> Self {
        Self {
            begun,
            active: AtomicUsize::new(0),
            idle_since: AtomicU64::new(1),
            head_since: AtomicU64::new(1),
            stuck_since: AtomicU64::new(0),
        }
    }

    pub(super) fn begin(self: &Arc<Self>) -> Active {
        self.active.fetch_add(1, Relaxed);
        self.head_since.store(0, Relaxed);
        Active(Arc::clone(self))
    }

    fn now(&self) -> u64 {
        u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX).max(1)
    }

    /// Notes the time unless there is one.
    fn note(&self, since: &AtomicU64) {
        if since.load(Relaxed) == 0 {
            since.store(self.now(), Relaxed);
        }
    }

    fn received(&self) {
        if self.active.load(Relaxed) == 0 {
            self.note(&self.head_since);
        }
    }

    fn lasted(&self, since: &AtomicU64) -> Option<Duration> {
        let since = Some(since.load(Relaxed)).filter(|&since| since > 0)?;
        Some(Duration::from_millis(self.now().saturating_sub(since)))
    }

    /// How long there has been no request.
    fn idle(&self) -> Option<Duration> {
        (self.active.load(Relaxed) == 0).then(|| self.lasted(&self.idle_since)).flatten()
    }

    /// How long the head of a request has been coming.
    fn head_since(&self) -> Option<Duration> {
        (self.active.load(Relaxed) == 0).then(|| self.lasted(&self.head_since)).flatten()
    }
}

impl Drop for Active {
    fn drop(&mut self) {
        self.0.idle_since.store(self.0.now(), Relaxed);
        self.0.active.fetch_sub(1, Relaxed);
    }
}

/// Looks after a connection.
struct Watch {
    activity: Arc<Activity>,
    ending: CancellationToken,
    max_age: Option<Duration>,
}

impl Watch {
    /// `head_since` says how long a head has been coming, where the protocol lets that be known.
    async fn drive<C, E>(
        self,
        connection: C,
        shut_down: impl Fn(Pin<&mut C>),
        head_since: impl Fn(&Activity) -> Option<Duration>,
    ) -> Result<(), BoxError>
    where
        C: Future<Output = Result<(), E>>,
        E: Into<BoxError>,
    {
        let mut connection = std::pin::pin!(connection);
        let mut look = tokio::time::interval(LOOK_EVERY);
        look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut asked_to_end: Option<Instant> = None;
        loop {
            tokio::select! {
                ended = connection.as_mut() => return ended.map_err(Into::into),
                () = self.ending.cancelled(), if asked_to_end.is_none() => {
                    shut_down(connection.as_mut());
                    asked_to_end = Some(Instant::now());
                }
                _ = look.tick() => {}
            }
            let activity = &self.activity;
            if head_since(activity).is_some_and(|lasted| lasted >= HEAD_TIMEOUT) {
                return Err("the head of a request took too long".into());
            }
            if activity.lasted(&activity.stuck_since).is_some_and(|lasted| lasted >= WRITE_TIMEOUT) {
                return Err("the peer does not take what it is sent".into());
            }
            let idle = activity.idle();
            let old = self.max_age.is_some_and(|max_age| activity.begun.elapsed() >= max_age);
            if old || idle.is_some_and(|idle| idle >= IDLE_TIMEOUT) {
                self.ending.cancel();
            }
            // A peer that goes on after GOAWAY without a request has nothing to lose.
            let asked_long_ago = asked_to_end.is_some_and(|asked| asked.elapsed() >= END_TIMEOUT);
            if asked_long_ago && idle.is_some_and(|idle| idle >= END_TIMEOUT) {
                return Ok(());
            }
        }
    }
}

/// The connection's bytes, those that were read already first.
struct Io {
    stream: TcpStream,
    first: io::Cursor<Vec<u8>>,
    activity: Arc<Activity>,
}

impl AsyncRead for Io {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.first.has_remaining() {
            let bytes = self.first.remaining().min(into.remaining());
            into.put_slice(&self.first.chunk()[..bytes]);
            self.first.advance(bytes);
            return Poll::Ready(Ok(()));
        }
        ready!(Pin::new(&mut self.stream).poll_read(cx, into))?;
        self.activity.received();
        Poll::Ready(Ok(()))
    }
}

impl Io {
    /// Notes whether the peer takes what it is sent.
    fn wrote<T>(&self, written: Poll<T>) -> Poll<T> {
        match written {
            Poll::Pending => self.activity.note(&self.activity.stuck_since),
            Poll::Ready(_) => self.activity.stuck_since.store(0, Relaxed),
        }
        written
    }
}

impl AsyncWrite for Io {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, from: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, from);
        self.wrote(written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        from: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, from);
        self.wrote(written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

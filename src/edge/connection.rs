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

use super::{ConnectionService, EdgeState};

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// How long the first bytes and the head of a request may take.
const HEADER_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a connection may have no request.
const IDLE_TIMEOUT: Duration = Duration::from_secs(60);
/// How long the peer may take nothing of what there is to send.
const WRITE_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a connection that was asked to end may stay without a request.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(5);
/// How often a connection is looked at.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);

/// A connection that is silent for so long is asked for a sign of life, and closed without one.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(30);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(20);
/// What HTTP/2 may have on the way in one stream: enough that a fast producer isn't stopped by the window.
const STREAM_WINDOW_BYTES: u32 = 1 << 20;
const MAX_STREAMS: u32 = 128;
const MAX_HEADER_LIST_BYTES: u32 = 8 << 10;
/// HTTP/1: with the request line, which carries the parameters of panels.
const MAX_HTTP1_HEADER_BYTES: usize = 16 << 10;
/// Streams that the peer's errors have reset, and those that it reset itself before they were accepted (CVE-2023-44487).
const MAX_LOCAL_ERROR_RESETS: usize = 128;
const MAX_PENDING_RESETS: usize = 20;
/// What one stream may have waiting to be sent.
const SEND_BUFFER_BYTES: usize = 64 << 10;

const HTTP2_PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// The preface and the head of the first frame.
const PREAMBLE_BYTES: usize = HTTP2_PREFACE.len() + 9;
const SETTINGS_FRAME: u8 = 4;

/// Serves a connection to its end.
pub(super) async fn serve(stream: TcpStream, peer: SocketAddr, edge: &EdgeState) -> Result<(), BoxError> {
    let started = Instant::now();
    let result = tokio::select! {
        () = edge.stop.cancelled() => return Ok(()),
        result = tokio::time::timeout(HEADER_TIMEOUT, Preamble::read(stream)) => result,
    };
    let preamble = result.map_err(|_| "its first bytes took too long")??;
    let Some(preamble) = preamble else {
        return Ok(()); // it was closed again, as port scans and load balancers do
    };
    let shutdown = edge.stop.child_token();
    let activity = Arc::new(Activity::new(started));
    let service = ConnectionService {
        router: edge.router.clone(),
        peer,
        activity: Arc::clone(&activity),
        requests: Arc::clone(&edge.requests),
        budget: edge.budget.clone(),
        shutdown: shutdown.clone(),
    };
    let monitor =
        ConnectionMonitor { activity: Arc::clone(&activity), shutdown, max_age: edge.max_age.map(jittered) };
    let http2 = preamble.http2;
    let io = TokioIo::new(TrackedIo { stream: preamble.stream, read_ahead: preamble.bytes, activity });
    if http2 {
        let window = edge.flow_control.reserve();
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
        monitor.drive(connection, http2::Connection::graceful_shutdown, |_| None).await
    } else {
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            // The first head is looked after here; this is for those that follow, which may come late.
            .header_read_timeout(IDLE_TIMEOUT)
            .max_header_size(MAX_HTTP1_HEADER_BYTES)
            .serve_connection(io, service);
        monitor.drive(connection, http1::Connection::graceful_shutdown, Activity::header_pending_for).await
    }
}

/// So that connections which began together, as after a restart, do not end together.
fn jittered(age: Duration) -> Duration {
    age.mul_f64(rand::rng().random_range(0.9..1.1))
}

/// What a connection began with.
struct Preamble {
    stream: TcpStream,
    bytes: io::Cursor<Vec<u8>>,
    http2: bool,
}

impl Preamble {
    /// Reads until the protocol is known; none for a connection that ends before.
    async fn read(mut stream: TcpStream) -> io::Result<Option<Self>> {
        let mut bytes = Vec::with_capacity(PREAMBLE_BYTES);
        loop {
            let compared = bytes.len().min(HTTP2_PREFACE.len());
            let is_http1 = bytes[..compared] != HTTP2_PREFACE[..compared];
            if is_http1 || bytes.len() >= PREAMBLE_BYTES {
                if !is_http1 && bytes[HTTP2_PREFACE.len() + 3] != SETTINGS_FRAME {
                    return Err(io::Error::new(io::ErrorKind::InvalidData, "the preface lacks its SETTINGS"));
                }
                return Ok(Some(Self { stream, bytes: io::Cursor::new(bytes), http2: !is_http1 }));
            }
            // Not more than what tells: the rest is hyper's.
            let missing = (PREAMBLE_BYTES - bytes.len()) as u64;
            if (&mut stream).take(missing).read_buf(&mut bytes).await? == 0 {
                return Ok(None);
            }
        }
    }
}

/// What happens on a connection. Times are milliseconds since its begin; 0 is none.
pub(super) struct Activity {
    started: Instant,
    /// Requests whose response is not sent yet.
    active_requests: AtomicUsize,
    /// Since when there has been no request.
    idle_since: AtomicU64,
    /// Since when bytes come that are no request yet.
    header_since: AtomicU64,
    /// Since when the peer takes nothing.
    write_blocked_since: AtomicU64,
}

/// A request under way.
pub(super) struct ActiveRequest(Arc<Activity>);

impl Activity {
    fn new(started: Instant) -> Self {
        Self {
            started,
            active_requests: AtomicUsize::new(0),
            idle_since: AtomicU64::new(1),
            header_since: AtomicU64::new(1),
            write_blocked_since: AtomicU64::new(0),
        }
    }

    pub(super) fn begin_request(self: &Arc<Self>) -> ActiveRequest {
        self.active_requests.fetch_add(1, Relaxed);
        self.header_since.store(0, Relaxed);
        ActiveRequest(Arc::clone(self))
    }

    fn elapsed_millis(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX).max(1)
    }

    /// Notes the time unless there is one.
    fn set_if_unset(&self, since: &AtomicU64) {
        if since.load(Relaxed) == 0 {
            since.store(self.elapsed_millis(), Relaxed);
        }
    }

    fn on_received(&self) {
        if self.active_requests.load(Relaxed) == 0 {
            self.set_if_unset(&self.header_since);
        }
    }

    fn elapsed_since(&self, since: &AtomicU64) -> Option<Duration> {
        let since = Some(since.load(Relaxed)).filter(|&since| since > 0)?;
        Some(Duration::from_millis(self.elapsed_millis().saturating_sub(since)))
    }

    /// How long there has been no request.
    fn idle_for(&self) -> Option<Duration> {
        (self.active_requests.load(Relaxed) == 0).then(|| self.elapsed_since(&self.idle_since)).flatten()
    }

    /// How long the head of a request has been coming.
    fn header_pending_for(&self) -> Option<Duration> {
        (self.active_requests.load(Relaxed) == 0).then(|| self.elapsed_since(&self.header_since)).flatten()
    }
}

impl Drop for ActiveRequest {
    fn drop(&mut self) {
        self.0.idle_since.store(self.0.elapsed_millis(), Relaxed);
        self.0.active_requests.fetch_sub(1, Relaxed);
    }
}

/// Looks after a connection.
struct ConnectionMonitor {
    activity: Arc<Activity>,
    shutdown: CancellationToken,
    max_age: Option<Duration>,
}

impl ConnectionMonitor {
    /// `header_pending_for` says how long a head has been coming, where the protocol lets that be known.
    async fn drive<C, E>(
        self,
        connection: C,
        shut_down: impl Fn(Pin<&mut C>),
        header_pending_for: impl Fn(&Activity) -> Option<Duration>,
    ) -> Result<(), BoxError>
    where
        C: Future<Output = Result<(), E>>,
        E: Into<BoxError>,
    {
        let mut connection = std::pin::pin!(connection);
        let mut check_timer = tokio::time::interval(CHECK_INTERVAL);
        check_timer.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut shutdown_requested_at: Option<Instant> = None;
        loop {
            tokio::select! {
                ended = connection.as_mut() => return ended.map_err(Into::into),
                () = self.shutdown.cancelled(), if shutdown_requested_at.is_none() => {
                    shut_down(connection.as_mut());
                    shutdown_requested_at = Some(Instant::now());
                }
                _ = check_timer.tick() => {}
            }
            let activity = &self.activity;
            if header_pending_for(activity).is_some_and(|elapsed| elapsed >= HEADER_TIMEOUT) {
                return Err("the head of a request took too long".into());
            }
            if activity
                .elapsed_since(&activity.write_blocked_since)
                .is_some_and(|elapsed| elapsed >= WRITE_TIMEOUT)
            {
                return Err("the peer does not take what it is sent".into());
            }
            let idle = activity.idle_for();
            let old = self.max_age.is_some_and(|max_age| activity.started.elapsed() >= max_age);
            if old || idle.is_some_and(|idle| idle >= IDLE_TIMEOUT) {
                self.shutdown.cancel();
            }
            // A peer that goes on after GOAWAY without a request has nothing to lose.
            let shutdown_timed_out =
                shutdown_requested_at.is_some_and(|requested| requested.elapsed() >= SHUTDOWN_TIMEOUT);
            if shutdown_timed_out && idle.is_some_and(|idle| idle >= SHUTDOWN_TIMEOUT) {
                return Ok(());
            }
        }
    }
}

/// The connection's bytes, those that were read already first.
struct TrackedIo {
    stream: TcpStream,
    read_ahead: io::Cursor<Vec<u8>>,
    activity: Arc<Activity>,
}

impl AsyncRead for TrackedIo {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.read_ahead.has_remaining() {
            let bytes = self.read_ahead.remaining().min(buf.remaining());
            buf.put_slice(&self.read_ahead.chunk()[..bytes]);
            self.read_ahead.advance(bytes);
            return Poll::Ready(Ok(()));
        }
        ready!(Pin::new(&mut self.stream).poll_read(cx, buf))?;
        self.activity.on_received();
        Poll::Ready(Ok(()))
    }
}

impl TrackedIo {
    /// Notes whether the peer takes what it is sent.
    fn track_write<T>(&self, written: Poll<T>) -> Poll<T> {
        match written {
            Poll::Pending => self.activity.set_if_unset(&self.activity.write_blocked_since),
            Poll::Ready(_) => self.activity.write_blocked_since.store(0, Relaxed),
        }
        written
    }
}

impl AsyncWrite for TrackedIo {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.track_write(written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, buf);
        self.track_write(written)
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

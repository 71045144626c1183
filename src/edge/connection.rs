//! Serves one connection: protocol detection, hyper, and the timeouts that hyper lacks.
//!
//! hyper has no timeout before it has detected the protocol (hyperium/hyper#3756), and none for connections without
//! requests. So [`Preamble`] detects the protocol under a deadline, and [`ConnectionMonitor`] checks the connection once
//! a second.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use bytes::Buf as _;
use hyper::server::conn::{http1, http2};
use hyper_util::rt::{TokioIo, TokioTimer};
use rand::Rng as _;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;

use super::tls::{HandshakeError, TlsSession};
use super::{ConnectionService, ConnectionTasks, EdgeState};

/// Timeout of the preamble, and of each HTTP/1 request header.
const HEADER_TIMEOUT: Duration = Duration::from_secs(5);
/// A connection without a request for this long is shut down.
const IDLE_TIMEOUT: Duration = Duration::from_secs(60);
/// A connection is closed when the peer has read nothing for this long while there are bytes to send.
const WRITE_TIMEOUT: Duration = Duration::from_secs(30);
/// After GOAWAY or `Connection: close`, a connection without a request for this long is closed.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(5);
/// How often the monitor checks these timeouts.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);

/// HTTP/2: time without a frame from the peer before a PING is sent.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(30);
/// HTTP/2: the connection is closed if the PING is not acknowledged within this time.
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(20);
/// The flow control window of one HTTP/2 stream: large enough that it does not limit a fast producer.
const STREAM_WINDOW_BYTES: u32 = 1 << 20;
/// Concurrent streams of one HTTP/2 connection.
const MAX_STREAMS: u32 = 128;
const MAX_HEADER_LIST_BYTES: u32 = 8 << 10;
/// Larger than in HTTP/2, since it includes the request line with the parameters of a panel.
const MAX_HTTP1_HEADER_BYTES: usize = 16 << 10;
/// Streams of one connection that this server resets because of errors of the peer, before GOAWAY.
const MAX_LOCAL_ERROR_RESETS: usize = 128;
/// Streams that the peer has reset before the server accepted them, before GOAWAY: rapid reset (CVE-2023-44487).
const MAX_PENDING_RESETS: usize = 20;
/// Response bytes that one HTTP/2 stream buffers until the peer's window allows them.
const SEND_BUFFER_BYTES: usize = 64 << 10;

const HTTP2_PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// The preface and the header of the first frame.
const PREAMBLE_BYTES: usize = HTTP2_PREFACE.len() + 9;
/// The frame type of SETTINGS (RFC 9113, section 6.5).
const SETTINGS_FRAME: u8 = 4;

/// Why a connection did not end cleanly. Logged at debug level only: any client can cause it.
#[derive(Debug, thiserror::Error)]
pub(super) enum ConnectionError {
    #[error("timed out after {} s waiting for the first bytes", HEADER_TIMEOUT.as_secs())]
    PreambleTimeout,
    #[error("timed out after {} s waiting for a complete request header", HEADER_TIMEOUT.as_secs())]
    HeaderTimeout,
    #[error("the peer has read nothing for {} s", WRITE_TIMEOUT.as_secs())]
    WriteTimeout,
    #[error("the HTTP/2 preface is not followed by a SETTINGS frame")]
    MissingSettings,
    #[error(transparent)]
    Handshake(#[from] HandshakeError),
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error(transparent)]
    Http(#[from] hyper::Error),
}

/// Serves a connection until it is closed.
pub(super) async fn serve(
    stream: TcpStream,
    peer: SocketAddr,
    edge: &EdgeState,
) -> Result<(), ConnectionError> {
    let Some(tls) = &edge.tls else {
        return serve_stream(stream, peer, None, edge).await;
    };
    match edge.stop.run_until_cancelled(tls.accept(stream)).await.transpose()?.flatten() {
        Some((stream, session)) => serve_stream(stream, peer, Some(session), edge).await,
        None => Ok(()),
    }
}

async fn serve_stream<S: AsyncRead + AsyncWrite + Unpin>(
    stream: S,
    peer: SocketAddr,
    tls: Option<TlsSession>,
    edge: &EdgeState,
) -> Result<(), ConnectionError> {
    let started = Instant::now();
    let result = tokio::select! {
        () = edge.stop.cancelled() => return Ok(()),
        result = tokio::time::timeout(HEADER_TIMEOUT, Preamble::read(stream)) => result,
    };
    let preamble = result.map_err(|_| ConnectionError::PreambleTimeout)??;
    let Some(preamble) = preamble else {
        return Ok(()); // closed without a request, as port scans and load balancers do
    };
    let shutdown = edge.stop.child_token();
    let activity = Arc::new(Activity::new(started));
    let service = ConnectionService {
        router: edge.router.clone(),
        peer,
        tls,
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
        let connection = http2::Builder::new(StreamExecutor(edge.connection_tasks.clone()))
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
            // Includes the idle time before a request. The monitor applies the shorter HEADER_TIMEOUT.
            .header_read_timeout(IDLE_TIMEOUT)
            .max_header_size(MAX_HTTP1_HEADER_BYTES)
            .serve_connection(io, service);
        monitor.drive(connection, http1::Connection::graceful_shutdown, Activity::header_pending_for).await
    }
}

/// Connections that were opened together, as after a restart, should not be closed together.
fn jittered(age: Duration) -> Duration {
    age.mul_f64(rand::rng().random_range(0.9..1.1))
}

/// Runs the streams of an HTTP/2 connection, each in a task that is joined at shutdown.
///
/// A stream's task ends when its connection is closed: h2 then reports a reset of the stream, which hyper polls for.
#[derive(Clone)]
struct StreamExecutor(ConnectionTasks);

impl<F> hyper::rt::Executor<F> for StreamExecutor
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    fn execute(&self, stream: F) {
        self.0.tasks.spawn(stream);
    }
}

/// The first bytes of a connection, and the protocol that they show.
struct Preamble<S> {
    stream: S,
    /// Bytes that were read from the stream.
    bytes: io::Cursor<Vec<u8>>,
    http2: bool,
}

impl<S: AsyncRead + Unpin> Preamble<S> {
    /// Reads until the protocol is known. `None` if the peer closes the connection before that.
    async fn read(mut stream: S) -> Result<Option<Self>, ConnectionError> {
        let mut bytes = Vec::with_capacity(PREAMBLE_BYTES);
        loop {
            let compared = bytes.len().min(HTTP2_PREFACE.len());
            let is_http1 = bytes[..compared] != HTTP2_PREFACE[..compared];
            if is_http1 || bytes.len() >= PREAMBLE_BYTES {
                if !is_http1 && bytes[HTTP2_PREFACE.len() + 3] != SETTINGS_FRAME {
                    return Err(ConnectionError::MissingSettings);
                }
                return Ok(Some(Self { stream, bytes: io::Cursor::new(bytes), http2: !is_http1 }));
            }
            // No more than detection needs: hyper reads the rest.
            let missing = (PREAMBLE_BYTES - bytes.len()) as u64;
            if (&mut stream).take(missing).read_buf(&mut bytes).await? == 0 {
                return Ok(None);
            }
        }
    }
}

/// The activity of a connection, from which its timeouts are derived. Times are milliseconds since `started`; 0 means unset.
pub(super) struct Activity {
    started: Instant,
    /// Requests whose response has not been sent completely.
    active_requests: AtomicUsize,
    /// The end of the last request.
    idle_since: AtomicU64,
    /// The first byte that was received after the last request.
    header_since: AtomicU64,
    /// The first blocked write after the last successful one.
    write_blocked_since: AtomicU64,
}

/// Counts as an active request until it is dropped.
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

    /// `None` while there is a request.
    fn idle_for(&self) -> Option<Duration> {
        (self.active_requests.load(Relaxed) == 0).then(|| self.elapsed_since(&self.idle_since)).flatten()
    }

    /// Time since the first byte of a request header that is still incomplete.
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

/// Applies the timeouts and the maximum age to a connection.
struct ConnectionMonitor {
    activity: Arc<Activity>,
    shutdown: CancellationToken,
    max_age: Option<Duration>,
}

impl ConnectionMonitor {
    /// Polls the connection until it ends or a timeout closes it. `shut_down` starts its graceful shutdown.
    /// `header_pending_for` returns `None` for HTTP/2, where bytes without a request may be other frames than a header.
    async fn drive<C>(
        self,
        connection: C,
        shut_down: impl Fn(Pin<&mut C>),
        header_pending_for: impl Fn(&Activity) -> Option<Duration>,
    ) -> Result<(), ConnectionError>
    where
        C: Future<Output = hyper::Result<()>>,
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
                return Err(ConnectionError::HeaderTimeout);
            }
            if activity
                .elapsed_since(&activity.write_blocked_since)
                .is_some_and(|elapsed| elapsed >= WRITE_TIMEOUT)
            {
                return Err(ConnectionError::WriteTimeout);
            }
            let idle = activity.idle_for();
            let old = self.max_age.is_some_and(|max_age| activity.started.elapsed() >= max_age);
            if old || idle.is_some_and(|idle| idle >= IDLE_TIMEOUT) {
                self.shutdown.cancel();
            }
            // Some peers keep the connection open after GOAWAY. Without a request nothing is lost by closing it.
            let shutdown_timed_out =
                shutdown_requested_at.is_some_and(|requested| requested.elapsed() >= SHUTDOWN_TIMEOUT);
            if shutdown_timed_out && idle.is_some_and(|idle| idle >= SHUTDOWN_TIMEOUT) {
                return Ok(());
            }
        }
    }
}

/// The stream of a connection: replays the preamble, and records activity.
struct TrackedIo<S> {
    stream: S,
    read_ahead: io::Cursor<Vec<u8>>,
    activity: Arc<Activity>,
}

impl<S: AsyncRead + Unpin> AsyncRead for TrackedIo<S> {
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

impl<S> TrackedIo<S> {
    fn track_write<T>(&self, written: Poll<T>) -> Poll<T> {
        match written {
            Poll::Pending => self.activity.set_if_unset(&self.activity.write_blocked_since),
            Poll::Ready(_) => self.activity.write_blocked_since.store(0, Relaxed),
        }
        written
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for TrackedIo<S> {
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
        // TLS buffers what the socket does not take.
        let flushed = Pin::new(&mut self.stream).poll_flush(cx);
        self.track_write(flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

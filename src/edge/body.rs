//! Request and response bodies. A request body must make progress, and its bytes count against a budget until they are
//! decoded. A response body holds the permits of its request until it has been sent.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::Body as AxumBody;
use axum::response::{IntoResponse, Response};
use bytes::{Buf as _, Bytes};
use http::header::{ACCEPT_ENCODING, CONTENT_TYPE, RETRY_AFTER};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, StatusCode};
use hyper::body::{Body, Frame, SizeHint};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, Sleep, sleep};
use tonic::{Code, Status};

use super::encoding::{ACCEPTED_ENCODINGS, ContentEncoding};
use crate::error::{Error, ErrorCode, problem_response};

/// A body, or a message of a stream, may pause for this long.
const STALL_TIMEOUT: Duration = Duration::from_secs(10);
/// The minimum average rate after the first [`STALL_TIMEOUT`]: a message of 4 MiB may take four minutes.
const MIN_BYTES_PER_SECOND: f64 = 16_384.0;
/// Bytes of all requests that are received and not decoded.
const BUDGET_BYTES: usize = 32 << 20;
/// Buffers that all streams together retain between messages: tonic's buffer stays as large as the largest message of its
/// stream. [`DEFAULT_BUFFER_BYTES`] of each are not counted.
const RETAINED_BYTES: usize = 64 << 20;
const DEFAULT_BUFFER_BYTES: usize = 64 << 10;
/// How long a body waits for the budget before its request fails.
const BUDGET_TIMEOUT: Duration = Duration::from_secs(5);
/// Retry delay of a request that is rejected at a limit.
pub(super) const RETRY_DELAY: Duration = Duration::from_secs(1);
/// Methods whose clients may be idle between two messages without a limit.
const CLIENT_STREAMING_METHODS: [&str; 3] = ["/StreamEvents", "/UploadEvents", "/ServerReflectionInfo"];

/// Whether a request is gRPC or gRPC-Web.
pub(crate) fn is_grpc(headers: &HeaderMap) -> bool {
    headers.get(CONTENT_TYPE).is_some_and(|value| value.as_bytes().starts_with(b"application/grpc"))
}

/// The memory budget of all request bodies.
#[derive(Clone, Debug)]
pub(crate) struct BodyBudget {
    /// [`BUDGET_BYTES`] permits, one per byte.
    received: Arc<Semaphore>,
    /// [`RETAINED_BYTES`] permits, one per byte.
    retained: Arc<Semaphore>,
}

impl Default for BodyBudget {
    fn default() -> Self {
        Self {
            received: Arc::new(Semaphore::new(BUDGET_BYTES)),
            retained: Arc::new(Semaphore::new(RETAINED_BYTES)),
        }
    }
}

/// The bytes that one request has acquired from the budget. It is in the request's extensions, so that a handler can hold
/// it until the request is decoded.
#[derive(Clone, Debug)]
pub(crate) struct BodyPermit(Arc<PermitState>);

#[derive(Debug)]
struct PermitState {
    budget: BodyBudget,
    held: Mutex<Option<OwnedSemaphorePermit>>,
    /// Size of the largest decompressed message.
    decompressed: AtomicUsize,
}

impl BodyPermit {
    fn merge(&self, permit: OwnedSemaphorePermit) {
        let mut held = self.0.held.lock().unwrap_or_else(PoisonError::into_inner);
        match held.as_mut() {
            Some(held) => held.merge(permit),
            None => *held = Some(permit),
        }
    }

    /// Releases all but `bytes`.
    fn shrink_to(&self, bytes: usize) {
        let mut held = self.0.held.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(permit) = held.as_mut() {
            drop(permit.split(permit.num_permits().saturating_sub(bytes)));
        }
    }

    /// Acquires what is missing for a message of `bytes`, which may be larger than what was received: it is decompressed.
    ///
    /// # Errors
    /// [`ErrorCode::Busy`] if the budget is exhausted. Does not wait.
    pub(crate) fn grow_to(&self, bytes: usize) -> Result<(), Error> {
        let held = self.0.held.lock().unwrap_or_else(PoisonError::into_inner);
        let remaining_bytes =
            bytes.saturating_sub(held.as_ref().map_or(0, OwnedSemaphorePermit::num_permits));
        drop(held);
        if remaining_bytes > 0 {
            self.0.decompressed.fetch_max(bytes, Relaxed);
        }
        match Arc::clone(&self.0.budget.received).try_acquire_many_owned(permits(remaining_bytes)) {
            Ok(permit) => {
                self.merge(permit);
                Ok(())
            }
            Err(_) => Err(budget_exhausted()),
        }
    }
}

fn permits(bytes: usize) -> u32 {
    u32::try_from(bytes.min(BUDGET_BYTES)).expect("the budget is less than 4 GiB")
}

fn budget_exhausted() -> Error {
    let message = "too many request bytes are being received; retry later";
    Error::new(ErrorCode::Busy { retry_after: RETRY_DELAY }, message)
}

/// The body of a request, with its timeouts and its permit.
pub(crate) struct ReceivedBody<B> {
    inner: B,
    body_permit: BodyPermit,
    /// `None` for bodies that are not binary gRPC: they count as one message.
    messages: Option<GrpcMessageTracker>,
    /// Whether the client may be idle between messages.
    may_idle: bool,
    progress_timer: ProgressTimer,
    /// Permit for the buffer that a stream retains.
    retained: Option<OwnedSemaphorePermit>,
    /// A frame that waits for the budget.
    blocked: Option<BlockedFrame>,
    failed: bool,
}

struct BlockedFrame {
    frame: Bytes,
    permit: Pin<Box<dyn Future<Output = Option<OwnedSemaphorePermit>> + Send>>,
}

impl<B> ReceivedBody<B> {
    /// Adds a [`BodyPermit`] to the request's extensions.
    pub(crate) fn new(inner: B, parts: &mut Parts, budget: &BodyBudget) -> Self {
        let body_permit = BodyPermit(Arc::new(PermitState {
            budget: budget.clone(),
            held: Mutex::default(),
            decompressed: AtomicUsize::new(0),
        }));
        parts.extensions.insert(body_permit.clone());
        let text = parts.headers.get(CONTENT_TYPE).is_some_and(|value| value.as_bytes().ends_with(b"-text"));
        let messages = (is_grpc(&parts.headers) && !text).then(GrpcMessageTracker::default);
        let may_idle = CLIENT_STREAMING_METHODS.iter().any(|call| parts.uri.path().ends_with(call));
        Self {
            inner,
            body_permit,
            messages,
            may_idle,
            progress_timer: ProgressTimer::default(),
            retained: None,
            blocked: None,
            failed: false,
        }
    }

    /// Whether the client must send bytes now.
    fn awaits_client(&self) -> bool {
        !self.may_idle || self.messages.as_ref().is_none_or(|messages| messages.incomplete_bytes() > 0)
    }

    /// Acquires permits for the buffers that the stream retains after its largest message. Returns false if the budget is
    /// exhausted.
    fn charge_retained_buffers(&mut self) -> bool {
        let largest_message = self.messages.as_ref().map_or(0, |messages| messages.largest_message);
        let bytes = largest_message.max(DEFAULT_BUFFER_BYTES) - DEFAULT_BUFFER_BYTES
            + self.body_permit.0.decompressed.load(Relaxed);
        let missing =
            bytes.saturating_sub(self.retained.as_ref().map_or(0, OwnedSemaphorePermit::num_permits));
        if missing == 0 {
            return true;
        }
        match Arc::clone(&self.body_permit.0.budget.retained).try_acquire_many_owned(permits(missing)) {
            Ok(permit) => {
                match &mut self.retained {
                    Some(retained) => retained.merge(permit),
                    None => self.retained = Some(permit),
                }
                true
            }
            Err(_) => false,
        }
    }

    fn on_frame(&mut self, frame: &Bytes) {
        if let Some(messages) = &mut self.messages {
            messages.advance(frame);
            if messages.incomplete_bytes() == 0 {
                self.progress_timer = ProgressTimer::default();
            }
        }
    }
}

impl<B: Body<Data = Bytes> + Unpin> Body for ReceivedBody<B>
where
    B::Error: Into<axum::BoxError>,
{
    type Data = Bytes;
    type Error = axum::BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::BoxError>>> {
        let this = &mut *self;
        if this.failed {
            return Poll::Ready(None);
        }
        if let Some(blocked) = &mut this.blocked {
            let permit = ready!(blocked.permit.as_mut().poll(cx));
            let frame = std::mem::take(&mut blocked.frame);
            this.blocked = None;
            let Some(permit) = permit else {
                this.failed = true;
                return Poll::Ready(Some(Err(Status::from(budget_exhausted()).into())));
            };
            this.body_permit.merge(permit);
            this.on_frame(&frame);
            return Poll::Ready(Some(Ok(Frame::data(frame))));
        }
        if this.may_idle {
            // tonic polls for more only after it has decoded all complete messages.
            this.body_permit
                .shrink_to(this.messages.as_ref().map_or(0, GrpcMessageTracker::incomplete_bytes));
            if !this.awaits_client() && !this.charge_retained_buffers() {
                this.failed = true;
                return Poll::Ready(Some(Err(Status::from(budget_exhausted()).into())));
            }
        }
        let frame = match Pin::new(&mut this.inner).poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) => frame,
            Poll::Ready(Some(Err(error))) => return Poll::Ready(Some(Err(error.into()))),
            Poll::Ready(None) => return Poll::Ready(None),
            Poll::Pending => {
                if this.awaits_client() && this.progress_timer.poll_stalled(cx).is_ready() {
                    this.failed = true;
                    return Poll::Ready(Some(Err(stalled().into())));
                }
                return Poll::Pending;
            }
        };
        let frame = match frame.into_data() {
            Ok(frame) => frame,
            Err(trailers) => return Poll::Ready(Some(Ok(trailers))),
        };
        this.progress_timer.record_progress(frame.len());
        let budget = Arc::clone(&this.body_permit.0.budget.received);
        let bytes = permits(frame.len());
        if let Ok(permit) = Arc::clone(&budget).try_acquire_many_owned(bytes) {
            this.body_permit.merge(permit);
            this.on_frame(&frame);
            return Poll::Ready(Some(Ok(Frame::data(frame))));
        }
        let permit = Box::pin(async move {
            tokio::time::timeout(BUDGET_TIMEOUT, budget.acquire_many_owned(bytes)).await.ok()?.ok()
        });
        this.blocked = Some(BlockedFrame { frame, permit });
        self.poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.blocked.is_none() && (self.failed || self.inner.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

fn stalled() -> Status {
    Status::deadline_exceeded(format!(
        "the request makes no progress: until it is complete, at least {MIN_BYTES_PER_SECOND} bytes per second and no pause \
         of {} s are expected",
        STALL_TIMEOUT.as_secs()
    ))
}

/// Tracks the messages of a gRPC body, each with a header of a flag byte and a length (four bytes, big-endian).
#[derive(Debug, Default)]
struct GrpcMessageTracker {
    /// The header of the current message, as far as it was received.
    header: Vec<u8>,
    /// Bytes of the current message that are missing, once its header is complete.
    remaining_bytes: usize,
    /// Bytes of the current message that were received, with its header.
    received_bytes: usize,
    largest_message: usize,
}

impl GrpcMessageTracker {
    const HEADER_BYTES: usize = 5;

    fn advance(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            if self.header.len() < Self::HEADER_BYTES {
                let count = bytes.len().min(Self::HEADER_BYTES - self.header.len());
                self.header.extend_from_slice(&bytes[..count]);
                self.received_bytes += count;
                bytes.advance(count);
                if self.header.len() < Self::HEADER_BYTES {
                    return;
                }
                self.remaining_bytes = (&self.header[1..]).get_u32() as usize;
            }
            let count = bytes.len().min(self.remaining_bytes);
            self.remaining_bytes -= count;
            self.received_bytes += count;
            bytes.advance(count);
            if self.remaining_bytes == 0 {
                self.largest_message = self.largest_message.max(self.received_bytes);
                self.header.clear();
                self.received_bytes = 0;
            }
        }
    }

    fn incomplete_bytes(&self) -> usize {
        self.received_bytes
    }
}

/// Measures the rate of received bytes during the time that was spent waiting for them.
#[derive(Default)]
struct ProgressTimer {
    bytes: usize,
    /// Duration of all completed waits.
    waited: Duration,
    /// Start and timeout of the current wait.
    wait: Option<(Instant, Pin<Box<Sleep>>)>,
}

impl ProgressTimer {
    fn record_progress(&mut self, bytes: usize) {
        self.bytes += bytes;
        if let Some((since, _)) = self.wait.take() {
            self.waited += since.elapsed();
        }
    }

    /// Ready when the client has exceeded the timeout or falls below the minimum rate.
    fn poll_stalled(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let (waited, bytes) = (self.waited, self.bytes);
        let (_, timer) = self.wait.get_or_insert_with(|| {
            let allowed = Duration::from_secs_f64(bytes as f64 / MIN_BYTES_PER_SECOND);
            let timeout = (STALL_TIMEOUT + allowed).saturating_sub(waited).min(STALL_TIMEOUT);
            (Instant::now(), Box::pin(sleep(timeout)))
        });
        timer.as_mut().poll(cx)
    }
}

/// Why the body of an HTTP request could not be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BodyError {
    #[error("the body is larger than the maximum of {max_bytes} bytes (MILLRACE_MAX_MESSAGE_BYTES)")]
    TooLarge { max_bytes: usize },
    /// [`ReceivedBody`] has ended it: too slow, or the budget is exhausted.
    #[error("{}", .0.message())]
    Aborted(Status),
    #[error("the body cannot be read: {0}")]
    Read(#[source] axum::Error),
    #[error(
        "Content-Encoding: {name:?} is not supported; compress the body with one of {ACCEPTED_ENCODINGS}, or not at all"
    )]
    UnknownEncoding { name: String },
    #[error("the body cannot be decompressed as {encoding}: {source}")]
    Decompress { encoding: &'static str, source: std::io::Error },
    /// The decompressed body does not fit into the budget.
    #[error(transparent)]
    BudgetExhausted(Error),
}

impl BodyError {
    fn status(&self) -> StatusCode {
        match self {
            Self::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Aborted(status) if status.code() == Code::DeadlineExceeded => StatusCode::REQUEST_TIMEOUT,
            Self::Aborted(_) | Self::BudgetExhausted(_) => StatusCode::SERVICE_UNAVAILABLE,
            Self::Read(_) | Self::Decompress { .. } => StatusCode::BAD_REQUEST,
            Self::UnknownEncoding { .. } => StatusCode::UNSUPPORTED_MEDIA_TYPE,
        }
    }
}

impl IntoResponse for BodyError {
    fn into_response(self) -> Response {
        let status = self.status();
        let mut response = problem_response(status, &self.to_string());
        if let Self::UnknownEncoding { .. } = self {
            let accepted = HeaderValue::from_static(ACCEPTED_ENCODINGS);
            response.headers_mut().insert(ACCEPT_ENCODING, accepted);
        }
        if status == StatusCode::SERVICE_UNAVAILABLE {
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(RETRY_DELAY.as_secs()));
        }
        response
    }
}

/// Reads and decompresses the whole body of an HTTP request, at most `max_bytes` of each form. gRPC bodies are read by
/// tonic. The caller keeps `parts` until the request is decoded: they hold the permit for its memory.
///
/// # Errors
/// See [`BodyError`].
pub(crate) async fn read(parts: &Parts, body: AxumBody, max_bytes: usize) -> Result<Bytes, BodyError> {
    let encoding = ContentEncoding::from_headers(&parts.headers)?;
    let body = read_to_end(body, max_bytes).await?;
    encoding.decompress(body, max_bytes, parts.extensions.get())
}

async fn read_to_end(body: AxumBody, max_bytes: usize) -> Result<Bytes, BodyError> {
    let error = match axum::body::to_bytes(body, max_bytes).await {
        Ok(bytes) => return Ok(bytes),
        Err(error) => error,
    };
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(&error);
    while let Some(error) = cause {
        if error.is::<http_body_util::LengthLimitError>() {
            return Err(BodyError::TooLarge { max_bytes });
        }
        if let Some(status) = error.downcast_ref::<Status>() {
            return Err(BodyError::Aborted(status.clone()));
        }
        cause = error.source();
    }
    Err(BodyError::Read(error))
}

/// A response body that holds a guard until it has been sent or dropped.
pub(super) struct GuardedBody<G> {
    inner: AxumBody,
    _guard: G,
}

impl<G> GuardedBody<G> {
    pub(super) fn new(inner: AxumBody, guard: G) -> Self {
        Self { inner, _guard: guard }
    }
}

impl<G: Unpin> Body for GuardedBody<G> {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.inner).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use http::Request;
    use http_body_util::BodyExt as _;
    use tokio::sync::mpsc;

    use super::*;

    /// A body of the chunks that are sent to a channel.
    struct ChannelBody(mpsc::Receiver<Bytes>);

    impl Body for ChannelBody {
        type Data = Bytes;
        type Error = std::convert::Infallible;
        fn poll_frame(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
            self.0.poll_recv(cx).map(|bytes| bytes.map(|bytes| Ok(Frame::data(bytes))))
        }
    }

    fn received_body(path: &str, budget: &BodyBudget) -> (mpsc::Sender<Bytes>, ReceivedBody<ChannelBody>) {
        let (sender, receiver) = mpsc::channel(10);
        let request = Request::post(path).header(CONTENT_TYPE, "application/grpc").body(()).unwrap();
        let body = ReceivedBody::new(ChannelBody(receiver), &mut request.into_parts().0, budget);
        (sender, body)
    }

    fn code(error: &axum::BoxError) -> Code {
        error.downcast_ref::<Status>().unwrap().code()
    }

    /// The header of a message of `length` bytes, and its first `sent` bytes.
    fn message(length: u32, sent: usize) -> Bytes {
        [&[0][..], &length.to_be_bytes(), &vec![7; sent]].concat().into()
    }

    #[test]
    fn message_boundaries_are_tracked_for_any_chunking() {
        let stream = [message(3, 3), message(0, 0), message(300, 300), message(10, 4)].concat();
        for chunk_bytes in 1..40 {
            let mut messages = GrpcMessageTracker::default();
            for chunk in stream.chunks(chunk_bytes) {
                messages.advance(chunk);
            }
            assert_eq!(
                (messages.incomplete_bytes(), messages.remaining_bytes),
                (9, 6),
                "in chunks of {chunk_bytes}"
            );
            messages.advance(&[0; 6]);
            assert_eq!(messages.incomplete_bytes(), 0);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_may_be_idle_between_messages_but_not_within_one() {
        let budget = BodyBudget::default();
        let (sender, mut body) = received_body("/millrace.v1.IngestService/StreamEvents", &budget);
        sender.send(message(3, 3)).await.unwrap();
        body.frame().await.unwrap().unwrap();
        assert!(tokio::time::timeout(Duration::from_secs(3_600), body.frame()).await.is_err());
        assert_eq!(budget.received.available_permits(), BUDGET_BYTES, "the message is decoded");
        sender.send(message(3, 1)).await.unwrap();
        body.frame().await.unwrap().unwrap();
        assert_eq!(budget.received.available_permits(), BUDGET_BYTES - 6);
        let started = Instant::now();
        let error = body.frame().await.unwrap().unwrap_err();
        assert_eq!((code(&error), started.elapsed().as_secs()), (Code::DeadlineExceeded, 10));
    }

    #[tokio::test(start_paused = true)]
    async fn retained_stream_buffers_share_one_limit() {
        let budget = BodyBudget::default();
        let mut streams = Vec::new();
        let ended = loop {
            let (sender, mut body) = received_body("/millrace.v1.IngestService/StreamEvents", &budget);
            sender.send(message(4 << 20, 4 << 20)).await.unwrap();
            body.frame().await.unwrap().unwrap();
            match tokio::time::timeout(Duration::from_secs(3_600), body.frame()).await {
                Err(_) => streams.push((sender, body)),
                Ok(ended) => break ended.unwrap().unwrap_err(),
            }
        };
        assert_eq!((code(&ended), streams.len()), (Code::ResourceExhausted, 16));
        assert_eq!(budget.received.available_permits(), BUDGET_BYTES);
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_unary_body_is_ended() {
        let (sender, mut body) =
            received_body("/millrace.v1.IngestService/SendEvents", &BodyBudget::default());
        let started = Instant::now();
        let sending = tokio::spawn(async move {
            sender.send(message(1_000_000, 0)).await.unwrap();
            while sender.send(Bytes::from_static(b"0123456789")).await.is_ok() {
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        });
        let error = loop {
            match body.frame().await.unwrap() {
                Ok(_) => {}
                Err(error) => break error,
            }
        };
        assert_eq!((code(&error), started.elapsed().as_secs()), (Code::DeadlineExceeded, 10));
        drop(body);
        sending.await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn received_bytes_share_one_limit_across_requests() {
        let budget = BodyBudget::default();
        let path = "/millrace.v1.IngestService/SendEvents";
        let (large, mut blocking_body) = received_body(path, &budget);
        large.send(Bytes::from(vec![0; BUDGET_BYTES - 10])).await.unwrap();
        blocking_body.frame().await.unwrap().unwrap();
        let (sender, mut body) = received_body(path, &budget);
        sender.send(message(100, 100)).await.unwrap();
        let error = body.frame().await.unwrap().unwrap_err();
        assert_eq!(code(&error), Code::ResourceExhausted);
        let (sender, mut body) = received_body(path, &budget);
        sender.send(message(100, 100)).await.unwrap();
        let waiting = tokio::spawn(async move { body.frame().await.unwrap().is_ok() });
        tokio::time::sleep(Duration::from_secs(1)).await;
        drop(blocking_body);
        assert!(waiting.await.unwrap(), "received when the budget is free again");
    }
}

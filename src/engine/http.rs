//! The engine's HTTP interface: ClickHouse's protocol, as far as its clients use it.

use std::io;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::StreamExt as _;
use http::header::{ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_TYPE, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderValue, StatusCode};
use tokio::sync::{mpsc, oneshot};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::task::TaskTracker;

use super::accounts::{Accounts, DEFAULT_USER, Workload};
use super::body::BodyTasks;
use super::cancel::{CancelOnDrop, RunningStatement};
use super::error::{AUTHENTICATION_FAILED, EngineError};
use super::execute::{ContentEncoding, MAX_UNSENT_CHUNKS, ResponseHead, StatementJob};
use super::library::{Library, LibraryError};
use super::pool::ConnectionPool;
use super::request::HttpRequest;

/// Largest multipart body. It contains a statement and its parameters, and no data.
const MAX_MULTIPART_BYTES: u64 = 64 << 20;
/// Part of a body that must arrive before its statement gets a permit, so that a client holds no permit while it sends a
/// statement. The rest of an INSERT's data is read with the permit, at the rate of [`super::stall::StallTimeout`].
const PREFETCH_BYTES: usize = 1 << 20;

/// A running engine.
pub(crate) struct EngineServer {
    pool: ConnectionPool,
    accounts: Accounts,
    timezone: String,
    /// Blocking tasks, one for each running statement.
    statements: TaskTracker,
    bodies: BodyTasks,
}

impl EngineServer {
    /// Starts the engine on its data folder. Blocks until all tables are loaded.
    pub(crate) fn start(
        library: Arc<Library>,
        data_dir: std::path::PathBuf,
        config: EngineServerConfig,
    ) -> Result<Self, EngineServerError> {
        let pool = ConnectionPool::open(library, data_dir, config.arguments())?;
        let timezone = pool
            .with_connection(Workload::Writer, &Default::default(), |connection| {
                let result = connection.query("SELECT timezone()", "TabSeparated", &Vec::new())?;
                Ok(String::from_utf8_lossy(result.bytes()).trim().to_owned())
            })
            .map_err(EngineServerError::FirstQuery)?;
        Ok(Self {
            pool,
            accounts: Accounts::new(config.password, config.server_key),
            timezone,
            statements: TaskTracker::new(),
            bodies: BodyTasks::default(),
        })
    }

    /// Waits for the running statements, and closes all connections to the engine. New statements wait indefinitely.
    pub(crate) async fn close(&self) {
        self.pool.close().await;
        self.statements.close();
        self.statements.wait().await;
        // Last, since a running INSERT reads its body.
        self.bodies.close().await;
    }
}

/// Configuration of the engine.
#[derive(Clone)]
pub(crate) struct EngineServerConfig {
    /// Password of [`DEFAULT_USER`]. If it is empty, the user is disabled.
    pub password: String,
    /// Key of the server's own users. `None` in a standalone engine.
    pub server_key: Option<String>,
    /// Memory limit in bytes. Statements that exceed it fail with MEMORY_LIMIT_EXCEEDED.
    pub memory_bytes: u64,
}

impl EngineServerConfig {
    /// Arguments of the library. Merges get a thread per core, but at least the library's default of 2.
    fn arguments(&self) -> Vec<String> {
        let cores = std::thread::available_parallelism().map_or(2, std::num::NonZero::get);
        vec![
            format!("--max_server_memory_usage={}", self.memory_bytes),
            format!("--background_pool_size={}", cores.clamp(2, 16)),
        ]
    }
}

/// Why the engine does not start.
#[derive(Debug, thiserror::Error)]
pub(crate) enum EngineServerError {
    /// The library or the data folder cannot be used.
    #[error(transparent)]
    Library(#[from] LibraryError),
    /// The first query failed.
    #[error("the engine started, but its first query failed: {0}")]
    FirstQuery(EngineError),
}

/// The HTTP interface of the engine. Every path accepts statements. GET requests for /ping or without a query return "Ok.".
pub(crate) fn router(server: Arc<EngineServer>) -> Router {
    Router::new().fallback(handle).with_state(server)
}

async fn handle(State(server): State<Arc<EngineServer>>, request: Request) -> Response {
    let is_read = request.method() != http::Method::POST;
    if is_read
        && (matches!(request.uri().path(), "/ping" | "/replicas_status") || request.uri().query().is_none())
    {
        return "Ok.\n".into_response();
    }
    let (parts, body) = request.into_parts();
    match server.execute(parts, body).await {
        Ok(response) => response,
        Err(error) => error_response(&error),
    }
}

impl EngineServer {
    async fn execute(
        self: Arc<Self>,
        parts: http::request::Parts,
        body: Body,
    ) -> Result<Response, EngineError> {
        let mut request = HttpRequest::from_parts(&parts)?;
        let workload = self.authenticate(&request)?;
        let body = match multipart_boundary(&parts.headers) {
            Some(boundary) => {
                read_multipart(&mut request, body, boundary).await?;
                Body::empty()
            }
            None => body,
        };
        let query_id = request.query_id.clone().unwrap_or_else(|| uuid::Uuid::new_v4().to_string());
        let response_encoding = if request.compress_response {
            accepted_encoding(&parts.headers)
        } else {
            ContentEncoding::Identity
        };
        let body_encoding = body_encoding(&parts.headers)?;
        let mut body = self.bodies.read(body);
        body.prefetch(PREFETCH_BYTES).await.map_err(EngineError::Body)?;
        let running = RunningStatement::default();
        let (head_sender, head) = oneshot::channel();
        let (chunk_sender, chunks) = mpsc::channel(MAX_UNSENT_CHUNKS);
        let job = StatementJob {
            workload,
            request,
            running: running.clone(),
            body,
            body_encoding,
            response_encoding,
            head: head_sender,
            chunks: chunk_sender,
        };
        let permit = self.pool.acquire_permit(workload).await;
        let server = Arc::clone(&self);
        self.statements.spawn_blocking(move || {
            job.execute(&server.pool);
            drop(permit);
        });
        let cancel = CancelOnDrop::new(Arc::clone(&self), running);
        let head = head.await;
        cancel.response_has_begun();
        let head = head.map_err(|_| EngineError::NoResponse)??;
        Ok(self.response(head, chunks, &query_id, response_encoding))
    }

    pub(super) fn pool(&self) -> &ConnectionPool {
        &self.pool
    }

    pub(super) fn statements(&self) -> &TaskTracker {
        &self.statements
    }

    fn authenticate(&self, request: &HttpRequest) -> Result<Workload, EngineError> {
        let user = request.user.as_deref().unwrap_or(DEFAULT_USER);
        let password = request.password.as_deref().unwrap_or_default();
        let workload = self.accounts.authenticate(user, password);
        workload.ok_or_else(|| EngineError::Authentication { user: user.to_owned() })
    }

    fn response(
        &self,
        head: ResponseHead,
        chunks: mpsc::Receiver<io::Result<Bytes>>,
        query_id: &str,
        encoding: ContentEncoding,
    ) -> Response {
        // An error closes the connection and discards what is not written yet. Yielding lets the preceding chunks be
        // written first.
        let chunks = ReceiverStream::new(chunks).then(|chunk| async {
            if chunk.is_err() {
                tokio::task::yield_now().await;
            }
            chunk
        });
        let mut response = Response::new(Body::from_stream(chunks));
        let headers = response.headers_mut();
        let mut set = |name: &'static str, value: &str| {
            if let Ok(value) = HeaderValue::from_str(value) {
                headers.insert(name, value);
            }
        };
        set("x-clickhouse-query-id", query_id);
        set("x-clickhouse-timezone", &self.timezone);
        set("x-clickhouse-server-display-name", "millrace");
        if let Some(format) = &head.format {
            set("x-clickhouse-format", format);
            set("content-type", content_type(format));
        }
        if let Some((summary, elapsed)) = head.summary {
            let summary = serde_json::json!({
                "read_rows": summary.read_rows.to_string(),
                "read_bytes": summary.read_bytes.to_string(),
                "written_rows": summary.written_rows.to_string(),
                "written_bytes": summary.written_bytes.to_string(),
                "total_rows_to_read": summary.read_rows.to_string(),
                "result_rows": summary.result_rows.to_string(),
                "elapsed_ns": elapsed.as_nanos().to_string(),
            });
            set("x-clickhouse-summary", &summary.to_string());
        }
        if let Some(name) = encoding.name() {
            set("content-encoding", name);
        }
        response
    }
}

fn error_response(error: &EngineError) -> Response {
    let code = error.code();
    let mut response = (status_of(code), format!("{}\n", error.response_text().trim_end())).into_response();
    response.headers_mut().insert("x-clickhouse-exception-code", HeaderValue::from(code));
    if code == AUTHENTICATION_FAILED {
        response
            .headers_mut()
            .insert(WWW_AUTHENTICATE, HeaderValue::from_static("Basic realm=\"ClickHouse\""));
    }
    response
}

/// HTTP status of an error code, as in ClickHouse's src/Server/HTTP/exceptionCodeToHTTPStatus.cpp.
fn status_of(code: i32) -> StatusCode {
    match code {
        194 => StatusCode::UNAUTHORIZED,
        192 | 193 | 512 | 516 => StatusCode::FORBIDDEN,
        6
        | 15
        | 25..=27
        | 36
        | 38
        | 41
        | 43
        | 44
        | 53
        | 62
        | 72
        | 86
        | 106
        | 117
        | 167
        | 168
        | 229
        | 321
        | 376
        | 456
        | 457 => StatusCode::BAD_REQUEST,
        46 | 47 | 50 | 56 | 60 | 63 | 73 | 78 | 81 | 115 | 336 => StatusCode::NOT_FOUND,
        159 => StatusCode::REQUEST_TIMEOUT,
        48 => StatusCode::NOT_IMPLEMENTED,
        209 | 439 => StatusCode::SERVICE_UNAVAILABLE,
        381 => StatusCode::LENGTH_REQUIRED,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

fn content_type(format: &str) -> &'static str {
    match format {
        "TabSeparated" | "TSV" => "text/tab-separated-values; charset=UTF-8",
        "CSV" | "CSVWithNames" => "text/csv; charset=UTF-8; header=present",
        "JSON" | "JSONCompact" | "JSONStrings" | "JSONColumns" => "application/json; charset=UTF-8",
        "JSONEachRow" => "application/x-ndjson; charset=UTF-8",
        "Native" | "RowBinary" | "RowBinaryWithNamesAndTypes" | "Parquet" | "Arrow" | "ArrowStream" => {
            "application/octet-stream"
        }
        _ => "text/plain; charset=UTF-8",
    }
}

fn body_encoding(headers: &HeaderMap) -> Result<ContentEncoding, EngineError> {
    match headers.get(CONTENT_ENCODING).map(|value| value.to_str().unwrap_or("?").trim().to_ascii_lowercase())
    {
        None => Ok(ContentEncoding::Identity),
        Some(name) => match name.as_str() {
            "" | "identity" => Ok(ContentEncoding::Identity),
            "gzip" => Ok(ContentEncoding::Gzip),
            "zstd" => Ok(ContentEncoding::Zstd),
            "lz4" => Ok(ContentEncoding::Lz4),
            other => Err(EngineError::ContentEncoding { name: other.to_owned() }),
        },
    }
}

fn accepted_encoding(headers: &HeaderMap) -> ContentEncoding {
    let accepted = headers.get(ACCEPT_ENCODING).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let accepts = |name: &str| {
        accepted
            .split(',')
            .any(|item| item.split(';').next().is_some_and(|item| item.trim().eq_ignore_ascii_case(name)))
    };
    if accepts("zstd") {
        ContentEncoding::Zstd
    } else if accepts("lz4") {
        ContentEncoding::Lz4
    } else if accepts("gzip") {
        ContentEncoding::Gzip
    } else {
        ContentEncoding::Identity
    }
}

fn multipart_boundary(headers: &HeaderMap) -> Option<String> {
    multer::parse_boundary(headers.get(CONTENT_TYPE)?.to_str().ok()?).ok()
}

async fn read_multipart(request: &mut HttpRequest, body: Body, boundary: String) -> Result<(), EngineError> {
    let limits = multer::SizeLimit::new().whole_stream(MAX_MULTIPART_BYTES);
    let constraints = multer::Constraints::new().size_limit(limits);
    let mut multipart = multer::Multipart::with_constraints(body.into_data_stream(), boundary, constraints);
    while let Some(field) = multipart.next_field().await.map_err(EngineError::Multipart)? {
        let Some(name) = field.name().map(str::to_owned) else {
            continue;
        };
        let value = field.text().await.map_err(EngineError::Multipart)?;
        request.set_parameter(&name, value)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn error_codes_map_to_http_statuses() {
        let exception = |text: &str| error_response(&LibraryError::exception(text.to_owned()).into());
        let unknown_table = exception("Code: 60. DB::Exception: no table. (UNKNOWN_TABLE)");
        assert_eq!(unknown_table.status(), StatusCode::NOT_FOUND);
        let denied = error_response(&EngineError::Authentication { user: "x".into() });
        assert_eq!(denied.status(), StatusCode::FORBIDDEN);
        assert_eq!(denied.headers()["x-clickhouse-exception-code"], "516");
        assert_eq!(exception("something else").status(), StatusCode::INTERNAL_SERVER_ERROR);
    }

    #[test]
    fn the_response_uses_an_encoding_the_client_accepts() {
        let accepts = |value: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(ACCEPT_ENCODING, HeaderValue::from_static(value));
            accepted_encoding(&headers)
        };
        assert_eq!(accepts("gzip, deflate, br, zstd"), ContentEncoding::Zstd);
        assert_eq!(accepts("deflate, gzip;q=0.5"), ContentEncoding::Gzip);
        assert_eq!(accepts("lz4"), ContentEncoding::Lz4);
        assert_eq!(accepts("br"), ContentEncoding::Identity);
    }
}

//! Starts the real binary with the real engine, and connects to it as clients do.

#[path = "cluster/emulation.rs"]
pub(crate) mod emulation;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use millrace_client::proto::v1;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tonic::Streaming;
use tonic::transport::Channel;
use v1::dashboard_service_client::DashboardServiceClient;
use v1::health_service_client::HealthServiceClient;
use v1::ingest_service_client::IngestServiceClient;

use emulation::{CLUSTER, EmulatedCluster};

/// Deadline after which a wait counts as hung. Generous: no test fails because the machine is slow.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(180);

/// A running server with a temporary data folder. Dropping it kills it (SIGKILL).
pub(crate) struct TestServer {
    pub(crate) child: Child,
    pub(crate) address: String,
    data_dir: Arc<TempDir>,
    log: Arc<Mutex<Vec<String>>>,
    /// With MILLRACE_TEST_CLUSTER: instead of the embedded engine.
    cluster: Option<EmulatedCluster>,
}

impl TestServer {
    pub(crate) fn start() -> Self {
        Self::start_with(&[])
    }

    /// Starts with additional environment variables.
    pub(crate) fn start_with(env: &[(&str, &str)]) -> Self {
        Self::start_on(Arc::new(tempfile::tempdir().unwrap()), env)
    }

    /// Starts on the data folder of an earlier server.
    pub(crate) fn start_on(data_dir: Arc<TempDir>, env: &[(&str, &str)]) -> Self {
        Self::start_program(Path::new(env!("CARGO_BIN_EXE_millrace")), data_dir, env)
    }

    /// Starts another copy of the binary.
    pub(crate) fn start_program(program: &Path, data_dir: Arc<TempDir>, env: &[(&str, &str)]) -> Self {
        let mut server = Self::spawn(program, data_dir, env);
        server.wait_until_ready();
        server
    }

    pub(crate) fn wait_until_ready(&mut self) {
        let ready = self.wait_for_log_line("millrace is ready");
        self.address = ready
            .split("address=")
            .nth(1)
            .and_then(|rest| rest.split_whitespace().next())
            .expect("the line has the address")
            .to_owned();
    }

    /// Starts a program without waiting until it is ready.
    pub(crate) fn spawn(program: &Path, data_dir: Arc<TempDir>, env: &[(&str, &str)]) -> Self {
        let is_own = env.iter().all(|(name, _)| *name != "CLICKHOUSE_URL");
        let cluster = (is_own && std::env::var_os("MILLRACE_TEST_CLUSTER").is_some())
            .then(|| EmulatedCluster::start(2));
        let mut of_cluster = Vec::new();
        if let Some(cluster) = &cluster {
            of_cluster = vec![("CLICKHOUSE_URL", cluster.urls.as_str()), ("CLICKHOUSE_CLUSTER", CLUSTER)];
            let endpoint = serde_json::json!({
                "url": cluster.engine(0), "user": "default", "password": TestClickHouse::PASSWORD,
            });
            std::fs::write(data_dir.path().join("engine.json"), endpoint.to_string()).unwrap();
        }
        let mut child = Command::new(program)
            .arg("serve")
            .env("MILLRACE_LISTEN", "127.0.0.1:0")
            .env("MILLRACE_DATA_DIR", data_dir.path())
            .env("MILLRACE_INSIGHTS_DIR", data_dir.path().join("insights"))
            .env("MILLRACE_LOG", "info,millrace=debug")
            .env("CLICKHOUSE_PASSWORD", TestClickHouse::PASSWORD)
            .envs(of_cluster)
            .envs(env.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let log = Arc::new(Mutex::new(Vec::new()));
        let (lines, stderr) = (Arc::clone(&log), child.stderr.take().unwrap());
        std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                lines.lock().unwrap().push(line);
            }
        });
        Self { child, address: String::new(), data_dir, log, cluster }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn data_dir(&self) -> &Path {
        self.data_dir.path()
    }

    /// Keeps the data folder for another server.
    pub(crate) fn shared_data_dir(&self) -> Arc<TempDir> {
        Arc::clone(&self.data_dir)
    }

    pub(crate) fn log(&self) -> String {
        self.log.lock().unwrap().join("\n")
    }

    /// Waits for a log line that contains `part`, and returns it.
    pub(crate) fn wait_for_log_line(&mut self, part: &str) -> String {
        let deadline = Instant::now() + TIMEOUT;
        loop {
            if let Some(line) = self.log.lock().unwrap().iter().find(|line| line.contains(part)) {
                return line.clone();
            }
            let ended = self.child.try_wait().unwrap();
            assert!(
                ended.is_none() && Instant::now() < deadline,
                "no line with {part:?} (ended: {ended:?}):\n{}",
                self.log()
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    pub(crate) async fn channel(&self) -> Channel {
        Channel::from_shared(self.url()).unwrap().connect().await.unwrap()
    }

    pub(crate) async fn ingest(&self) -> IngestServiceClient<Channel> {
        IngestServiceClient::new(self.channel().await)
    }

    pub(crate) async fn dashboard(&self) -> DashboardServiceClient<Channel> {
        DashboardServiceClient::new(self.channel().await).max_decoding_message_size(64 << 20)
    }

    pub(crate) async fn health(&self) -> v1::Health {
        let mut client = HealthServiceClient::new(self.channel().await);
        client.check(v1::CheckRequest {}).await.unwrap().into_inner().health.unwrap()
    }

    /// Polls health until the predicate holds. `description` is for the failure message.
    pub(crate) async fn wait_for_health(
        &self,
        description: &str,
        predicate: impl Fn(&v1::Health) -> bool,
    ) -> v1::Health {
        let deadline = Instant::now() + TIMEOUT;
        loop {
            let health = self.health().await;
            if predicate(&health) {
                return health;
            }
            assert!(Instant::now() < deadline, "health was never {description}: {health:#?}\n{}", self.log());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Waits until every accepted event is in ClickHouse.
    pub(crate) async fn wait_until_landed(&self) -> v1::Health {
        self.wait_for_health("landed", |health| health.buffer_size == 0).await
    }

    /// Runs a query on the embedded ClickHouse directly. Returns the result as TabSeparated.
    pub(crate) async fn sql(&self, query: &str) -> String {
        self.try_sql(query).await.unwrap_or_else(|error| panic!("{query}: {error}"))
    }

    /// Runs a query whose result is one row of numbers.
    pub(crate) async fn sql_numbers(&self, query: &str) -> Vec<u64> {
        let row = self.sql(query).await;
        row.split('\t').map(|number| number.parse().unwrap()).collect()
    }

    /// Compares the `sent` events with those in ClickHouse. Each must have its producer as its session and a property `n`
    /// that is unique per producer.
    pub(crate) async fn count_deliveries(&self, sent: u64) -> DeliveryCounts {
        let counts = self
            .sql_numbers(
                "SELECT count(), uniqExact(session_id, JSONExtractUInt(properties, 'n')) FROM events",
            )
            .await;
        let (stored, distinct) = (counts[0], counts[1]);
        DeliveryCounts { stored, lost: sent - distinct, duplicated: stored - distinct }
    }

    pub(crate) async fn try_sql(&self, query: &str) -> Result<String, clickhouse::error::Error> {
        let file = std::fs::read(self.data_dir().join("engine.json")).unwrap();
        let endpoint: serde_json::Value = serde_json::from_slice(&file).unwrap();
        let client = clickhouse::Client::default()
            .with_url(endpoint["url"].as_str().unwrap())
            .with_user(endpoint["user"].as_str().unwrap())
            .with_password(endpoint["password"].as_str().unwrap())
            .with_database(if self.cluster.is_some() { "millrace_all" } else { "millrace" });
        let response = client.query_raw(query).fetch_bytes("TabSeparated")?.collect().await?;
        Ok(String::from_utf8(response.to_vec()).unwrap().trim_end().to_owned())
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Process id of the embedded engine.
    pub(crate) fn engine_pid(&self) -> Option<u32> {
        child_of(self.pid())
    }

    /// Resident memory of the server in KiB, without the engine.
    pub(crate) fn rss_kib(&self) -> u64 {
        self.proc_status_kib("VmRSS:")
    }

    /// A field of the server's /proc/PID/status, in KiB.
    pub(crate) fn proc_status_kib(&self, field: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(field)).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }

    pub(crate) fn signal(&self, signal: &str) {
        send_signal(self.pid(), signal);
    }

    /// Stops it with SIGTERM. Returns the exit status and the log.
    pub(crate) fn stop(mut self) -> (std::process::ExitStatus, String) {
        self.signal("TERM");
        (self.wait(), self.log())
    }

    pub(crate) fn wait(&mut self) -> std::process::ExitStatus {
        let deadline = Instant::now() + TIMEOUT;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(Instant::now() < deadline, "the server does not exit:\n{}", self.log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for TestServer {
    fn drop(&mut self) {
        let engine = self.engine_pid();
        self.child.kill().ok();
        self.child.wait().ok();
        // The engine exits after its parent. Its folder must not be deleted before.
        if let Some(engine) = engine {
            let deadline = Instant::now() + Duration::from_secs(20);
            while Path::new(&format!("/proc/{engine}")).exists() && Instant::now() < deadline {
                std::thread::sleep(Duration::from_millis(20));
            }
        }
        if std::thread::panicking() {
            eprintln!("--- the server's log:\n{}", self.log());
        }
    }
}

/// The result of [`TestServer::count_deliveries`].
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct DeliveryCounts {
    /// Events in ClickHouse.
    pub(crate) stored: u64,
    /// Events that were sent and are not in ClickHouse.
    pub(crate) lost: u64,
    /// Additional copies of events in ClickHouse.
    pub(crate) duplicated: u64,
}

/// The next message of WatchPanels that is not a heartbeat; `None` at the end of the stream.
pub(crate) async fn next_update(
    stream: &mut Streaming<v1::WatchPanelsResponse>,
) -> Result<Option<v1::WatchPanelsResponse>, tonic::Status> {
    loop {
        let next = tokio::time::timeout(TIMEOUT, stream.message()).await.expect("the stream is alive")?;
        if next.as_ref().is_none_or(|update| update.heartbeat.is_none()) {
            return Ok(next);
        }
    }
}

/// Sends an HTTP/1.1 request over a new connection. Returns the head and the body of the response.
pub(crate) fn http_request(
    server: &TestServer,
    method: &str,
    path: &str,
    content_type: &str,
    body: &[u8],
) -> (String, Vec<u8>) {
    http_request_with(server, method, path, &format!("Content-Type: {content_type}\r\n"), body)
}

/// Like [`http_request`], with any headers. Each ends with CRLF.
pub(crate) fn http_request_with(
    server: &TestServer,
    method: &str,
    path: &str,
    headers: &str,
    body: &[u8],
) -> (String, Vec<u8>) {
    let mut stream = TcpStream::connect(&server.address).unwrap();
    stream.set_read_timeout(Some(TIMEOUT)).unwrap();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{headers}Content-Length: {}\r\n\r\n",
        body.len()
    );
    let mut writer = stream.try_clone().unwrap();
    let mut response = Vec::new();
    std::thread::scope(|scope| {
        // The server may respond and close before it has read a body that is too large, so the response is read meanwhile.
        scope.spawn(move || writer.write_all(head.as_bytes()).and_then(|()| writer.write_all(body)).ok());
        let read = stream.read_to_end(&mut response);
        assert!(read.is_ok() || !response.is_empty(), "{read:?}");
    });
    let end = response.windows(4).position(|window| window == b"\r\n\r\n").unwrap();
    (String::from_utf8_lossy(&response[..end]).into_owned(), response[end + 4..].to_vec())
}

/// Responds to requests over HTTP/1.1 until its runtime ends. After an error the connection is closed without a response.
pub(crate) async fn serve_http<F, E>(
    listener: TcpListener,
    respond: impl Fn(Request<Incoming>) -> F + Clone + Send + 'static,
) where
    F: Future<Output = Result<Response<Full<Bytes>>, E>> + Send + 'static,
    E: Into<Box<dyn std::error::Error + Send + Sync>> + 'static,
{
    while let Ok((connection, _)) = listener.accept().await {
        let serving = hyper::server::conn::http1::Builder::new()
            .serve_connection(TokioIo::new(connection), service_fn(respond.clone()));
        tokio::spawn(async move { drop(serving.await) });
    }
}

/// A ClickHouse server for CLICKHOUSE_URL: a separate engine process. Dropping it kills it.
pub(crate) struct TestClickHouse(Child);

impl TestClickHouse {
    /// Password of its user "default".
    pub(crate) const PASSWORD: &str = "a password for tests";

    pub(crate) fn start(address: &str, folder: &Path) -> Self {
        Self::start_with(address, folder, &[])
    }

    /// Starts it with further arguments.
    pub(crate) fn start_with(address: &str, folder: &Path, arguments: &[&str]) -> Self {
        let child = Command::new(env!("CARGO_BIN_EXE_millrace"))
            .args(["engine", "--exit-with-parent", "--listen", address, "--data-dir"])
            .arg(folder)
            .args(arguments)
            .env("MILLRACE_ENGINE_PASSWORD", Self::PASSWORD)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        Self(child)
    }

    /// A client for the database `millrace`.
    pub(crate) fn client(url: &str) -> clickhouse::Client {
        let client = clickhouse::Client::default().with_url(url).with_database("millrace");
        client.with_user("default").with_password(Self::PASSWORD)
    }

    /// Stops it by closing its standard input, as a supervisor does. Returns the exit status.
    pub(crate) fn stop(mut self) -> std::process::ExitStatus {
        drop(self.0.stdin.take());
        self.0.wait().unwrap()
    }
}

impl Drop for TestClickHouse {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

/// A small tmpfs, for tests of a full disk.
pub(crate) struct SmallDisk {
    pub(crate) folder: Arc<tempfile::TempDir>,
}

impl SmallDisk {
    /// `None` if mounting is not permitted; prints the reason to standard error.
    pub(crate) fn mount(megabytes: u32) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let size = format!("size={megabytes}m");
        let mount =
            Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(folder.path()).output();
        let reason = match mount {
            Ok(output) if output.status.success() => return Some(Self { folder: folder.into() }),
            Ok(output) => String::from_utf8_lossy(&output.stderr).trim().to_owned(),
            Err(error) => error.to_string(),
        };
        eprintln!("NOT TESTED: a full disk; mounting a tmpfs failed: {reason}");
        None
    }

    /// Writes a file that uses up the free space.
    pub(crate) fn fill(&self) {
        let mut size = 64 << 20;
        let mut file = std::fs::File::create(self.folder.path().join("ballast")).unwrap();
        while size >= 1_024 {
            if std::io::Write::write_all(&mut file, &vec![1; size]).is_err() {
                size /= 2;
            }
        }
    }

    /// Like [`Self::fill`], but leaves some bytes free.
    pub(crate) fn fill_except(&self, free_bytes: u64) {
        self.fill();
        let ballast = std::fs::File::options().write(true).open(self.folder.path().join("ballast")).unwrap();
        ballast.set_len(ballast.metadata().unwrap().len() - free_bytes).unwrap();
    }

    /// Deletes that file.
    pub(crate) fn free_space(&self) {
        std::fs::remove_file(self.folder.path().join("ballast")).unwrap();
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        Command::new("umount").arg("-l").arg(self.folder.path()).status().ok();
    }
}

/// A loopback address that is free now.
pub(crate) fn free_address() -> String {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string()
}

pub(crate) fn send_signal(pid: u32, signal: &str) {
    assert!(try_send_signal(pid, signal), "kill -{signal} {pid}");
}

/// Returns whether the process was still there.
pub(crate) fn try_send_signal(pid: u32, signal: &str) -> bool {
    let kill = Command::new("kill").args([&format!("-{signal}"), &pid.to_string()]).output().unwrap();
    kill.status.success()
}

fn child_of(pid: u32) -> Option<u32> {
    let threads = std::fs::read_dir(format!("/proc/{pid}/task")).ok()?;
    threads.flatten().find_map(|thread| {
        let children = std::fs::read_to_string(thread.path().join("children")).ok()?;
        children.split_whitespace().next()?.parse().ok()
    })
}

/// A valid event with the current time.
pub(crate) fn event(name: &str) -> v1::Event {
    v1::Event {
        event_name: name.into(),
        timestamp: Some(now()),
        session_id: "session".into(),
        ..Default::default()
    }
}

pub(crate) fn now() -> prost_types::Timestamp {
    millrace::internals::proto::timestamp_from_millis(jiff::Timestamp::now().as_millisecond())
}

pub(crate) fn events_request(events: Vec<v1::Event>) -> v1::SendEventsRequest {
    v1::SendEventsRequest { events, ..Default::default() }
}

/// A codec that sends raw bytes as messages and discards the responses.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct RawCodec;

impl tonic::codec::Codec for RawCodec {
    type Encode = bytes::Bytes;
    type Decode = ();
    type Encoder = Self;
    type Decoder = Self;
    fn encoder(&mut self) -> Self {
        *self
    }
    fn decoder(&mut self) -> Self {
        *self
    }
}

impl tonic::codec::Encoder for RawCodec {
    type Item = bytes::Bytes;
    type Error = tonic::Status;
    fn encode(
        &mut self,
        item: Self::Item,
        out: &mut tonic::codec::EncodeBuf<'_>,
    ) -> Result<(), tonic::Status> {
        use bytes::BufMut;
        out.put(item);
        Ok(())
    }
}

impl tonic::codec::Decoder for RawCodec {
    type Item = ();
    type Error = tonic::Status;
    fn decode(&mut self, message: &mut tonic::codec::DecodeBuf<'_>) -> Result<Option<()>, tonic::Status> {
        use bytes::Buf;
        message.advance(message.remaining());
        Ok(Some(()))
    }
}

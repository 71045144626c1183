//! Runs the engine as a child process, and restarts it when it exits or hangs.

use std::fs::{File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use backon::{Backoff, BackoffBuilder, ExponentialBuilder};
use tokio::io::{AsyncBufRead, AsyncBufReadExt, BufReader};
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::accounts::{DEFAULT_USER, EXPLORE_USER, PANELS_USER, PROBE_USER, WRITER_USER};
use super::memory;
use super::sandbox::Confinement;
use crate::atomic_file;
use crate::clickhouse::{ClickHouse, Endpoint, ErrorKind};
use crate::config::EngineConfig;

/// Variable with the password of [`DEFAULT_USER`]. Not an argument, since every user of the machine can read arguments.
pub(crate) const PASSWORD_ENV: &str = "MILLRACE_ENGINE_PASSWORD";
/// Variable with the key of the server's own users.
pub(crate) const SERVER_KEY_ENV: &str = "MILLRACE_ENGINE_SERVER_KEY";
/// Prefix of the line on the child's standard output that contains its URL. The child accepts connections from then on.
pub(crate) const READY_PREFIX: &str = "listening on ";
/// Prefix of the line with the child's [`Confinement`]. It precedes the line with the URL.
pub(crate) const CONFINEMENT_PREFIX: &str = "sandbox: ";

/// Maximum time from the start of the child to its URL. ClickHouse loads all tables in this time.
const START_TIMEOUT: Duration = Duration::from_secs(120);
/// Maximum time for the engine of a server that was killed to exit. It ends running statements for five seconds, and then
/// closes its tables.
const PREDECESSOR_TIMEOUT: Duration = Duration::from_secs(30);
const PREDECESSOR_POLL_INTERVAL: Duration = Duration::from_millis(100);
/// ClickHouse locks this file of its data folder while it runs, and writes its process id into it.
const STATUS_FILE: &str = "status";
/// Maximum time for the child to exit after its standard input is closed. It is killed after that.
const STOP_TIMEOUT: Duration = Duration::from_secs(8);
/// Maximum time to read the rest of the standard error of a child that has exited. A process that the engine started may
/// keep the pipe open.
const STDERR_DRAIN_TIMEOUT: Duration = Duration::from_secs(1);
/// Delays before restarts: 100 ms, doubled for each further restart.
const RESTART_BACKOFF: ExponentialBuilder = ExponentialBuilder::new()
    .with_factor(2.0)
    .with_min_delay(Duration::from_millis(100))
    .with_max_delay(MAX_RESTART_DELAY)
    .without_max_times();
/// Maximum delay before a restart.
const MAX_RESTART_DELAY: Duration = Duration::from_secs(5);
/// The backoff starts over after a child that ran for longer than this.
const BACKOFF_RESET_AFTER: Duration = Duration::from_secs(30);
/// Time between two probes.
const PROBE_INTERVAL: Duration = Duration::from_secs(3);
/// Maximum time for the response to a probe, a query that reads no data. On a busy machine it can take seconds.
const PROBE_TIMEOUT: Duration = Duration::from_secs(10);
/// The child is considered hung after this many probes in a row without a response.
const MAX_MISSED_PROBES: u32 = 3;
/// Minimum time between two requested restarts. A restart does not fix every cause: a disk may still be full.
const MIN_RESTART_INTERVAL: Duration = Duration::from_secs(60);
/// Longer lines of the child's standard error are truncated in the log.
const MAX_LINE_BYTES: usize = 4_096;

/// Configuration of the supervisor.
#[derive(Clone, Debug)]
pub(crate) struct SupervisorConfig {
    /// Data folder of the engine.
    pub data_dir: PathBuf,
    /// Path of the engine library. `None` for [`crate::config::default_engine_library`].
    pub library: Option<PathBuf>,
    /// File for URL, user and password of the engine, for other ClickHouse clients. Only its owner can read it.
    pub endpoint_file: PathBuf,
    /// Memory limit and sandbox of the engine.
    pub engine: EngineConfig,
}

/// Why a start of the engine failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StartError {
    /// The child exited. Contains the last line of its standard error.
    #[error("the embedded ClickHouse did not start: {0}")]
    Exited(String),
    /// The child runs, but is not ready. It is killed.
    #[error("the embedded ClickHouse did not start: it was not ready after {} s", START_TIMEOUT.as_secs())]
    TimedOut,
    /// The child could not be started, or its standard output could not be read.
    #[error("the embedded ClickHouse did not start: {0}")]
    Spawn(io::Error),
    /// The engine of an earlier server runs, although that server is gone.
    #[error(
        "the embedded ClickHouse did not start: after {} s, {} is still held by the engine of an earlier server ({process}); \
         wait until it has exited, or kill it",
        PREDECESSOR_TIMEOUT.as_secs(),
        folder.display()
    )]
    FolderHeld { folder: PathBuf, process: String },
}

/// Why a running engine is restarted.
#[derive(Debug, thiserror::Error)]
enum EngineFailure {
    #[error("the embedded ClickHouse exited ({0})")]
    Exited(ExitStatus),
    #[error("the embedded ClickHouse cannot be waited for ({0})")]
    Wait(io::Error),
    #[error("the embedded ClickHouse did not answer {0} probes in a row and was killed")]
    Hung(u32),
    #[error("the embedded ClickHouse was killed, since it needs a restart ({0})")]
    RestartRequested(String),
}

/// Handle of the supervised engine. Clones share its state.
#[derive(Clone, Debug)]
pub(crate) struct EngineHandle {
    writer_endpoint: watch::Receiver<Option<Endpoint>>,
    panels_endpoint: watch::Receiver<Option<Endpoint>>,
    explore_endpoint: watch::Receiver<Option<Endpoint>>,
    restart_requests: mpsc::Sender<String>,
    status: Arc<EngineStatus>,
}

#[derive(Debug, Default)]
struct EngineStatus {
    restarts: AtomicU64,
    /// Of the last child that was started; 0 before the first.
    pid: AtomicU32,
    last_error: Mutex<Option<String>>,
    confinement: Mutex<Option<Confinement>>,
}

impl EngineStatus {
    fn set_error(&self, error: Option<String>) {
        *self.last_error.lock().unwrap_or_else(PoisonError::into_inner) = error;
    }
}

impl EngineHandle {
    /// Endpoint for the writer. `None` while the engine is down.
    pub(crate) fn endpoint(&self) -> watch::Receiver<Option<Endpoint>> {
        self.writer_endpoint.clone()
    }

    /// Endpoint for panels, with separate permits and read-only connections. `None` while the engine is down.
    pub(crate) fn panels_endpoint(&self) -> watch::Receiver<Option<Endpoint>> {
        self.panels_endpoint.clone()
    }

    /// The endpoint for queries of Explore.
    pub(crate) fn explore_endpoint(&self) -> watch::Receiver<Option<Endpoint>> {
        self.explore_endpoint.clone()
    }

    /// Sends the reason for a restart that the engine needs. The channel holds one request; a sender may drop its request
    /// when the channel is full. Requests within a minute of the last restart are ignored.
    pub(crate) fn restart_requests(&self) -> mpsc::Sender<String> {
        self.restart_requests.clone()
    }

    /// How far the kernel confines the engine's process. `None` until the first start reports it.
    pub(crate) fn confinement(&self) -> Option<Confinement> {
        self.status.confinement.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Number of restarts, failed attempts included.
    pub(crate) fn restarts(&self) -> u64 {
        self.status.restarts.load(Relaxed)
    }

    /// Resident memory of the engine's process in bytes. `None` while it is down.
    pub(crate) fn resident_bytes(&self) -> Option<u64> {
        let pid = self.status.pid.load(Relaxed);
        (pid != 0 && self.writer_endpoint.borrow().is_some())
            .then(|| memory::resident_bytes(&pid.to_string()))
            .flatten()
    }

    /// Why the engine is down. `None` while it runs.
    pub(crate) fn last_error(&self) -> Option<String> {
        self.status.last_error.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Starts the engine and returns once it is ready. The returned task restarts it until `stop`, and then stops it. A first
/// start that fails is an error; restarts are retried indefinitely. The engine of a server that was killed may still be
/// closing its tables: the first start waits for it.
pub(crate) async fn start(
    config: SupervisorConfig,
    stop: CancellationToken,
) -> Result<(EngineHandle, JoinHandle<()>), StartError> {
    wait_for_predecessor(&config.data_dir).await?;
    let (writer_sender, writer_endpoint) = watch::channel(None);
    let (panels_sender, panels_endpoint) = watch::channel(None);
    let (explore_sender, explore_endpoint) = watch::channel(None);
    let (restart_requests, restart_receiver) = mpsc::channel(1);
    let status = Arc::new(EngineStatus::default());
    let secret = || uuid::Uuid::new_v4().simple().to_string();
    let supervisor = Supervisor {
        config,
        password: secret(),
        server_key: secret(),
        writer_endpoint: writer_sender,
        panels_endpoint: panels_sender,
        explore_endpoint: explore_sender,
        status: Arc::clone(&status),
    };
    let first = supervisor.spawn().await?;
    let supervisor_task = tokio::spawn(supervisor.run(first, restart_receiver, stop));
    Ok((
        EngineHandle { writer_endpoint, panels_endpoint, explore_endpoint, restart_requests, status },
        supervisor_task,
    ))
}

/// Waits until no other engine holds the folder.
async fn wait_for_predecessor(data_dir: &Path) -> Result<(), StartError> {
    let status_file = data_dir.join(STATUS_FILE);
    if !is_locked(&status_file) {
        return Ok(());
    }
    let process = process_line(&status_file);
    let timeout_s = PREDECESSOR_TIMEOUT.as_secs();
    tracing::info!(process, timeout_s, "waiting for the engine of an earlier server to exit");
    let released = async {
        while is_locked(&status_file) {
            tokio::time::sleep(PREDECESSOR_POLL_INTERVAL).await;
        }
    };
    let timed_out = |_| StartError::FolderHeld { folder: data_dir.to_owned(), process };
    tokio::time::timeout(PREDECESSOR_TIMEOUT, released).await.map_err(timed_out)
}

/// Whether another process has locked the file. A file that cannot be opened counts as free: the engine reports the reason.
fn is_locked(file: &Path) -> bool {
    File::open(file).is_ok_and(|file| matches!(file.try_lock(), Err(TryLockError::WouldBlock)))
}

/// The first line of ClickHouse's status file, "PID: 123".
fn process_line(status_file: &Path) -> String {
    let text = std::fs::read_to_string(status_file).unwrap_or_default();
    text.lines().next().unwrap_or("unknown process").to_owned()
}

/// A child that is ready. Dropping it kills the child.
struct EngineProcess {
    child: Child,
    /// The child exits when this pipe closes, so it does not outlive this process. Not in `child`, since [`Child::wait`]
    /// would close it.
    stdin: ChildStdin,
    /// Forwards the standard error to the log. Ends when the child exits, and returns the last line.
    stderr_task: AbortOnDropHandle<String>,
    url: String,
}

struct Supervisor {
    config: SupervisorConfig,
    /// Password of [`DEFAULT_USER`].
    password: String,
    /// Key of the server's own users.
    server_key: String,
    writer_endpoint: watch::Sender<Option<Endpoint>>,
    panels_endpoint: watch::Sender<Option<Endpoint>>,
    explore_endpoint: watch::Sender<Option<Endpoint>>,
    status: Arc<EngineStatus>,
}

impl Supervisor {
    async fn run(
        self,
        first: EngineProcess,
        mut restart_receiver: mpsc::Receiver<String>,
        stop: CancellationToken,
    ) {
        let mut engine = first;
        let mut last_requested_restart = None;
        let mut backoff = RESTART_BACKOFF.build();
        loop {
            let started = Instant::now();
            let failure = tokio::select! {
                () = stop.cancelled() => return self.terminate(engine).await,
                status = engine.child.wait() => status.map_or_else(EngineFailure::Wait, EngineFailure::Exited),
                missed_probes = wait_until_hung(self.endpoint_for(PROBE_USER, &engine.url)) => {
                    EngineFailure::Hung(missed_probes)
                }
                reason = next_restart_request(&mut restart_receiver, &mut last_requested_restart) => {
                    EngineFailure::RestartRequested(reason)
                }
            };
            self.unpublish();
            if matches!(failure, EngineFailure::Hung(_) | EngineFailure::RestartRequested(_)) {
                kill(&mut engine.child).await;
            }
            join_stderr_task(engine.stderr_task).await;
            tracing::error!("{failure}; restarting");
            self.status.set_error(Some(format!("{failure}; it is being restarted")));
            if started.elapsed() > BACKOFF_RESET_AFTER {
                backoff = RESTART_BACKOFF.build();
            }
            engine = tokio::select! {
                // A child that is starting is killed, since its handle is dropped.
                () = stop.cancelled() => return,
                restarted = self.restart(&mut backoff) => restarted,
            };
        }
    }

    /// Starts a child. Retries with backoff until one is ready.
    async fn restart(&self, backoff: &mut impl Backoff) -> EngineProcess {
        loop {
            tokio::time::sleep(backoff.next().unwrap_or(MAX_RESTART_DELAY)).await;
            self.status.restarts.fetch_add(1, Relaxed);
            match self.spawn().await {
                Ok(engine) => return engine,
                Err(error) => {
                    tracing::error!(%error, "restart of the embedded ClickHouse failed; retrying");
                    self.status.set_error(Some(error.to_string()));
                }
            }
        }
    }

    /// Starts a child, waits until it is ready, and publishes its endpoints.
    async fn spawn(&self) -> Result<EngineProcess, StartError> {
        let mut child = self.command().and_then(|mut command| command.spawn()).map_err(StartError::Spawn)?;
        self.status.pid.store(child.id().unwrap_or(0), Relaxed);
        let stdin = child.stdin.take().expect("stdin is piped");
        let stdout = child.stdout.take().expect("stdout is piped");
        let stderr = child.stderr.take().expect("stderr is piped");
        let stderr_task = AbortOnDropHandle::new(tokio::spawn(forward_stderr(stderr)));
        match tokio::time::timeout(START_TIMEOUT, self.read_url(stdout)).await {
            Ok(Ok(Some(url))) => {
                self.publish(&url);
                Ok(EngineProcess { child, stdin, stderr_task, url })
            }
            Ok(Ok(None)) => {
                let last_line = join_stderr_task(stderr_task).await;
                Err(StartError::Exited(last_line.trim_start_matches("millrace: ").to_owned()))
            }
            Ok(Err(error)) => Err(StartError::Spawn(error)),
            Err(_) => Err(StartError::TimedOut),
        }
    }

    fn command(&self) -> io::Result<Command> {
        let mut command = Command::new(super::own_executable()?);
        command
            .args(["engine", "--exit-with-parent", "--listen", "127.0.0.1:0", "--data-dir"])
            .arg(&self.config.data_dir)
            .args(["--engine-memory-bytes", &self.config.engine.memory_bytes.to_string()])
            .args(["--engine-sandbox", &self.config.engine.sandbox.to_string()])
            .env(PASSWORD_ENV, &self.password)
            .env(SERVER_KEY_ENV, &self.server_key)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        if let Some(library) = &self.config.library {
            command.arg("--library").arg(library);
        }
        Ok(command)
    }

    /// Reads the child's standard output until its URL. `None` if the child exits before.
    async fn read_url(&self, stdout: ChildStdout) -> io::Result<Option<String>> {
        let mut lines = BufReader::new(stdout).lines();
        while let Some(line) = lines.next_line().await? {
            if let Some(confinement) = line.strip_prefix(CONFINEMENT_PREFIX) {
                self.set_confinement(Confinement::parse(confinement));
            }
            if let Some(url) = line.strip_prefix(READY_PREFIX) {
                return Ok(Some(url.to_owned()));
            }
        }
        Ok(None)
    }

    /// Endpoint with one of the server's own users.
    fn endpoint_for(&self, user: &str, url: &str) -> Endpoint {
        Endpoint {
            url: url.to_owned(),
            user: user.to_owned(),
            password: self.server_key.clone(),
            ..Endpoint::default()
        }
    }

    fn publish(&self, url: &str) {
        tracing::info!(url, "embedded ClickHouse is ready");
        let default_endpoint = Endpoint {
            url: url.to_owned(),
            user: DEFAULT_USER.to_owned(),
            password: self.password.clone(),
            ..Endpoint::default()
        };
        if let Err(error) = write_endpoint_file(&self.config.endpoint_file, &default_endpoint) {
            let file = self.config.endpoint_file.display();
            tracing::warn!(%error, %file, "endpoint file of the embedded ClickHouse not written");
        }
        self.status.set_error(None);
        self.panels_endpoint.send_replace(Some(self.endpoint_for(PANELS_USER, url)));
        self.explore_endpoint.send_replace(Some(self.endpoint_for(EXPLORE_USER, url)));
        self.writer_endpoint.send_replace(Some(self.endpoint_for(WRITER_USER, url)));
    }

    fn unpublish(&self) {
        self.writer_endpoint.send_replace(None);
        self.panels_endpoint.send_replace(None);
        self.explore_endpoint.send_replace(None);
    }

    /// Stores the confinement. Logs it only if it changed, not at every restart.
    fn set_confinement(&self, confinement: Confinement) {
        let mut current = self.status.confinement.lock().unwrap_or_else(PoisonError::into_inner);
        if current.as_ref() == Some(&confinement) {
            return;
        }
        match &confinement {
            Confinement::Full => tracing::info!("embedded ClickHouse is confined to its data folder"),
            Confinement::Partial(reason) => tracing::warn!(
                reason,
                "embedded ClickHouse is not fully confined: statements may reach files outside its data folder, or addresses"
            ),
        }
        *current = Some(confinement);
    }

    /// Closes the child's standard input and waits until it exits. Kills it after [`STOP_TIMEOUT`].
    async fn terminate(&self, engine: EngineProcess) {
        let EngineProcess { mut child, stdin, stderr_task, .. } = engine;
        self.unpublish();
        drop(stdin);
        match tokio::time::timeout(STOP_TIMEOUT, child.wait()).await {
            Ok(Ok(status)) if status.success() => tracing::debug!("embedded ClickHouse stopped"),
            Ok(Ok(status)) => tracing::warn!(%status, "embedded ClickHouse failed while stopping"),
            Ok(Err(error)) => tracing::warn!(%error, "embedded ClickHouse cannot be waited for"),
            Err(_) => {
                let timeout_s = STOP_TIMEOUT.as_secs();
                tracing::warn!(timeout_s, "embedded ClickHouse did not stop in time; killing it");
                kill(&mut child).await;
            }
        }
        join_stderr_task(stderr_task).await;
    }
}

async fn kill(child: &mut Child) {
    if let Err(error) = child.kill().await {
        tracing::error!(%error, "embedded ClickHouse cannot be killed");
    }
}

/// Waits until the standard error of a child that has exited is forwarded. Returns its last line, or nothing after
/// [`STDERR_DRAIN_TIMEOUT`], when the task is aborted.
async fn join_stderr_task(task: AbortOnDropHandle<String>) -> String {
    match tokio::time::timeout(STDERR_DRAIN_TIMEOUT, task).await {
        Ok(Ok(last_line)) => last_line,
        Ok(Err(error)) => {
            tracing::error!(%error, "reading the standard error of the embedded ClickHouse failed");
            String::new()
        }
        Err(_) => String::new(),
    }
}

/// Probes the engine until [`MAX_MISSED_PROBES`] probes in a row have no response. Returns their number.
async fn wait_until_hung(endpoint: Endpoint) -> u32 {
    let (_sender, endpoint) = watch::channel(Some(endpoint));
    let engine = ClickHouse::new(endpoint, "default");
    let mut missed_probes = 0;
    while missed_probes < MAX_MISSED_PROBES {
        tokio::time::sleep(PROBE_INTERVAL).await;
        let reason = match tokio::time::timeout(PROBE_TIMEOUT, engine.version()).await {
            Ok(Err(error)) if error.kind == ErrorKind::Unreachable => error.to_string(),
            // An engine that returns an error is not hung.
            Ok(_) => {
                missed_probes = 0;
                continue;
            }
            Err(_) => format!("no response in {} s", PROBE_TIMEOUT.as_secs()),
        };
        missed_probes += 1;
        tracing::warn!(missed_probes, reason, "embedded ClickHouse did not answer a probe");
    }
    missed_probes
}

/// Reason of the next request at least [`MIN_RESTART_INTERVAL`] after the previous one that was accepted.
async fn next_restart_request(
    restart_receiver: &mut mpsc::Receiver<String>,
    last_restart: &mut Option<Instant>,
) -> String {
    loop {
        let Some(reason) = restart_receiver.recv().await else {
            return std::future::pending().await;
        };
        if last_restart.is_none_or(|at| at.elapsed() >= MIN_RESTART_INTERVAL) {
            *last_restart = Some(Instant::now());
            return reason;
        }
    }
}

/// The file holds a password, which only its owner may read.
fn write_endpoint_file(path: &Path, endpoint: &Endpoint) -> io::Result<()> {
    atomic_file::replace(path, [serde_json::to_vec(endpoint)?])
}

/// Logs the lines of the child's standard error. Returns the last one.
async fn forward_stderr(stderr: ChildStderr) -> String {
    let mut stderr = BufReader::new(stderr);
    let mut last_line = String::new();
    while let Ok(Some(line)) = bounded_line(&mut stderr).await {
        tracing::warn!(target: "millrace::engine", "{line}");
        last_line = line;
    }
    last_line
}

/// Reads a line and keeps its first [`MAX_LINE_BYTES`]. `None` at the end.
async fn bounded_line(reader: &mut (impl AsyncBufRead + Unpin)) -> io::Result<Option<String>> {
    let mut kept = Vec::new();
    let mut length = 0;
    loop {
        let bytes = reader.fill_buf().await?;
        if bytes.is_empty() && length == 0 {
            return Ok(None);
        }
        let end = bytes.iter().position(|byte| *byte == b'\n');
        let part = &bytes[..end.unwrap_or(bytes.len())];
        kept.extend_from_slice(&part[..part.len().min(MAX_LINE_BYTES - kept.len())]);
        length += part.len();
        let read = part.len() + usize::from(end.is_some());
        let ended = end.is_some() || bytes.is_empty();
        reader.consume(read);
        if ended {
            let mut line = String::from_utf8_lossy(&kept).into_owned();
            if length > kept.len() {
                line += &format!("... ({length} bytes)");
            }
            return Ok(Some(line));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn long_lines_are_truncated_and_may_be_invalid_utf8() {
        let long = "x".repeat(MAX_LINE_BYTES + 1_000);
        let text = [b"first\n\xff\n\n", long.as_bytes(), b"\nlast"].concat();
        let mut reader = BufReader::with_capacity(100, text.as_slice());
        let mut lines = Vec::new();
        while let Some(line) = bounded_line(&mut reader).await.unwrap() {
            lines.push(line);
        }
        let cut = format!("{}... (5096 bytes)", "x".repeat(MAX_LINE_BYTES));
        assert_eq!(lines, ["first", "\u{fffd}", "", &cut, "last"]);
    }
}

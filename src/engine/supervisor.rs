//! Keeps the engine's process running.

use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::io::{AsyncBufRead, AsyncBufReadExt, BufReader};
use tokio::process::{Child, ChildStdin, Command};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::accounts::{DEFAULT_USER, PANELS_USER, PROBE_USER, WRITER_USER};
use super::sandbox::Confinement;
use crate::atomic_file;
use crate::clickhouse::{ClickHouse, Endpoint, ErrorKind};
use crate::config::EngineConfig;

/// The variable that tells the child its password: arguments can be seen by every user of the machine.
pub const PASSWORD_ENV: &str = "MILLRACE_ENGINE_PASSWORD";
/// The variable that tells the child the key of the server's own users.
pub const SERVER_KEY_ENV: &str = "MILLRACE_ENGINE_SERVER_KEY";
/// How the child's line begins that says where it listens.
pub const READY_PREFIX: &str = "listening on ";

/// How the child's line begins that says how far it is confined; it comes before the other.
pub const CONFINEMENT_PREFIX: &str = "sandbox: ";

/// How long a start may take. A large database is loaded in it.
const START_TIMEOUT: Duration = Duration::from_secs(120);
/// How long the child may take to end by itself.
const STOP_TIMEOUT: Duration = Duration::from_secs(8);
/// The wait before the first restart; it doubles up to the last.
const INITIAL_BACKOFF: Duration = Duration::from_millis(100);
const MAX_BACKOFF: Duration = Duration::from_secs(5);
/// How often the child is probed.
const PROBE_INTERVAL: Duration = Duration::from_secs(3);
/// How long it may take to answer a probe, a query that reads nothing. A busy machine may need seconds.
const PROBE_TIMEOUT: Duration = Duration::from_secs(10);
/// After so many probes in a row without an answer it counts as hung.
const MAX_MISSED_PROBES: u32 = 3;
/// A child that was killed because of a report is not killed for another one before this: the cause, such as a full disk,
/// may still be there.
const MIN_RESTART_INTERVAL: Duration = Duration::from_secs(60);
/// The longest line of the child's standard error that is logged whole.
const MAX_LINE_BYTES: usize = 4_096;
/// A child that ran so long was healthy, and the wait begins anew.
const BACKOFF_RESET_AFTER: Duration = Duration::from_secs(30);

/// What the supervisor needs.
#[derive(Clone, Debug)]
pub struct SupervisorConfig {
    /// The engine's data folder.
    pub data_dir: PathBuf,
    /// The library; none for the one that `make engine` brings.
    pub library: Option<PathBuf>,
    /// Where to write down how other ClickHouse clients reach the engine, for the owner's eyes only.
    pub endpoint_file: PathBuf,
    /// What the engine may use.
    pub engine: EngineConfig,
}

/// Why the engine could not be started at all.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// It ended at once, with this last word.
    #[error("the embedded ClickHouse did not start: {0}")]
    Exited(String),
    /// There is no process.
    #[error("the embedded ClickHouse did not start: {0}")]
    Spawn(#[from] std::io::Error),
}

/// The handle of the supervised engine.
#[derive(Clone, Debug)]
pub struct EngineHandle {
    endpoint: watch::Receiver<Option<Endpoint>>,
    panels: watch::Receiver<Option<Endpoint>>,
    restart_requests: mpsc::Sender<String>,
    status: Arc<EngineStatus>,
}

#[derive(Debug, Default)]
struct EngineStatus {
    restarts: AtomicU64,
    last_error: Mutex<Option<String>>,
    confinement: Mutex<Option<Confinement>>,
}

impl EngineStatus {
    fn set_error(&self, error: Option<String>) {
        *self.last_error.lock().unwrap_or_else(PoisonError::into_inner) = error;
    }
}

impl EngineHandle {
    /// Where the writer finds the engine; none while it is down.
    pub fn endpoint(&self) -> watch::Receiver<Option<Endpoint>> {
        self.endpoint.clone()
    }

    /// Where panels find it: they have connections of their own, and can only read.
    pub fn panels_endpoint(&self) -> watch::Receiver<Option<Endpoint>> {
        self.panels.clone()
    }

    /// Where to report, with the reason, that the engine will not work again until it is restarted. It is then killed and
    /// started again. Where a report waits already, further ones can be dropped.
    pub fn restart_requests(&self) -> mpsc::Sender<String> {
        self.restart_requests.clone()
    }

    /// How far the kernel confines the engine's process.
    pub fn confinement(&self) -> Option<Confinement> {
        self.status.confinement.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How often it was started again.
    pub fn restarts(&self) -> u64 {
        self.status.restarts.load(Relaxed)
    }

    /// Why it is down; none while it runs.
    pub fn last_error(&self) -> Option<String> {
        self.status.last_error.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Starts the engine and keeps it running until `stop`. The first start must succeed; later ones are tried for ever.
pub async fn start(
    config: SupervisorConfig,
    stop: CancellationToken,
) -> Result<(EngineHandle, JoinHandle<()>), StartError> {
    let (endpoint_sender, endpoint) = watch::channel(None);
    let (panels_sender, panels) = watch::channel(None);
    let (restart_requests, restart_receiver) = mpsc::channel(1);
    let status = Arc::new(EngineStatus::default());
    let secret = || uuid::Uuid::new_v4().simple().to_string();
    let supervisor = Supervisor {
        config,
        password: secret(),
        server_key: secret(),
        endpoint: endpoint_sender,
        panels: panels_sender,
        status: Arc::clone(&status),
    };
    let first = supervisor.spawn().await?;
    let supervisor_task = tokio::spawn(supervisor.run(first, restart_receiver, stop));
    Ok((EngineHandle { endpoint, panels, restart_requests, status }, supervisor_task))
}

struct EngineProcess {
    child: Child,
    /// The child ends when this does, also when this process is killed. Held apart, since `wait` would close it.
    stdin: ChildStdin,
    url: String,
}

struct Supervisor {
    config: SupervisorConfig,
    /// Of the user for people.
    password: String,
    /// Of the server's own users.
    server_key: String,
    endpoint: watch::Sender<Option<Endpoint>>,
    panels: watch::Sender<Option<Endpoint>>,
    status: Arc<EngineStatus>,
}

impl Supervisor {
    async fn run(
        self,
        first: EngineProcess,
        mut restart_receiver: mpsc::Receiver<String>,
        stop: CancellationToken,
    ) {
        let mut process = Some(first);
        let mut last_requested_restart = None;
        let mut backoff = INITIAL_BACKOFF;
        loop {
            if let Some(mut engine) = process.take() {
                let started = Instant::now();
                let why = tokio::select! {
                    () = stop.cancelled() => return self.terminate(engine).await,
                    ended = engine.child.wait() => {
                        let status = ended.map_or_else(|error| error.to_string(), |status| status.to_string());
                        format!("ended ({status})")
                    }
                    missed_probes = wait_until_hung(self.endpoint_for(PROBE_USER, &engine.url)) => {
                        self.kill(&mut engine).await;
                        format!("did not answer {missed_probes} probes in a row and was killed")
                    }
                    reason = next_restart_request(&mut restart_receiver, &mut last_requested_restart) => {
                        self.kill(&mut engine).await;
                        format!("was killed, since it needs a restart ({reason})")
                    }
                };
                self.unpublish();
                tracing::error!("the embedded ClickHouse {why}; it is started again");
                self.status.set_error(Some(format!("the embedded ClickHouse {why}; it is started again")));
                if started.elapsed() > BACKOFF_RESET_AFTER {
                    backoff = INITIAL_BACKOFF;
                }
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(backoff) => {}
            }
            backoff = (backoff * 2).min(MAX_BACKOFF);
            self.status.restarts.fetch_add(1, Relaxed);
            let spawned = tokio::select! {
                // The child ends by itself when its handle is dropped.
                () = stop.cancelled() => return,
                spawned = self.spawn() => spawned,
            };
            match spawned {
                Ok(engine) => process = Some(engine),
                Err(error) => {
                    tracing::error!(%error, "the embedded ClickHouse could not be started again");
                    self.status.set_error(Some(error.to_string()));
                }
            }
        }
    }

    /// Starts a child and waits until it says where it listens.
    async fn spawn(&self) -> Result<EngineProcess, StartError> {
        let mut command = Command::new(std::env::current_exe()?);
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
        let mut child = command.spawn()?;
        let stdin = child.stdin.take().expect("it was piped");
        let stderr = child.stderr.take().expect("it was piped");
        let stdout = child.stdout.take().expect("it was piped");
        let last_stderr_line = Arc::new(Mutex::new(String::new()));
        let stderr_task = tokio::spawn(forward_stderr(stderr, Arc::clone(&last_stderr_line)));
        let mut lines = BufReader::new(stdout).lines();
        let ready = async {
            while let Some(line) = lines.next_line().await? {
                if let Some(confinement) = line.strip_prefix(CONFINEMENT_PREFIX) {
                    self.set_confinement(Confinement::parse(confinement));
                }
                if let Some(url) = line.strip_prefix(READY_PREFIX) {
                    return Ok(Some(url.to_owned()));
                }
            }
            Ok::<_, std::io::Error>(None)
        };
        match tokio::time::timeout(START_TIMEOUT, ready).await {
            Ok(Ok(Some(url))) => {
                self.publish(&url);
                Ok(EngineProcess { child, stdin, url })
            }
            Ok(ended) => {
                ended?;
                // Its standard error ends with it.
                stderr_task.await.ok();
                let message = last_stderr_line.lock().unwrap_or_else(PoisonError::into_inner).clone();
                Err(StartError::Exited(message.trim_start_matches("millrace: ").to_owned()))
            }
            Err(_) => {
                Err(StartError::Exited(format!("it was not ready after {} s", START_TIMEOUT.as_secs())))
            }
        }
    }

    /// The endpoint of one of the server's own users.
    fn endpoint_for(&self, user: &str, url: &str) -> Endpoint {
        Endpoint { url: url.to_owned(), user: user.to_owned(), password: self.server_key.clone() }
    }

    fn publish(&self, url: &str) {
        tracing::info!(url, "the embedded ClickHouse is ready");
        let default_endpoint =
            Endpoint { url: url.to_owned(), user: DEFAULT_USER.to_owned(), password: self.password.clone() };
        if let Err(error) = write_endpoint_file(&self.config.endpoint_file, &default_endpoint) {
            let file = self.config.endpoint_file.display();
            tracing::warn!(%error, %file, "how to reach the embedded ClickHouse could not be written down");
        }
        self.status.set_error(None);
        self.panels.send_replace(Some(self.endpoint_for(PANELS_USER, url)));
        self.endpoint.send_replace(Some(self.endpoint_for(WRITER_USER, url)));
    }

    fn unpublish(&self) {
        self.endpoint.send_replace(None);
        self.panels.send_replace(None);
    }

    /// The log says once how far the engine is confined.
    fn set_confinement(&self, confinement: Confinement) {
        let mut known = self.status.confinement.lock().unwrap_or_else(PoisonError::into_inner);
        if known.as_ref() == Some(&confinement) {
            return;
        }
        match &confinement {
            Confinement::Full => {
                tracing::info!("the kernel keeps the embedded ClickHouse in its data folder")
            }
            Confinement::Partial(reason) => tracing::warn!(
                reason,
                "the kernel does not keep the embedded ClickHouse in its data folder: statements may reach other files \
                 or addresses"
            ),
        }
        *known = Some(confinement);
    }

    async fn kill(&self, engine: &mut EngineProcess) {
        self.unpublish();
        if let Err(error) = engine.child.kill().await {
            tracing::error!(%error, "the embedded ClickHouse cannot be killed");
        }
    }

    async fn terminate(&self, engine: EngineProcess) {
        let EngineProcess { mut child, stdin, .. } = engine;
        self.unpublish();
        drop(stdin);
        match tokio::time::timeout(STOP_TIMEOUT, child.wait()).await {
            Ok(Ok(status)) if status.success() => tracing::debug!("the embedded ClickHouse ended"),
            Ok(ended) => tracing::warn!(?ended, "the embedded ClickHouse ended badly"),
            Err(_) => {
                tracing::warn!("the embedded ClickHouse did not end in time and is killed");
                if let Err(error) = child.kill().await {
                    tracing::error!(%error, "the embedded ClickHouse cannot be killed");
                }
            }
        }
    }
}

/// Returns the number of probes in a row that had no answer, once there are too many.
async fn wait_until_hung(endpoint: Endpoint) -> u32 {
    let (_sender, endpoint) = watch::channel(Some(endpoint));
    let engine = ClickHouse::new(endpoint, "default");
    let mut missed_probes = 0;
    while missed_probes < MAX_MISSED_PROBES {
        tokio::time::sleep(PROBE_INTERVAL).await;
        let why = match tokio::time::timeout(PROBE_TIMEOUT, engine.version()).await {
            Ok(Err(error)) if error.kind == ErrorKind::Unreachable => error.to_string(),
            // An error is an answer as well.
            Ok(_) => {
                missed_probes = 0;
                continue;
            }
            Err(_) => format!("no answer in {} s", PROBE_TIMEOUT.as_secs()),
        };
        missed_probes += 1;
        tracing::warn!(missed_probes, why, "the embedded ClickHouse did not answer a probe");
    }
    missed_probes
}

/// Returns the reason of the next report for which the child is to be killed.
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

/// Passes the child's words on to the log, and keeps the last ones.
async fn forward_stderr(stderr: tokio::process::ChildStderr, last_stderr_line: Arc<Mutex<String>>) {
    let mut stderr = BufReader::new(stderr);
    while let Ok(Some(line)) = bounded_line(&mut stderr).await {
        tracing::warn!(target: "millrace::engine", "{line}");
        *last_stderr_line.lock().unwrap_or_else(PoisonError::into_inner) = line;
    }
}

/// The next line, of which no more than [`MAX_LINE_BYTES`] are kept; none at the end.
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

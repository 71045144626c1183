//! Keeps the engine's process running.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
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

use super::account::{PANELS, PROBE, USER, WRITER};
use super::sandbox::Confinement;
use crate::clickhouse::{ClickHouse, Endpoint, ErrorKind};
use crate::config::EngineConfig;

/// The variable that tells the child its password: arguments can be seen by every user of the machine.
pub const PASSWORD_VARIABLE: &str = "MILLRACE_ENGINE_PASSWORD";
/// The variable that tells the child the key of the server's own users.
pub const SERVER_KEY_VARIABLE: &str = "MILLRACE_ENGINE_SERVER_KEY";
/// How the child's line begins that says where it listens.
pub const READY: &str = "listening on ";

/// How the child's line begins that says how far it is confined; it comes before the other.
pub const CONFINEMENT: &str = "sandbox: ";

/// How long a start may take. A large database is loaded in it.
const START_TIMEOUT: Duration = Duration::from_secs(120);
/// How long the child may take to end by itself.
const STOP_TIMEOUT: Duration = Duration::from_secs(8);
/// The wait before the first restart; it doubles up to the last.
const FIRST_WAIT: Duration = Duration::from_millis(100);
const LAST_WAIT: Duration = Duration::from_secs(5);
/// How often the child is probed.
const PROBE_EVERY: Duration = Duration::from_secs(3);
/// How long it may take to answer a probe, a query that reads nothing. A busy machine may need seconds.
const PROBE_TIMEOUT: Duration = Duration::from_secs(10);
/// After so many probes in a row without an answer it counts as hung.
const PROBE_MISSES: u32 = 3;
/// A child that was killed because of a report is not killed for another one before this: the cause, such as a full disk,
/// may still be there.
const REPORTS_APART: Duration = Duration::from_secs(60);
/// The longest line of the child's standard error that is logged whole.
const MAX_LINE_BYTES: usize = 4_096;
/// A child that ran so long was healthy, and the wait begins anew.
const HEALTHY_AFTER: Duration = Duration::from_secs(30);

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
    Ended(String),
    /// There is no process.
    #[error("the embedded ClickHouse did not start: {0}")]
    Spawn(#[from] std::io::Error),
}

/// The handle of the supervised engine.
#[derive(Clone, Debug)]
pub struct Engine {
    endpoint: watch::Receiver<Option<Endpoint>>,
    panels: watch::Receiver<Option<Endpoint>>,
    reports: mpsc::Sender<String>,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    restarts: AtomicU64,
    last_error: Mutex<Option<String>>,
    confinement: Mutex<Option<Confinement>>,
}

impl Shared {
    fn set_error(&self, error: Option<String>) {
        *self.last_error.lock().unwrap_or_else(PoisonError::into_inner) = error;
    }
}

impl Engine {
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
    pub fn broken_reports(&self) -> mpsc::Sender<String> {
        self.reports.clone()
    }

    /// How far the kernel confines the engine's process.
    pub fn confinement(&self) -> Option<Confinement> {
        self.shared.confinement.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How often it was started again.
    pub fn restarts(&self) -> u64 {
        self.shared.restarts.load(Relaxed)
    }

    /// Why it is down; none while it runs.
    pub fn last_error(&self) -> Option<String> {
        self.shared.last_error.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Starts the engine and keeps it running until `stop`. The first start must succeed; later ones are tried for ever.
pub async fn start(
    config: SupervisorConfig,
    stop: CancellationToken,
) -> Result<(Engine, JoinHandle<()>), StartError> {
    let (endpoint_sender, endpoint) = watch::channel(None);
    let (panels_sender, panels) = watch::channel(None);
    let (reports, broken) = mpsc::channel(1);
    let shared = Arc::new(Shared::default());
    let secret = || uuid::Uuid::new_v4().simple().to_string();
    let supervisor = Supervisor {
        config,
        password: secret(),
        server_key: secret(),
        endpoint: endpoint_sender,
        panels: panels_sender,
        shared: Arc::clone(&shared),
    };
    let first = supervisor.spawn().await?;
    let supervising = tokio::spawn(supervisor.run(first, broken, stop));
    Ok((Engine { endpoint, panels, reports, shared }, supervising))
}

struct Running {
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
    shared: Arc<Shared>,
}

impl Supervisor {
    async fn run(self, first: Running, mut broken: mpsc::Receiver<String>, stop: CancellationToken) {
        let mut running = Some(first);
        let mut killed_for_report = None;
        let mut wait = FIRST_WAIT;
        loop {
            if let Some(mut engine) = running.take() {
                let started = Instant::now();
                let why = tokio::select! {
                    () = stop.cancelled() => return self.end(engine).await,
                    ended = engine.child.wait() => {
                        let status = ended.map_or_else(|error| error.to_string(), |status| status.to_string());
                        format!("ended ({status})")
                    }
                    misses = hung(self.endpoint_of(PROBE, &engine.url)) => {
                        self.kill(&mut engine).await;
                        format!("did not answer {misses} probes in a row and was killed")
                    }
                    reason = report(&mut broken, &mut killed_for_report) => {
                        self.kill(&mut engine).await;
                        format!("was killed, since it needs a restart ({reason})")
                    }
                };
                self.unpublish();
                tracing::error!("the embedded ClickHouse {why}; it is started again");
                self.shared.set_error(Some(format!("the embedded ClickHouse {why}; it is started again")));
                if started.elapsed() > HEALTHY_AFTER {
                    wait = FIRST_WAIT;
                }
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(wait) => {}
            }
            wait = (wait * 2).min(LAST_WAIT);
            self.shared.restarts.fetch_add(1, Relaxed);
            let spawned = tokio::select! {
                // The child ends by itself when its handle is dropped.
                () = stop.cancelled() => return,
                spawned = self.spawn() => spawned,
            };
            match spawned {
                Ok(engine) => running = Some(engine),
                Err(error) => {
                    tracing::error!(%error, "the embedded ClickHouse could not be started again");
                    self.shared.set_error(Some(error.to_string()));
                }
            }
        }
    }

    /// Starts a child and waits until it says where it listens.
    async fn spawn(&self) -> Result<Running, StartError> {
        let mut command = Command::new(std::env::current_exe()?);
        command
            .args(["engine", "--exit-with-parent", "--listen", "127.0.0.1:0", "--data-dir"])
            .arg(&self.config.data_dir)
            .args(["--engine-memory-bytes", &self.config.engine.memory_bytes.to_string()])
            .args(["--engine-sandbox", &self.config.engine.sandbox.to_string()])
            .env(PASSWORD_VARIABLE, &self.password)
            .env(SERVER_KEY_VARIABLE, &self.server_key)
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
        let last_words = Arc::new(Mutex::new(String::new()));
        let logging = tokio::spawn(log(stderr, Arc::clone(&last_words)));
        let mut lines = BufReader::new(stdout).lines();
        let ready = async {
            while let Some(line) = lines.next_line().await? {
                if let Some(confinement) = line.strip_prefix(CONFINEMENT) {
                    self.set_confinement(Confinement::parse(confinement));
                }
                if let Some(url) = line.strip_prefix(READY) {
                    return Ok(Some(url.to_owned()));
                }
            }
            Ok::<_, std::io::Error>(None)
        };
        match tokio::time::timeout(START_TIMEOUT, ready).await {
            Ok(Ok(Some(url))) => {
                self.publish(&url);
                Ok(Running { child, stdin, url })
            }
            Ok(ended) => {
                ended?;
                // Its standard error ends with it.
                logging.await.ok();
                let words = last_words.lock().unwrap_or_else(PoisonError::into_inner).clone();
                Err(StartError::Ended(words.trim_start_matches("millrace: ").to_owned()))
            }
            Err(_) => Err(StartError::Ended(format!("it was not ready after {} s", START_TIMEOUT.as_secs()))),
        }
    }

    /// The endpoint of one of the server's own users.
    fn endpoint_of(&self, user: &str, url: &str) -> Endpoint {
        Endpoint { url: url.to_owned(), user: user.to_owned(), password: self.server_key.clone() }
    }

    fn publish(&self, url: &str) {
        tracing::info!(url, "the embedded ClickHouse is ready");
        let for_people =
            Endpoint { url: url.to_owned(), user: USER.to_owned(), password: self.password.clone() };
        if let Err(error) = write_endpoint(&self.config.endpoint_file, &for_people) {
            let file = self.config.endpoint_file.display();
            tracing::warn!(%error, %file, "how to reach the embedded ClickHouse could not be written down");
        }
        self.shared.set_error(None);
        self.panels.send_replace(Some(self.endpoint_of(PANELS, url)));
        self.endpoint.send_replace(Some(self.endpoint_of(WRITER, url)));
    }

    fn unpublish(&self) {
        self.endpoint.send_replace(None);
        self.panels.send_replace(None);
    }

    /// The log says once how far the engine is confined.
    fn set_confinement(&self, confinement: Confinement) {
        let mut known = self.shared.confinement.lock().unwrap_or_else(PoisonError::into_inner);
        if known.as_ref() == Some(&confinement) {
            return;
        }
        match &confinement {
            Confinement::Full => {
                tracing::info!("the kernel keeps the embedded ClickHouse in its data folder")
            }
            Confinement::Lacking(reason) => tracing::warn!(
                reason,
                "the kernel does not keep the embedded ClickHouse in its data folder: statements may reach other files \
                 or addresses"
            ),
        }
        *known = Some(confinement);
    }

    async fn kill(&self, engine: &mut Running) {
        self.unpublish();
        if let Err(error) = engine.child.kill().await {
            tracing::error!(%error, "the embedded ClickHouse cannot be killed");
        }
    }

    async fn end(&self, engine: Running) {
        let Running { mut child, stdin, .. } = engine;
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
async fn hung(endpoint: Endpoint) -> u32 {
    let (_sender, endpoint) = watch::channel(Some(endpoint));
    let engine = ClickHouse::new(endpoint, "default");
    let mut misses = 0;
    while misses < PROBE_MISSES {
        tokio::time::sleep(PROBE_EVERY).await;
        let why = match tokio::time::timeout(PROBE_TIMEOUT, engine.version()).await {
            Ok(Err(error)) if error.kind == ErrorKind::Unreachable => error.to_string(),
            // An error is an answer as well.
            Ok(_) => {
                misses = 0;
                continue;
            }
            Err(_) => format!("no answer in {} s", PROBE_TIMEOUT.as_secs()),
        };
        misses += 1;
        tracing::warn!(misses, why, "the embedded ClickHouse did not answer a probe");
    }
    misses
}

/// Returns the reason of the next report for which the child is to be killed.
async fn report(broken: &mut mpsc::Receiver<String>, killed_at: &mut Option<Instant>) -> String {
    loop {
        let Some(reason) = broken.recv().await else {
            return std::future::pending().await;
        };
        if killed_at.is_none_or(|at| at.elapsed() >= REPORTS_APART) {
            *killed_at = Some(Instant::now());
            return reason;
        }
    }
}

/// The file is replaced as a whole, and never readable by others.
fn write_endpoint(path: &Path, endpoint: &Endpoint) -> io::Result<()> {
    let text = serde_json::to_string(endpoint)?;
    let draft = path.with_extension("draft");
    // A draft that was left behind may have other permissions.
    match fs::remove_file(&draft) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft)?;
    file.write_all(text.as_bytes())?;
    fs::rename(&draft, path)
}

/// Passes the child's words on to the log, and keeps the last ones.
async fn log(stderr: tokio::process::ChildStderr, last_words: Arc<Mutex<String>>) {
    let mut stderr = BufReader::new(stderr);
    while let Ok(Some(line)) = bounded_line(&mut stderr).await {
        tracing::warn!(target: "millrace::engine", "{line}");
        *last_words.lock().unwrap_or_else(PoisonError::into_inner) = line;
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
    async fn lines_are_bounded_and_need_not_be_text() {
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

//! Keeps the engine's process running.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, ChildStdin, Command};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::USER;
use crate::clickhouse::Endpoint;

/// The variable that tells the child its password: arguments can be seen by every user of the machine.
pub const PASSWORD_VARIABLE: &str = "MILLRACE_ENGINE_PASSWORD";
/// How the child's line begins that says where it listens.
pub const READY: &str = "listening on ";

/// How long a start may take. A large database is loaded in it.
const START_TIMEOUT: Duration = Duration::from_secs(120);
/// How long the child may take to end by itself.
const STOP_TIMEOUT: Duration = Duration::from_secs(8);
/// The wait before the first restart; it doubles up to the last.
const FIRST_WAIT: Duration = Duration::from_millis(100);
const LAST_WAIT: Duration = Duration::from_secs(5);
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
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    restarts: AtomicU64,
    last_error: Mutex<Option<String>>,
}

impl Shared {
    fn set_error(&self, error: Option<String>) {
        *self.last_error.lock().unwrap_or_else(PoisonError::into_inner) = error;
    }
}

impl Engine {
    /// Where the engine is; none while it is down.
    pub fn endpoint(&self) -> watch::Receiver<Option<Endpoint>> {
        self.endpoint.clone()
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
    let shared = Arc::new(Shared::default());
    let password = uuid::Uuid::new_v4().simple().to_string();
    let supervisor = Supervisor { config, password, endpoint: endpoint_sender, shared: Arc::clone(&shared) };
    let first = supervisor.spawn().await?;
    let supervising = tokio::spawn(supervisor.run(first, stop));
    Ok((Engine { endpoint, shared }, supervising))
}

struct Running {
    child: Child,
    /// The child ends when this does, also when this process is killed. Held apart, since `wait` would close it.
    stdin: ChildStdin,
}

struct Supervisor {
    config: SupervisorConfig,
    password: String,
    endpoint: watch::Sender<Option<Endpoint>>,
    shared: Arc<Shared>,
}

impl Supervisor {
    async fn run(self, first: Running, stop: CancellationToken) {
        let mut running = Some(first);
        let mut wait = FIRST_WAIT;
        loop {
            if let Some(mut engine) = running.take() {
                let started = Instant::now();
                tokio::select! {
                    () = stop.cancelled() => return self.end(engine).await,
                    ended = engine.child.wait() => {
                        self.endpoint.send_replace(None);
                        let why = ended.map_or_else(|error| error.to_string(), |status| status.to_string());
                        tracing::error!(why, "the embedded ClickHouse ended and is started again");
                        self.shared.set_error(Some(format!("the embedded ClickHouse ended ({why}) and is started again")));
                    }
                }
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
            .env(PASSWORD_VARIABLE, &self.password)
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
                if let Some(url) = line.strip_prefix(READY) {
                    return Ok(Some(url.to_owned()));
                }
            }
            Ok::<_, std::io::Error>(None)
        };
        match tokio::time::timeout(START_TIMEOUT, ready).await {
            Ok(Ok(Some(url))) => {
                self.publish(url);
                Ok(Running { child, stdin })
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

    fn publish(&self, url: String) {
        tracing::info!(url, "the embedded ClickHouse is ready");
        let endpoint = Endpoint { url, user: USER.to_owned(), password: self.password.clone() };
        if let Err(error) = write_endpoint(&self.config.endpoint_file, &endpoint) {
            let file = self.config.endpoint_file.display();
            tracing::warn!(%error, %file, "how to reach the embedded ClickHouse could not be written down");
        }
        self.shared.set_error(None);
        self.endpoint.send_replace(Some(endpoint));
    }

    async fn end(&self, engine: Running) {
        let Running { mut child, stdin } = engine;
        self.endpoint.send_replace(None);
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
    let mut lines = BufReader::new(stderr).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        tracing::warn!(target: "millrace::engine", "{line}");
        *last_words.lock().unwrap_or_else(PoisonError::into_inner) = line;
    }
}

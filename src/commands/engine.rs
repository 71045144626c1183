//! `millrace engine`: the embedded ClickHouse, in a confined process.

use std::ffi::OsString;
use std::future::IntoFuture;
use std::io::Read;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use axum::serve::ListenerExt as _;
use clap::Args;
use tokio_util::sync::CancellationToken;

use crate::config::{EngineConfig, Switch, default_engine_library};
use crate::engine::sandbox::{self, Confinement};
use crate::engine::{
    self, CONFINEMENT_PREFIX, EngineServer, EngineServerConfig, Library, PASSWORD_ENV, READY_PREFIX,
    SERVER_KEY_ENV, memory,
};
use crate::shutdown::ShutdownSignals;

/// How long running statements may take at a shutdown.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(5);

/// Sent data that the client does not acknowledge for so long closes its connection. In milliseconds.
#[cfg(target_os = "linux")]
const TCP_USER_TIMEOUT_MS: u32 = 60_000;

/// Arguments of `millrace engine`.
#[derive(Args, Clone, Debug)]
pub(crate) struct EngineArgs {
    /// Folder of the database
    #[arg(long, value_name = "FOLDER", default_value = "./data/clickhouse")]
    data_dir: PathBuf,
    /// Address to listen on
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:8123")]
    listen: SocketAddr,
    /// Path of the engine library; by default the copy that `make engine` downloads
    #[arg(long, env = "MILLRACE_ENGINE_LIB", value_name = "FILE")]
    library: Option<PathBuf>,
    /// Password of the user "default"; if empty, one is generated and printed
    #[arg(long, env = PASSWORD_ENV, hide_env_values = true, value_name = "PASSWORD", default_value = "")]
    password: String,
    /// Shared secret of the server's own users, set by `serve`
    #[arg(long, env = SERVER_KEY_ENV, hide = true, hide_env_values = true)]
    server_key: Option<String>,
    #[command(flatten)]
    engine: EngineConfig,
    /// Exit when standard input is closed, as it is when the parent process exits
    #[arg(long)]
    exit_with_parent: bool,
    /// Set by the engine when it re-executes itself with a clean environment and working directory
    #[arg(long, hide = true)]
    isolated: bool,
}

/// What [`run`] needs, opened before the process confined itself.
pub(crate) struct PreparedEngine {
    data_dir: PathBuf,
    listener: std::net::TcpListener,
    library: Arc<Library>,
    confinement: Confinement,
    server: EngineServerConfig,
    /// The password was not given, so it has to be printed.
    generated_password: bool,
    exit_with_parent: bool,
}

/// Opens the port, loads the library, and then confines the process to the data folder. Call it while the process has one
/// thread; see [`sandbox`]. Re-executes the process first, unless `--isolated` is set.
pub(crate) fn prepare(args: EngineArgs) -> anyhow::Result<PreparedEngine> {
    let data_dir = sandbox::create_data_dir(&args.data_dir)
        .with_context(|| format!("--data-dir: {} could not be created", args.data_dir.display()))?;
    let library =
        args.library.filter(|path| !path.as_os_str().is_empty()).unwrap_or_else(default_engine_library);
    let library = std::path::absolute(library)?;
    if !args.isolated {
        let mut engine_args: Vec<OsString> = vec!["engine".into(), "--isolated".into(), "--data-dir".into()];
        engine_args.extend([data_dir.clone().into(), "--library".into(), library.into()]);
        engine_args.extend(["--listen".into(), args.listen.to_string().into()]);
        engine_args.extend(args.exit_with_parent.then(|| "--exit-with-parent".into()));
        engine_args.extend(["--engine-memory-bytes".into(), args.engine.memory_bytes.to_string().into()]);
        engine_args.extend(["--engine-sandbox".into(), args.engine.sandbox.to_string().into()]);
        let error = sandbox::reexec_isolated(&data_dir, &engine_args, (PASSWORD_ENV, &args.password));
        return Err(error).context("the engine could not re-execute itself");
    }
    let listener = std::net::TcpListener::bind(args.listen)
        .with_context(|| format!("--listen: {} could not be bound", args.listen))?;
    listener.set_nonblocking(true)?;
    // Loaded before the confinement, so that the folders of system libraries need no rule.
    let loaded = Library::load(&library)?;
    // The cgroup's limit is read before the confinement too.
    let memory_bytes = match args.engine.memory_bytes {
        0 => memory::default_limit(),
        bytes => bytes,
    };
    let confinement = match args.engine.sandbox {
        Switch::On => sandbox::confine(&data_dir)
            .map_err(|error| anyhow!("the engine's process could not be confined: {error}"))?,
        Switch::Off => Confinement::Partial("off (MILLRACE_ENGINE_SANDBOX)".to_owned()),
    };
    let generated_password = args.password.is_empty();
    let password = if generated_password { uuid::Uuid::new_v4().simple().to_string() } else { args.password };
    Ok(PreparedEngine {
        data_dir,
        listener,
        library: loaded,
        confinement,
        server: EngineServerConfig { password, server_key: args.server_key, memory_bytes },
        generated_password,
        exit_with_parent: args.exit_with_parent,
    })
}

/// Runs the engine until a signal, or until the parent exits if `--exit-with-parent` is set.
pub(crate) async fn run(prepared: PreparedEngine) -> anyhow::Result<()> {
    let PreparedEngine {
        data_dir,
        listener,
        library,
        confinement,
        server,
        generated_password,
        exit_with_parent,
    } = prepared;
    let mut signals = ShutdownSignals::install()?;
    let listener = tokio::net::TcpListener::from_std(listener)?;
    let address = listener.local_addr()?;
    println!("{CONFINEMENT_PREFIX}{confinement}");
    if generated_password {
        println!("password of the user {}: {}", engine::DEFAULT_USER, server.password);
    }
    let starting = Arc::clone(&library);
    let server = tokio::task::spawn_blocking(move || {
        // The engine's threads run even if the start fails.
        EngineServer::start(Arc::clone(&starting), data_dir, server).inspect_err(|_| starting.shutdown())
    })
    .await??;
    let server = Arc::new(server);
    let stop = CancellationToken::new();
    // With Nagle's algorithm, the second packet of a response would wait for the client's delayed ACK of the first: 40 ms.
    let listener = listener.tap_io(|stream| {
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "TCP_NODELAY could not be set");
        }
        // Frees the memory of responses that a vanished client never reads.
        #[cfg(target_os = "linux")]
        if let Err(error) = rustix::net::sockopt::set_tcp_user_timeout(&*stream, TCP_USER_TIMEOUT_MS) {
            tracing::debug!(%error, "TCP_USER_TIMEOUT could not be set");
        }
    });
    let server_task = axum::serve(listener, engine::router(Arc::clone(&server)))
        .with_graceful_shutdown(stop.clone().cancelled_owned());
    let server_task = tokio::spawn(server_task.into_future());
    println!("{READY_PREFIX}http://{address}");

    let parent_gone =
        async { if exit_with_parent { stdin_closed().await } else { std::future::pending().await } };
    tokio::select! {
        () = signals.recv() => {}
        () = parent_gone => {}
    }
    stop.cancel();
    // Waits for running statements only: idle client connections would keep the HTTP server alive.
    let closed = tokio::time::timeout(DRAIN_TIMEOUT, server.close()).await;
    server_task.abort();
    server_task.await.ok();
    if closed.is_err() {
        bail!("statements were still running after {} s; exiting without them", DRAIN_TIMEOUT.as_secs());
    }
    tokio::task::spawn_blocking(move || library.shutdown()).await?;
    Ok(())
}

/// Returns when standard input is closed. Reads it on a separate thread, which cannot be cancelled and ends with the
/// process.
async fn stdin_closed() {
    let (closed_tx, closed_rx) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || {
        let mut sink = [0; 64];
        while matches!(std::io::stdin().read(&mut sink), Ok(read) if read > 0) {}
        closed_tx.send(()).ok();
    });
    closed_rx.await.ok();
}

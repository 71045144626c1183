//! `millrace engine`: the embedded ClickHouse in a process of its own.

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

/// How long statements that run may take to end when the engine is told to.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a connection may have unread data, in milliseconds.
#[cfg(target_os = "linux")]
const TCP_USER_TIMEOUT_MS: u32 = 60_000;

/// How the engine is run.
#[derive(Args, Clone, Debug)]
pub struct EngineArgs {
    /// The folder of the database
    #[arg(long, value_name = "FOLDER", default_value = "./data/clickhouse")]
    data_dir: PathBuf,
    /// The address to listen on
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:8123")]
    listen: SocketAddr,
    /// The engine library; the copy that `make engine` brings where it is not given
    #[arg(long, env = "MILLRACE_ENGINE_LIB", value_name = "FILE")]
    library: Option<PathBuf>,
    /// The password of the user "default"; where it is empty, one is made and printed
    #[arg(long, env = PASSWORD_ENV, hide_env_values = true, value_name = "PASSWORD", default_value = "")]
    password: String,
    /// The key of the server's own users, set by `serve`
    #[arg(long, env = SERVER_KEY_ENV, hide = true, hide_env_values = true)]
    server_key: Option<String>,
    #[command(flatten)]
    engine: EngineConfig,
    /// End when the standard input ends, as it does when the process that holds it is gone
    #[arg(long)]
    exit_with_parent: bool,
    /// Set by the engine itself: this process has its own environment and working directory
    #[arg(long, hide = true)]
    isolated: bool,
}

/// A confined process that is ready to start the engine.
pub struct PreparedEngine {
    data_dir: PathBuf,
    listener: std::net::TcpListener,
    library: Arc<Library>,
    confinement: Confinement,
    server: EngineServerConfig,
    /// Whether the password was made here, and must be told.
    generated_password: bool,
    exit_with_parent: bool,
}

/// Takes what the engine needs of the machine, and then gives up the right to anything else. To be called while this
/// process has one thread; see [`sandbox`].
pub fn prepare(args: EngineArgs) -> anyhow::Result<PreparedEngine> {
    let data_dir = sandbox::create_data_dir(&args.data_dir)
        .with_context(|| format!("--data-dir: {} cannot be made", args.data_dir.display()))?;
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
        return Err(error).context("the engine's own process cannot be started");
    }
    let listener = std::net::TcpListener::bind(args.listen)
        .with_context(|| format!("--listen: {} cannot be listened on", args.listen))?;
    listener.set_nonblocking(true)?;
    // Loaded before, so that the folders of the system's libraries need no rule.
    let loaded = Library::load(&library)?;
    // The memory limits are read before as well.
    let memory_bytes = match args.engine.memory_bytes {
        0 => memory::default_limit(),
        bytes => bytes,
    };
    let confinement = match args.engine.sandbox {
        Switch::On => sandbox::confine(&data_dir)
            .map_err(|error| anyhow!("the engine's process cannot be confined: {error}"))?,
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

/// Runs the engine until it is told to end.
pub async fn run(prepared: PreparedEngine) -> anyhow::Result<()> {
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
        // A failed start needs the end of the engine as well.
        EngineServer::start(Arc::clone(&starting), data_dir, server).inspect_err(|_| starting.shutdown())
    })
    .await??;
    let server = Arc::new(server);
    let stop = CancellationToken::new();
    // Without it, an answer's second packet would wait for the client's delayed acknowledgement of the first: 40 ms.
    let listener = listener.tap_io(|stream| {
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "TCP_NODELAY could not be set");
        }
        // A client that reads nothing for so long is gone, with what waits for it in memory.
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
    // Idle connections of clients would keep the server; statements are what is waited for.
    let closed = tokio::time::timeout(DRAIN_TIMEOUT, server.close()).await;
    server_task.abort();
    server_task.await.ok();
    if closed.is_err() {
        bail!("statements still ran after {} s; the engine ends without them", DRAIN_TIMEOUT.as_secs());
    }
    tokio::task::spawn_blocking(move || library.shutdown()).await?;
    Ok(())
}

/// Blocks a thread of its own, which ends with the process.
async fn stdin_closed() {
    let (ended, end) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || {
        let mut sink = [0; 64];
        while matches!(std::io::stdin().read(&mut sink), Ok(read) if read > 0) {}
        ended.send(()).ok();
    });
    end.await.ok();
}

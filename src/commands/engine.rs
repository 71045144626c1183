//! `millrace engine`: the embedded ClickHouse in a process of its own.

use std::future::IntoFuture;
use std::io::Read;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use axum::serve::ListenerExt as _;
use clap::Args;
use tokio_util::sync::CancellationToken;

use crate::engine::{self, Front, Library, PASSWORD_VARIABLE, READY};
use crate::shutdown::Signals;

/// How long statements that run may take to end when the engine is told to.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(5);

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
    /// The password of the user "default"; none where it is empty
    #[arg(long, env = PASSWORD_VARIABLE, hide_env_values = true, value_name = "PASSWORD", default_value = "")]
    password: String,
    /// End when the standard input ends, as it does when the process that holds it is gone
    #[arg(long)]
    exit_with_parent: bool,
}

/// Runs the engine until it is told to end.
pub async fn run(args: EngineArgs) -> anyhow::Result<()> {
    let mut signals = Signals::install()?;
    std::fs::create_dir_all(&args.data_dir)
        .with_context(|| format!("--data-dir: {} cannot be made", args.data_dir.display()))?;
    let folder = args.data_dir.canonicalize()?;
    let path =
        args.library.filter(|path| !path.as_os_str().is_empty()).unwrap_or_else(engine::default_library);
    let listener = tokio::net::TcpListener::bind(args.listen)
        .await
        .with_context(|| format!("--listen: {} cannot be listened on", args.listen))?;
    let address = listener.local_addr()?;
    let password = args.password;
    let library = Library::load(&path)?;
    let starting = Arc::clone(&library);
    let front = tokio::task::spawn_blocking(move || {
        // A failed start needs the end of the engine as well.
        Front::start(Arc::clone(&starting), folder, password).inspect_err(|_| starting.shutdown())
    })
    .await??;
    let front = Arc::new(front);
    let stop = CancellationToken::new();
    // Without it, an answer's second packet would wait for the client's delayed acknowledgement of the first: 40 ms.
    let listener = listener.tap_io(|stream| {
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "TCP_NODELAY could not be set");
        }
    });
    let serving = axum::serve(listener, engine::router(Arc::clone(&front)))
        .with_graceful_shutdown(stop.clone().cancelled_owned());
    let serving = tokio::spawn(serving.into_future());
    println!("{READY}http://{address}");

    let parent_gone = async {
        if args.exit_with_parent { standard_input_ends().await } else { std::future::pending().await }
    };
    tokio::select! {
        () = signals.next() => {}
        () = parent_gone => {}
    }
    stop.cancel();
    // Idle connections of clients would keep the server; statements are what is waited for.
    let closed = tokio::time::timeout(DRAIN_TIMEOUT, front.close()).await;
    serving.abort();
    if closed.is_err() {
        bail!("statements still ran after {} s; the engine ends without them", DRAIN_TIMEOUT.as_secs());
    }
    tokio::task::spawn_blocking(move || library.shutdown()).await?;
    Ok(())
}

/// Blocks a thread of its own, which ends with the process.
async fn standard_input_ends() {
    let (ended, end) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || {
        let mut sink = [0; 64];
        while matches!(std::io::stdin().read(&mut sink), Ok(read) if read > 0) {}
        ended.send(()).ok();
    });
    end.await.ok();
}

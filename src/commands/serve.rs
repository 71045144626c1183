//! `millrace serve`.
//!
//! The order of the start: configuration, the data folder's lock, the port, ClickHouse, the schema, the journal, the
//! writer, the services. The order of the stop is the other way round.

use std::fs::File;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;

use anyhow::{Context, bail};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::clickhouse::{ClickHouse, Endpoint, rebuild, schema};
use crate::config::{ClickHouseConfig, ServeConfig};
use crate::dashboard::grpc::DashboardHandler;
use crate::engine::{self, EngineHandle, SupervisorConfig};
use crate::event::ValidationRules;
use crate::health::grpc::HealthHandler;
use crate::health::{HealthCollector, HealthSources};
use crate::ingest::Ingester;
use crate::ingest::grpc::IngestHandler;
use crate::journal::{Journal, JournalConfig};
use crate::panels::Panels;
use crate::panels::catalog::Catalog;
use crate::panels::directory::DirectoryWatcher;
use crate::panels::subscriptions::Subscriptions;
use crate::server::{self, ConnectionTasks, Handlers};
use crate::shutdown::ShutdownSignals;
use crate::writer::boot::BootMarker;
use crate::writer::dead_letter::DeadLetters;
use crate::writer::durability::Durability;
use crate::writer::{self, RecoveredState, WriterDependencies};

/// Runs the server until a signal ends it.
pub async fn run(config: ServeConfig) -> anyhow::Result<()> {
    config.validate().map_err(anyhow::Error::msg)?;
    let mut signals = ShutdownSignals::install()?;
    let _lock = lock_data_dir(&config.data_dir)?;
    let listener = server::listen(config.listen).await?;
    let address = listener.local_addr()?;

    // First of all, since a journal of a later version must stop the start before anything is changed.
    let (journal, recovered) = open_journal(&config).await?;

    // Each part has its own token: they end one after the other.
    let [stop_services, stop_writer, stop_engine] = std::array::from_fn(|_| CancellationToken::new());
    let storage = tokio::select! {
        storage = connect_storage(&config.clickhouse, &config.data_dir, stop_engine.clone()) => storage?,
        () = signals.recv() => return Ok(()),
    };
    if storage.engine.is_some() {
        rebuild::recover(&storage.clickhouse).await.context("the events cannot get their name back")?;
    }
    let schema_applied = schema::apply(&storage.clickhouse, config.clickhouse.retention_days);
    let mut deferred_schema = None;
    match schema_applied.await {
        Ok(_) => {}
        // A server that is away for a while must not keep this one from taking events.
        Err(error) if error.is_unreachable() => {
            tracing::warn!(%error, "ClickHouse is unreachable; the schema is applied when it is there");
            let deferred = apply_schema_when_reachable(
                storage.clickhouse.clone(),
                config.clickhouse.retention_days,
                stop_services.clone(),
            );
            deferred_schema = Some(ServerTask::new("schema", tokio::spawn(deferred)));
        }
        Err(error) => return Err(error.into()),
    }

    let dead_letters = DeadLetters::open(&config.data_dir).context("the dead letters cannot be kept")?;
    let durability = durability(&storage, &config.data_dir)?;
    let (demand, _) = watch::channel(None);
    let (writer, writer_task) = writer::start(WriterDependencies {
        clickhouse: storage.clickhouse.clone(),
        journal: journal.clone(),
        recovered,
        dead_letters: dead_letters.clone(),
        durability,
        boot: BootMarker::new(&config.data_dir, &config.boot_id_file)?,
        config: config.writer.clone(),
        demand: demand.subscribe(),
        stop: stop_writer.clone(),
    })
    .await
    .context("it cannot be told whether the machine went down since the last use")?;

    let sources = HealthSources {
        clickhouse: storage.clickhouse.clone(),
        engine: storage.engine.as_ref().map(|(engine, _)| engine.clone()),
        writer: writer.clone(),
        journal: journal.clone(),
        dead_letters,
    };
    let (health_collector, view) = HealthCollector::start(sources).await;
    let health_task = tokio::spawn(health_collector.run(stop_services.clone()));
    let (catalog_sender, catalog) = watch::channel(Arc::new(Catalog::built_in()?));
    let panels = Panels::new(storage.panels_clickhouse, config.panels.panel_cache, catalog);
    let subscriptions = Subscriptions::new(
        panels.clone(),
        writer.stats().landed(),
        demand,
        config.panels.watch_min_interval,
        usize::try_from(config.panels.watch_max_queries_per_client)?,
    );
    let panel_directory =
        DirectoryWatcher::new(config.panels.panels_dir.clone(), panels.clone(), catalog_sender);
    let panel_directory_task = tokio::spawn(panel_directory.run(stop_services.clone()));
    let rules = ValidationRules {
        retention: std::time::Duration::from_secs(config.clickhouse.retention_days * 86_400),
        max_clock_skew: config.max_clock_skew,
    };
    let ingester = Ingester::new(writer, rules);
    let (router, reporter) = server::router(Handlers {
        ingest: IngestHandler::new(ingester.clone(), stop_services.clone()),
        ingester,
        dashboard: DashboardHandler::new(panels.clone(), subscriptions, stop_services.clone()),
        panels,
        health: HealthHandler::new(view.clone()),
        view: view.clone(),
        max_message_bytes: usize::try_from(config.max_message_bytes)?,
        edge: config.edge.clone(),
    });
    let connection_tasks = ConnectionTasks::default();
    let mut tasks = ServerTasks {
        server: ServerTask::new(
            "server",
            tokio::spawn(server::serve(
                listener,
                router,
                config.edge,
                connection_tasks.clone(),
                stop_services.clone(),
            )),
        ),
        panel_directory: ServerTask::new("panels folder", panel_directory_task),
        health: ServerTask::new("health", health_task),
        health_reporter: ServerTask::new(
            "health reporter",
            tokio::spawn(server::report_health(reporter, view, stop_services.clone())),
        ),
        deferred_schema,
        writer: ServerTask::new("writer", writer_task),
        engine: storage.engine.map(|(_, supervisor_task)| ServerTask::new("engine", supervisor_task)),
    };
    tracing::info!(%address, data_dir = %config.data_dir.display(), "millrace is ready");

    tokio::select! {
        () = signals.recv() => {}
        // What a task that is gone should do would never be done. Everything accepted is in the journal.
        error = tasks.first_exit() => {
            stop_engine.cancel();
            if let Some(engine) = tasks.engine.filter(|engine| engine.name != error.name) {
                tokio::time::timeout(config.shutdown_grace, engine.join()).await.ok();
            }
            return Err(error.into());
        }
    }
    tracing::info!(grace_ms = config.shutdown_grace.as_millis(), "stopping; a second signal ends at once");
    let drained = async {
        let mut clean = true;
        stop_services.cancel();
        let services = [tasks.server, tasks.panel_directory, tasks.health, tasks.health_reporter];
        for task in services.into_iter().chain(tasks.deferred_schema) {
            clean &= task.join().await;
        }
        stop_writer.cancel();
        clean &= tasks.writer.join().await;
        if let Err(error) = journal.close().await {
            tracing::error!(%error, "the journal could not be closed");
            clean = false;
        }
        stop_engine.cancel();
        if let Some(engine) = tasks.engine {
            clean &= engine.join().await;
        }
        // Calls that outlived the server's own grace period could wait for the writer until here.
        connection_tasks.close().await;
        clean
    };
    tokio::select! {
        result = tokio::time::timeout(config.shutdown_grace, drained) => match result {
            Ok(true) => tracing::info!("stopped"),
            Ok(false) => bail!("a part of the server ended badly; what is left is in the journal"),
            Err(_) => tracing::warn!("stopped at the end of the grace; what is left is in the journal"),
        },
        () = signals.recv() => tracing::warn!("stopped at once; what is left is in the journal"),
    }
    Ok(())
}

/// A task that runs until it is stopped.
struct ServerTask {
    name: &'static str,
    handle: JoinHandle<()>,
}

impl ServerTask {
    fn new(name: &'static str, handle: JoinHandle<()>) -> Self {
        Self { name, handle }
    }

    /// Waits for its end; whether that was a good one.
    async fn join(self) -> bool {
        let ended = self.handle.await;
        match &ended {
            Ok(()) => tracing::debug!(part = self.name, "ended"),
            Err(error) => tracing::error!(part = self.name, %error, "ended badly"),
        }
        ended.is_ok()
    }
}

/// The tasks without which the server is none.
struct ServerTasks {
    server: ServerTask,
    panel_directory: ServerTask,
    health: ServerTask,
    health_reporter: ServerTask,
    /// Applies the schema where ClickHouse was not there at the start.
    deferred_schema: Option<ServerTask>,
    writer: ServerTask,
    engine: Option<ServerTask>,
}

/// A task ended that should run.
#[derive(Debug, thiserror::Error)]
#[error(
    "the {name} task ended ({why}), so the server stops; nothing that was acknowledged is lost: start it again, and \
     report this line"
)]
struct TaskExit {
    name: &'static str,
    why: String,
}

impl ServerTasks {
    /// The first task to end although nobody stopped it.
    async fn first_exit(&mut self) -> TaskExit {
        let Self { server, panel_directory, health, health_reporter, deferred_schema, writer, engine } = self;
        let tasks = [server, panel_directory, health, health_reporter, writer];
        first_exit(tasks.into_iter().chain(deferred_schema).chain(engine).collect()).await
    }
}

async fn first_exit(mut tasks: Vec<&mut ServerTask>) -> TaskExit {
    std::future::poll_fn(|cx| {
        for task in &mut tasks {
            if let Poll::Ready(ended) = Pin::new(&mut task.handle).poll(cx) {
                let why = ended.map_or_else(|error| error.to_string(), |()| "without an error".to_owned());
                return Poll::Ready(TaskExit { name: task.name, why });
            }
        }
        Poll::Pending
    })
    .await
}

/// Reads the journal, and goes on with it once everything in it is understood.
async fn open_journal(config: &ServeConfig) -> anyhow::Result<(Journal, RecoveredState)> {
    let folder = config.data_dir.join("journal");
    let journal = JournalConfig {
        max_bytes: config.journal.journal_max_bytes,
        reserve_bytes: writer::journal_reserve_bytes(&config.writer),
        ..Default::default()
    };
    let limits = writer::batch_limits(&config.writer);
    let recent_event_ids = usize::try_from(config.writer.recent_event_ids)?;
    let opening = tokio::task::spawn_blocking(move || {
        let (scanned, recovery) = Journal::scan(&folder, journal)?;
        let recovered = writer::recover(recovery, recent_event_ids, &limits)?;
        Ok((scanned.start()?, recovered))
    });
    opening.await?
}

/// ClickHouse, and the supervised engine where it is the embedded one.
pub(super) struct Storage {
    pub(super) clickhouse: ClickHouse,
    /// The same, as the user that panels are asked as.
    pub(super) panels_clickhouse: ClickHouse,
    pub(super) engine: Option<(EngineHandle, JoinHandle<()>)>,
}

/// Finds the ClickHouse of the configuration, and starts it where it is the embedded one.
pub(super) async fn connect_storage(
    config: &ClickHouseConfig,
    data_dir: &Path,
    stop: CancellationToken,
) -> anyhow::Result<Storage> {
    let database = config.clickhouse_database.clone();
    if config.clickhouse_url.is_empty() {
        let library = Some(&config.engine_library).filter(|path| !path.is_empty()).map(PathBuf::from);
        let supervisor = SupervisorConfig {
            data_dir: clickhouse_dir(data_dir),
            library,
            endpoint_file: endpoint_file(data_dir),
            engine: config.engine.clone(),
        };
        let (engine, supervisor_task) = engine::start(supervisor, stop).await?;
        let clickhouse =
            ClickHouse::new(engine.endpoint(), &database).with_restart_requests(engine.restart_requests());
        let panels_clickhouse = ClickHouse::new(engine.panels_endpoint(), &database);
        return Ok(Storage { clickhouse, panels_clickhouse, engine: Some((engine, supervisor_task)) });
    }
    let server = |user: &str, password: &str| {
        let (url, user, password) = (config.clickhouse_url.clone(), user.to_owned(), password.to_owned());
        let (_, endpoint) = watch::channel(Some(Endpoint { url, user, password }));
        ClickHouse::new(endpoint, &database)
    };
    let clickhouse = server(&config.clickhouse_user, &config.clickhouse_password);
    let panels_clickhouse = match config.clickhouse_panel_user.as_str() {
        "" => clickhouse.clone(),
        user => server(user, &config.clickhouse_panel_password),
    };
    Ok(Storage { clickhouse, panels_clickhouse, engine: None })
}

/// How what lands there becomes safe from a power cut.
pub(super) fn durability(storage: &Storage, data_dir: &Path) -> anyhow::Result<Durability> {
    match storage.engine {
        Some(_) => {
            let folder = clickhouse_dir(data_dir);
            Durability::for_embedded(&folder)
                .with_context(|| format!("{} cannot be opened", folder.display()))
        }
        None => Ok(Durability::for_server()),
    }
}

/// Where the embedded database keeps its files.
pub(super) fn clickhouse_dir(data_dir: &Path) -> PathBuf {
    data_dir.join("clickhouse")
}

/// Where the address of the embedded database is told to other processes.
pub(super) fn endpoint_file(data_dir: &Path) -> PathBuf {
    data_dir.join("engine.json")
}

/// Takes the data folder for this process. The lock goes with the file.
pub(super) fn lock_data_dir(data_dir: &Path) -> anyhow::Result<File> {
    let shown = data_dir.display();
    std::fs::create_dir_all(data_dir)
        .with_context(|| format!("MILLRACE_DATA_DIR (--data-dir): {shown} cannot be made"))?;
    // Earlier versions made it as the umask said.
    let permissions = std::os::unix::fs::PermissionsExt::from_mode(0o700);
    if let Err(error) = std::fs::set_permissions(data_dir, permissions) {
        tracing::warn!(%error, "{shown} cannot be kept from other users");
    }
    let path = data_dir.join("lock");
    let file = File::create(&path).with_context(|| format!("{} cannot be written", path.display()))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(std::fs::TryLockError::WouldBlock) => bail!(
            "MILLRACE_DATA_DIR (--data-dir): another millrace holds {shown}; stop it, or choose another folder"
        ),
        Err(std::fs::TryLockError::Error(error)) => {
            Err(error).with_context(|| format!("{} cannot be locked", path.display()))
        }
    }
}

async fn apply_schema_when_reachable(clickhouse: ClickHouse, retention_days: u64, stop: CancellationToken) {
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(std::time::Duration::from_secs(1)) => {}
        }
        match schema::apply(&clickhouse, retention_days).await {
            Ok(_) => {
                tracing::info!("the schema is applied");
                // Like every other task, it ends when it is stopped.
                return stop.cancelled().await;
            }
            Err(error) if error.is_unreachable() => {}
            Err(error) => tracing::error!(%error, "the schema cannot be applied"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_task_that_panics_or_returns_is_reported_by_name() {
        let mut runs = ServerTask::new("writer", tokio::spawn(std::future::pending()));
        let mut panics = ServerTask::new("health", tokio::spawn(async { panic!("out of ideas") }));
        let error = first_exit(vec![&mut runs, &mut panics]).await.to_string();
        assert!(error.starts_with("the health task ended (") && error.contains("out of ideas"), "{error}");
        let mut returns = ServerTask::new("engine", tokio::spawn(async {}));
        let error = first_exit(vec![&mut runs, &mut returns]).await.to_string();
        assert!(error.starts_with("the engine task ended (without an error)"), "{error}");
    }
}

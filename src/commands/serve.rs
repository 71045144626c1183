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
use crate::dashboard::grpc::DashboardDoor;
use crate::engine::{self, Engine, SupervisorConfig};
use crate::event::Rules;
use crate::health::grpc::HealthDoor;
use crate::health::{Gatherer, Sources};
use crate::ingest::Receiver;
use crate::ingest::grpc::IngestDoor;
use crate::journal::{Journal, JournalConfig};
use crate::panels::Panels;
use crate::panels::catalog::Catalog;
use crate::panels::folder::Folder;
use crate::panels::live::Live;
use crate::server::{self, Doors};
use crate::shutdown::Signals;
use crate::writer::boot::BootMark;
use crate::writer::checkpoint::Durability;
use crate::writer::dead_letter::DeadLetters;
use crate::writer::{self, Parts, Recovered};

/// Runs the server until a signal ends it.
pub async fn run(config: ServeConfig) -> anyhow::Result<()> {
    config.check_relations().map_err(anyhow::Error::msg)?;
    let mut signals = Signals::install()?;
    let _lock = lock(&config.data_dir)?;
    let listener = server::listen(config.listen).await?;
    let address = listener.local_addr()?;

    // First of all, since a journal of a later version must stop the start before anything is changed.
    let (journal, recovered) = open_journal(&config).await?;

    // Each part has its own token: they end one after the other.
    let [stop_doors, stop_writer, stop_engine] = std::array::from_fn(|_| CancellationToken::new());
    let storage = tokio::select! {
        storage = connect(&config.clickhouse, &config.data_dir, stop_engine.clone()) => storage?,
        () = signals.next() => return Ok(()),
    };
    if storage.engine.is_some() {
        rebuild::recover(&storage.clickhouse).await.context("the events cannot get their name back")?;
    }
    let prepared = schema::apply(&storage.clickhouse, config.clickhouse.retention_days);
    let mut schema_late = None;
    match prepared.await {
        Ok(_) => {}
        // A server that is away for a while must not keep this one from taking events.
        Err(error) if error.is_unreachable() => {
            tracing::warn!(%error, "ClickHouse is unreachable; the schema is applied when it is there");
            let late =
                apply_late(storage.clickhouse.clone(), config.clickhouse.retention_days, stop_doors.clone());
            schema_late = Some(Task::new("schema", tokio::spawn(late)));
        }
        Err(error) => return Err(error.into()),
    }

    let dead_letters = DeadLetters::open(&config.data_dir).context("the dead letters cannot be kept")?;
    let durability = durability(&storage, &config.data_dir)?;
    let (attention, _) = watch::channel(None);
    let (writer, writing) = writer::start(Parts {
        clickhouse: storage.clickhouse.clone(),
        journal: journal.clone(),
        recovered,
        dead_letters: dead_letters.clone(),
        durability,
        boot: BootMark::new(&config.data_dir, &config.boot_id_file)?,
        config: config.writer.clone(),
        attention: attention.subscribe(),
        stop: stop_writer.clone(),
    })
    .await
    .context("it cannot be told whether the machine went down since the last use")?;

    let sources = Sources {
        clickhouse: storage.clickhouse.clone(),
        engine: storage.engine.as_ref().map(|(engine, _)| engine.clone()),
        writer: writer.clone(),
        journal: journal.clone(),
        dead_letters,
    };
    let (gatherer, view) = Gatherer::start(sources).await;
    let gathering = tokio::spawn(gatherer.run(stop_doors.clone()));
    let (catalog_sender, catalog) = watch::channel(Arc::new(Catalog::built_in()?));
    let panels = Panels::new(storage.for_panels, config.panels.panel_cache, catalog);
    let live = Live::new(
        panels.clone(),
        writer.stats().landed(),
        attention,
        config.panels.watch_min_interval,
        usize::try_from(config.panels.watch_max_queries_per_client)?,
    );
    let folder = Folder::new(config.panels.panels_dir.clone(), panels.clone(), catalog_sender);
    let reading = tokio::spawn(folder.run(stop_doors.clone()));
    let rules = Rules {
        retention: std::time::Duration::from_secs(config.clickhouse.retention_days * 86_400),
        max_clock_skew: config.max_clock_skew,
    };
    let receiver = Receiver::new(writer, rules);
    let (router, reporter) = server::router(Doors {
        ingest: IngestDoor::new(receiver.clone(), stop_doors.clone()),
        receiver,
        dashboard: DashboardDoor::new(panels.clone(), live, stop_doors.clone()),
        panels,
        health: HealthDoor::new(view.clone()),
        view: view.clone(),
        max_message_bytes: usize::try_from(config.max_message_bytes)?,
        edge: config.edge.clone(),
    });
    let mut tasks = Tasks {
        server: Task::new(
            "server",
            tokio::spawn(server::serve(listener, router, config.edge, stop_doors.clone())),
        ),
        panels_folder: Task::new("panels folder", reading),
        health: Task::new("health", gathering),
        health_reporter: Task::new(
            "health reporter",
            tokio::spawn(server::report_health(reporter, view, stop_doors.clone())),
        ),
        schema_late,
        writer: Task::new("writer", writing),
        engine: storage.engine.map(|(_, supervising)| Task::new("engine", supervising)),
    };
    tracing::info!(%address, data_dir = %config.data_dir.display(), "millrace is ready");

    tokio::select! {
        () = signals.next() => {}
        // What a task that is gone should do would never be done. Everything accepted is in the journal.
        error = tasks.first_ended() => {
            stop_engine.cancel();
            if let Some(engine) = tasks.engine.filter(|engine| engine.name != error.name) {
                tokio::time::timeout(config.shutdown_grace, engine.join()).await.ok();
            }
            return Err(error.into());
        }
    }
    tracing::info!(grace_ms = config.shutdown_grace.as_millis(), "stopping; a second signal ends at once");
    let drained = async {
        let mut well = true;
        stop_doors.cancel();
        let doors = [tasks.server, tasks.panels_folder, tasks.health, tasks.health_reporter];
        for task in doors.into_iter().chain(tasks.schema_late) {
            well &= task.join().await;
        }
        stop_writer.cancel();
        well &= tasks.writer.join().await;
        if let Err(error) = journal.close().await {
            tracing::error!(%error, "the journal could not be closed");
            well = false;
        }
        stop_engine.cancel();
        if let Some(engine) = tasks.engine {
            well &= engine.join().await;
        }
        well
    };
    tokio::select! {
        result = tokio::time::timeout(config.shutdown_grace, drained) => match result {
            Ok(true) => tracing::info!("stopped"),
            Ok(false) => bail!("a part of the server ended badly; what is left is in the journal"),
            Err(_) => tracing::warn!("stopped at the end of the grace; what is left is in the journal"),
        },
        () = signals.next() => tracing::warn!("stopped at once; what is left is in the journal"),
    }
    Ok(())
}

/// A task that runs until it is stopped.
struct Task {
    name: &'static str,
    handle: JoinHandle<()>,
}

impl Task {
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
struct Tasks {
    server: Task,
    panels_folder: Task,
    health: Task,
    health_reporter: Task,
    /// Applies the schema where ClickHouse was not there at the start.
    schema_late: Option<Task>,
    writer: Task,
    engine: Option<Task>,
}

/// A task ended that should run.
#[derive(Debug, thiserror::Error)]
#[error(
    "the {name} task ended ({why}), so the server stops; nothing that was acknowledged is lost: start it again, and \
     report this line"
)]
struct TaskEnded {
    name: &'static str,
    why: String,
}

impl Tasks {
    /// The first task to end although nobody stopped it.
    async fn first_ended(&mut self) -> TaskEnded {
        let Self { server, panels_folder, health, health_reporter, schema_late, writer, engine } = self;
        let tasks = [server, panels_folder, health, health_reporter, writer];
        first_ended(tasks.into_iter().chain(schema_late).chain(engine).collect()).await
    }
}

async fn first_ended(mut tasks: Vec<&mut Task>) -> TaskEnded {
    std::future::poll_fn(|cx| {
        for task in &mut tasks {
            if let Poll::Ready(ended) = Pin::new(&mut task.handle).poll(cx) {
                let why = ended.map_or_else(|error| error.to_string(), |()| "without an error".to_owned());
                return Poll::Ready(TaskEnded { name: task.name, why });
            }
        }
        Poll::Pending
    })
    .await
}

/// Reads the journal, and goes on with it once everything in it is understood.
async fn open_journal(config: &ServeConfig) -> anyhow::Result<(Journal, Recovered)> {
    let folder = config.data_dir.join("journal");
    let journal = JournalConfig {
        max_bytes: config.journal.journal_max_bytes,
        reserve_bytes: writer::journal_reserve_bytes(&config.writer),
        ..Default::default()
    };
    let limits = writer::limits(&config.writer);
    let recent_event_ids = usize::try_from(config.writer.recent_event_ids)?;
    let opening = tokio::task::spawn_blocking(move || {
        let (inspected, recovery) = Journal::inspect(&folder, journal)?;
        let recovered = writer::recover(recovery, recent_event_ids, &limits)?;
        Ok((inspected.start()?, recovered))
    });
    opening.await?
}

/// ClickHouse, and the supervised engine where it is the embedded one.
pub(super) struct Storage {
    pub(super) clickhouse: ClickHouse,
    /// The same, as the user that panels are asked as.
    pub(super) for_panels: ClickHouse,
    pub(super) engine: Option<(Engine, JoinHandle<()>)>,
}

/// Finds the ClickHouse of the configuration, and starts it where it is the embedded one.
pub(super) async fn connect(
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
        let (engine, supervising) = engine::start(supervisor, stop).await?;
        let clickhouse = ClickHouse::new(engine.endpoint(), &database).reporting_to(engine.broken_reports());
        let for_panels = ClickHouse::new(engine.panels_endpoint(), &database);
        return Ok(Storage { clickhouse, for_panels, engine: Some((engine, supervising)) });
    }
    let server = |user: &str, password: &str| {
        let (url, user, password) = (config.clickhouse_url.clone(), user.to_owned(), password.to_owned());
        let (_, endpoint) = watch::channel(Some(Endpoint { url, user, password }));
        ClickHouse::new(endpoint, &database)
    };
    let clickhouse = server(&config.clickhouse_user, &config.clickhouse_password);
    let for_panels = match config.clickhouse_panel_user.as_str() {
        "" => clickhouse.clone(),
        user => server(user, &config.clickhouse_panel_password),
    };
    Ok(Storage { clickhouse, for_panels, engine: None })
}

/// How what lands there becomes safe from a power cut.
pub(super) fn durability(storage: &Storage, data_dir: &Path) -> anyhow::Result<Durability> {
    match storage.engine {
        Some(_) => {
            let folder = clickhouse_dir(data_dir);
            Durability::of_folder(&folder).with_context(|| format!("{} cannot be opened", folder.display()))
        }
        None => Ok(Durability::of_server()),
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
pub(super) fn lock(data_dir: &Path) -> anyhow::Result<File> {
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

async fn apply_late(clickhouse: ClickHouse, retention_days: u64, stop: CancellationToken) {
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
    async fn a_task_that_panics_or_returns_is_told_with_its_name() {
        let mut runs = Task::new("writer", tokio::spawn(std::future::pending()));
        let mut panics = Task::new("health", tokio::spawn(async { panic!("out of ideas") }));
        let error = first_ended(vec![&mut runs, &mut panics]).await.to_string();
        assert!(error.starts_with("the health task ended (") && error.contains("out of ideas"), "{error}");
        let mut returns = Task::new("engine", tokio::spawn(async {}));
        let error = first_ended(vec![&mut runs, &mut returns]).await.to_string();
        assert!(error.starts_with("the engine task ended (without an error)"), "{error}");
    }
}

//! `millrace serve`.
//!
//! The order of the start: configuration, the data folder's lock, the port, ClickHouse, the schema, the journal, the
//! writer, the services. The order of the stop is the other way round.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

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
use crate::writer::dead_letter::DeadLetters;
use crate::writer::{self, Parts};

/// Runs the server until a signal ends it.
pub async fn run(config: ServeConfig) -> anyhow::Result<()> {
    let mut signals = Signals::install()?;
    let _lock = lock(&config.data_dir)?;
    let listener = server::listen(config.listen).await?;
    let address = listener.local_addr()?;

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
            schema_late = Some(tokio::spawn(apply_late(
                storage.clickhouse.clone(),
                config.clickhouse.retention_days,
                stop_doors.clone(),
            )));
        }
        Err(error) => return Err(error.into()),
    }

    let dead_letters = DeadLetters::open(&config.data_dir).context("the dead letters cannot be kept")?;
    let journal_dir = config.data_dir.join("journal");
    let journal_config = JournalConfig { max_bytes: config.journal.journal_max_bytes, ..Default::default() };
    let (journal, recovery) = Journal::open(&journal_dir, journal_config)?;
    let (attention, _) = watch::channel(None);
    let (writer, writing) = writer::start(Parts {
        clickhouse: storage.clickhouse.clone(),
        journal: journal.clone(),
        recovery,
        dead_letters: dead_letters.clone(),
        config: config.writer.clone(),
        attention: attention.subscribe(),
        stop: stop_writer.clone(),
    })
    .await?;

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
    let live =
        Live::new(panels.clone(), writer.stats().landed(), attention, config.panels.watch_min_interval);
    let folder = Folder::new(config.panels.panels_dir.clone(), panels.clone(), catalog_sender);
    let reading = tokio::spawn(folder.run(stop_doors.clone()));
    let rules = Rules {
        retention: std::time::Duration::from_secs(config.clickhouse.retention_days * 86_400),
        max_clock_skew: config.max_clock_skew,
    };
    let receiver = Receiver { writer, rules };
    let (router, reporter) = server::router(Doors {
        ingest: IngestDoor::new(receiver.clone(), stop_doors.clone()),
        receiver,
        dashboard: DashboardDoor::new(panels.clone(), live, stop_doors.clone()),
        panels,
        health: HealthDoor::new(view.clone()),
        view: view.clone(),
        max_message_bytes: usize::try_from(config.max_message_bytes)?,
    });
    let reporting = tokio::spawn(server::report_health(reporter, view, stop_doors.clone()));
    let serving = tokio::spawn(server::serve(listener, router, stop_doors.clone()));
    tracing::info!(%address, data_dir = %config.data_dir.display(), "millrace is ready");

    signals.next().await;
    tracing::info!(grace_ms = config.shutdown_grace.as_millis(), "stopping; a second signal ends at once");
    let drained = async {
        stop_doors.cancel();
        join("doors", serving).await;
        join("panels folder", reading).await;
        join("health", gathering).await;
        join("health reporter", reporting).await;
        if let Some(task) = schema_late {
            join("schema", task).await;
        }
        stop_writer.cancel();
        join("writer", writing).await;
        if let Err(error) = journal.close().await {
            tracing::error!(%error, "the journal could not be closed");
        }
        stop_engine.cancel();
        if let Some((_, supervising)) = storage.engine {
            join("engine", supervising).await;
        }
    };
    tokio::select! {
        result = tokio::time::timeout(config.shutdown_grace, drained) => match result {
            Ok(()) => tracing::info!("stopped"),
            Err(_) => tracing::warn!("stopped at the end of the grace; what is left is in the journal"),
        },
        () = signals.next() => tracing::warn!("stopped at once; what is left is in the journal"),
    }
    Ok(())
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
            data_dir: data_dir.join("clickhouse"),
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

/// Where the address of the embedded database is told to other processes.
pub(super) fn endpoint_file(data_dir: &Path) -> PathBuf {
    data_dir.join("engine.json")
}

/// Takes the data folder for this process. The lock goes with the file.
pub(super) fn lock(data_dir: &Path) -> anyhow::Result<File> {
    let shown = data_dir.display();
    std::fs::create_dir_all(data_dir)
        .with_context(|| format!("MILLRACE_DATA_DIR (--data-dir): {shown} cannot be made"))?;
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
            Ok(_) => return tracing::info!("the schema is applied"),
            Err(error) if error.is_unreachable() => {}
            Err(error) => tracing::error!(%error, "the schema cannot be applied"),
        }
    }
}

async fn join(part: &str, task: JoinHandle<()>) {
    match task.await {
        Ok(()) => tracing::debug!(part, "ended"),
        Err(error) => tracing::error!(part, %error, "ended badly"),
    }
}

//! `millrace serve`: starts the server, waits for a signal or a failed task, and stops it.
//!
//! The start in order: configuration, lock of the data folder, port, journal, ClickHouse, schema, writer, services. The stop
//! in order: services (no new requests; what they submitted is acknowledged), writer (flushes everything), journal, engine.

use std::fs::File;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;

use anyhow::{Context, bail};
use jiff::Timestamp;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
#[cfg(feature = "kafka")]
use uuid::Uuid;

use super::migrate::UpgradeBar;
use crate::access::admin::AdminHandler;
use crate::access::oidc::Oidc;
use crate::access::people_file::{People, PeopleFileError};
use crate::access::{AccessControl, KeyFile, TrustedProxies};
use crate::catalogue::{service::CatalogueService, task::CatalogueTask};
use crate::clickhouse::cluster;
use crate::clickhouse::replicas::{ReplicaTask, Replicas};
use crate::clickhouse::schema::{self, SchemaError};
use crate::clickhouse::shards::Shards;
use crate::clickhouse::upgrade::{self, UpgradeProgress};
use crate::clickhouse::{ClickHouse, RetentionDays, rebuild};
#[cfg(feature = "kafka")]
use crate::config::kafka::JournalKind;
use crate::config::{ClickHouseConfig, Compression, EdgeConfig, JournalSettings, ServeConfig, WriterConfig};
use crate::dashboard::{self, grpc::DashboardHandler, heartbeat::DashboardStateTask};
use crate::edge::tls::Tls;
use crate::engine::{self, EngineHandle, SupervisorConfig};
use crate::event::ValidationRules;
use crate::events::grpc::EventsHandler;
use crate::events::{Search, Tails};
use crate::explore::Explore;
use crate::explore::runner::Runner;
use crate::health::grpc::HealthHandler;
use crate::health::{HealthCollector, HealthSources, is_writer_running};
use crate::ingest::Ingester;
use crate::ingest::grpc::IngestHandler;
#[cfg(feature = "kafka")]
use crate::ingest::kafka::MessageDecoder;
use crate::ingest::rejected::RejectedEvents;
use crate::insights::Insights;
use crate::journal::{Journal, JournalConfig};
use crate::kafka::status::KafkaStatus;
#[cfg(feature = "kafka")]
use crate::kafka::{self, journal::JournalDependencies, source::KafkaDependencies};
use crate::live::Subscriptions;
use crate::live::landings::LandingsTask;
use crate::metrics::{self, Metrics, MetricsSources};
use crate::operations::OperationsHandler;
use crate::panels::catalog::Catalog;
use crate::panels::directory::DirectoryWatcher;
use crate::panels::sql::SqlQueries;
use crate::panels::{PanelSources, Panels};
use crate::people::{grpc::PeopleHandler, service::PeopleService, task::PeopleTask};
use crate::properties::Properties;
use crate::properties::applied::AppliedProperties;
use crate::server::{self, ConnectionTasks, Handlers};
use crate::server_id;
use crate::service_manager::ServiceManager;
use crate::shutdown::ShutdownSignals;
use crate::sources::Sources;
use crate::writer::batch::BatchEncoder;
use crate::writer::batch_id::ServerNumber;
use crate::writer::boot::BootMarker;
use crate::writer::dead_letter::DeadLetters;
use crate::writer::durability::Durability;
use crate::writer::feed::Feed;
use crate::writer::{self, RecoveredState, WriterDependencies};

/// Runs the server until SIGTERM or SIGINT.
pub(crate) async fn run(config: ServeConfig) -> anyhow::Result<()> {
    config.validate()?;
    let mut signals = ShutdownSignals::install()?;
    let _lock = lock_data_dir(&config.data_dir)?;
    let key_file = KeyFile::new(&config.data_dir);
    let people = People::read(&config.edge.people_file)?;
    let trusted_proxies = trusted_proxies(&config.edge, people.as_ref())?;
    let (access, key_file_watcher) =
        AccessControl::open(key_file.clone(), config.project.clone(), trusted_proxies)?;
    if people.is_some() && !access.requires_keys() {
        return Err(PeopleFileError::NoKeys { data_dir: config.data_dir.clone() }.into());
    }
    let oidc = people
        .and_then(|People { oidc, grants, .. }| oidc.map(|settings| Oidc::new(settings, grants)))
        .transpose()?;
    if !config.listen.ip().is_loopback() && !access.requires_keys() && !config.insecure_no_keys {
        bail!(
            "MILLRACE_LISTEN (--listen): {} is reachable from other machines, but there are no keys: make the first one with \
             `millrace keys create --scope admin --data-dir {}`, or listen on 127.0.0.1",
            config.listen,
            config.data_dir.display()
        );
    }
    let tls = config.edge.tls.files()?.map(Tls::open).transpose()?;
    let listener = server::listen(config.listen).await?;
    let address = listener.local_addr()?;
    let metrics_listener = match config.metrics_listen.0 {
        Some(address) => {
            let may_be_public = access.requires_keys() || config.insecure_no_keys;
            Some(metrics::listen(address, may_be_public).await?)
        }
        None => None,
    };

    let server_id = server_id::open(&config.data_dir)?;
    // Before ClickHouse: a journal of a newer version must fail the start before anything is changed.
    let server = ServerNumber::of(&server_id);
    let (journal, recovered) =
        open_journal(&config.data_dir, server, &config.journal, &config.writer).await?;

    let applied_properties = AppliedProperties::new(&config.data_dir);
    let (properties_sender, properties) =
        watch::channel(Arc::new(applied_properties.adopt(&config.clickhouse.declared_properties()?)?));

    // One token per stage: they are stopped one after the other.
    let [stop_services, stop_writer, stop_engine] = std::array::from_fn(|_| CancellationToken::new());
    let storage = tokio::select! {
        storage = connect_storage(&config.clickhouse, &config.data_dir, properties.clone(), stop_engine.clone()) => storage?,
        () = signals.recv() => return Ok(()),
    };
    let retention = config.clickhouse.retention()?;
    let (schema_state, schema_pending) = watch::channel(None);
    let mut deferred_schema = None;
    match apply_schema(&storage, retention).await {
        Ok(None) => {}
        // Events are accepted meanwhile.
        Ok(Some(pending)) => {
            schema_state.send_replace(Some(pending));
            let deferred = apply_deferred_schema(
                storage.shards.clone(),
                retention,
                schema_state.clone(),
                stop_services.clone(),
            );
            deferred_schema = Some(ServerTask::new("schema", tokio::spawn(deferred)));
        }
        Err(error) => return Err(error.into()),
    }

    let dead_letters =
        DeadLetters::open(&config.data_dir).context("the folder of dead letters could not be opened")?;
    let durability = durability(&storage, &config.data_dir)?;
    let (demand, _) = watch::channel(None);
    let (feed, durable_requests) = Feed::new();
    let recovered_batch = recovered.lowest_batch_id();
    let boot = BootMarker::new(&config.data_dir, &config.boot_id_file)?;
    #[cfg(feature = "kafka")]
    // It is about this machine, where a ClickHouse server need not be.
    let (durability_of_kafka, unclean_boot) =
        (durability.clone(), storage.engine.is_some() && boot.is_unclean()?);
    let (writer, writer_task) = writer::start(WriterDependencies {
        shards: storage.shards.clone(),
        replicas: storage.replicas.clone(),
        server,
        encoder: BatchEncoder::new(properties.clone(), config.clickhouse.rollup_values),
        journal: journal.clone(),
        recovered,
        dead_letters: dead_letters.clone(),
        durability,
        boot,
        config: config.writer.clone(),
        demand: demand.subscribe(),
        schema_pending: schema_pending.clone(),
        feed: feed.clone(),
        processes_are_servers: config.kafka.journal_topic().is_some(),
        stop: stop_writer.clone(),
    })
    .await
    .context("whether the machine lost power since the last run could not be determined")?;

    let kafka_status = config.kafka.is_enabled().then(KafkaStatus::default);
    let sources = HealthSources {
        kafka: kafka_status.clone(),
        shards: storage.shards.clone(),
        engine: storage.engine.as_ref().map(|(engine, _)| engine.clone()),
        replicas: storage.replicas.clone(),
        writer: writer.clone(),
        journal: journal.clone(),
        dead_letters: dead_letters.clone(),
        schema_pending,
        keys_problem: key_file_watcher.problem(),
        tls_problem: tls.as_ref().map(|(_, watcher)| watcher.problem()),
        oidc_problem: oidc.as_ref().map(|oidc| oidc.problem()),
    };
    let (health_collector, view) = HealthCollector::start(sources).await;
    let health_task = tokio::spawn(health_collector.run(stop_services.clone()));
    // Nobody else inserts into the embedded engine.
    let (landings_task, landed) = if storage.engine.is_some() {
        (None, writer.stats().landed())
    } else {
        let (task, landed) = LandingsTask::new(storage.shards.clone(), writer.clone(), demand.subscribe());
        (Some(tokio::spawn(task.run(stop_services.clone()))), landed)
    };
    let (catalog_sender, catalog) = watch::channel(Arc::new(Catalog::built_in()?));
    let sources = PanelSources {
        properties: properties.clone(),
        events_retention_days: u32::try_from(config.clickhouse.retention_days)?,
        rollup_retention_days: u32::try_from(config.clickhouse.rollup_retention_days)?,
    };
    let panels = Panels::new(
        storage.panels_clickhouse,
        sources,
        config.panels.panel_cache,
        catalog,
        dashboard::messages::check_result,
    );
    let (people_task, people_tables) =
        PeopleTask::new(storage.shards.clone(), &writer, recovered_batch, retention.rollup);
    let people_task = tokio::spawn(people_task.run(stop_services.clone()));
    let sql = SqlQueries::new(&panels, storage.explore_clickhouse.clone());
    let runner = Runner::new(storage.explore_clickhouse.clone(), people_tables.clone(), config.explore);
    let (catalogue_task, catalogue_mark) = CatalogueTask::new(storage.shards.clone(), &writer);
    let catalogue_task = tokio::spawn(catalogue_task.run(stop_services.clone()));
    let catalogue = CatalogueService::new(runner.clone(), catalogue_mark, properties.clone());
    let explore_stats = Arc::clone(runner.stats());
    let explore = Explore::new(runner, panels.sources().clone(), config.panels.panel_cache);
    let explore_share = u32::try_from(config.panels.watch_explore_share)?;
    #[cfg(feature = "kafka")]
    let demand_of_kafka = demand.subscribe();
    let subscriptions = Subscriptions::new(
        panels.clone(),
        (explore.clone(), explore_share),
        landed.clone(),
        demand,
        config.panels.watch_min_interval,
        usize::try_from(config.panels.watch_max_queries_per_client)?,
        stop_services.clone(),
    );
    let panel_directory_task = DirectoryWatcher::start(
        config.panels.panels_dir.clone(),
        panels.clone(),
        catalog_sender,
        stop_services.clone(),
    )
    .await;
    let insights =
        Insights::open(config.panels.insights_dir.clone(), panels.clone(), properties.clone()).await?;
    let insights_task = tokio::spawn(insights.clone().run(stop_services.clone()));
    let (dashboard_state_task, dashboard_state) =
        DashboardStateTask::start(panels.clone(), insights.library(), landed).await;
    let dashboard_state_task = tokio::spawn(dashboard_state_task.run(stop_services.clone()));
    let people =
        PeopleService::new(storage.explore_clickhouse.clone(), people_tables.clone(), properties.clone());
    let rules = ValidationRules {
        retention: std::time::Duration::from_secs(retention.events * 86_400),
        max_clock_skew: config.max_clock_skew,
    };
    let settle = {
        let writer = writer.clone();
        move || {
            let writer = writer.clone();
            async move { writer.settle().await }
        }
    };
    let properties_task =
        tokio::spawn(applied_properties.follow_requests(properties_sender, settle, stop_services.clone()));
    let search = Search::new(storage.explore_clickhouse.clone(), people_tables, properties.clone());
    let (tails, tail_task) = Tails::new(feed.clone(), durable_requests, search.clone());
    let connection_tasks = ConnectionTasks::default();
    let rejected = RejectedEvents::default();
    let sources = Sources::new(Timestamp::now());
    #[cfg(feature = "kafka")]
    let kafka_task = match kafka_status.clone() {
        None => None,
        Some(status) => {
            let dependencies = KafkaDependencies {
                settings: config.kafka.clone(),
                writer_config: config.writer.clone(),
                max_request_bytes: config.max_message_bytes,
                shards: storage.shards.clone(),
                choose_shard: writer.store().shard_choice(storage.replicas.clone()),
                writer: writer.clone(),
                decoder: MessageDecoder {
                    project: config.kafka.project(&config.project)?,
                    format: config.kafka.kafka_format,
                    rules,
                    properties: properties.clone(),
                    rejected: rejected.clone(),
                    sources: sources.clone(),
                },
                feed: feed.clone(),
                durability: durability_of_kafka,
                demand: demand_of_kafka,
                status,
                unclean_boot,
            };
            let task = kafka::source::run(dependencies, stop_services.clone());
            Some(ServerTask::new("Kafka", tokio::spawn(task)))
        }
    };
    #[cfg(not(feature = "kafka"))]
    let kafka_task = None;
    let operations = OperationsHandler::new(dead_letters.clone(), panels.clone(), config.settings);
    let metrics = Metrics::new(MetricsSources {
        access: access.clone(),
        connections: connection_tasks.clone(),
        writer: writer.clone(),
        journal: journal.clone(),
        dead_letters,
        panels: panels.clone(),
        explore: explore_stats,
        tails: tails.clone(),
        subscriptions: subscriptions.clone(),
        engine: storage.engine.as_ref().map(|(engine, _)| engine.clone()),
        health: view.clone(),
        kafka: kafka_status,
    });
    let metrics_connection_tasks = ConnectionTasks::default();
    let metrics_server = match metrics_listener {
        Some(listener) => {
            tracing::info!(address = %listener.local_addr()?, "serving /metrics without keys");
            Some(ServerTask::new(
                "metrics",
                tokio::spawn(metrics::serve(
                    listener,
                    metrics.clone(),
                    config.edge.clone(),
                    metrics_connection_tasks.clone(),
                    stop_services.clone(),
                )),
            ))
        }
        None => None,
    };
    let watchdog_writer = writer.clone();
    #[cfg(feature = "kafka")]
    let (writer, kafka_journal_task, producers_server_id) = match config.kafka.journal {
        JournalKind::Disk => (writer, None, server_id.clone()),
        JournalKind::Kafka => {
            let (writer, queue) = writer.with_other_journal();
            let dependencies = JournalDependencies {
                settings: config.kafka.clone(),
                max_request_bytes: config.max_message_bytes,
                recent_event_ids: usize::try_from(config.writer.recent_event_ids)?,
                producer_idle_timeout: std::time::Duration::from_secs(
                    config.writer.producer_idle_hours * 3_600,
                ),
                stats: Arc::clone(writer.stats()),
            };
            let task = kafka::journal::run(dependencies, queue, stop_writer.clone());
            let task = ServerTask::fallible("Kafka journal", tokio::spawn(task));
            // The sequences of producers are those of this process.
            (writer, Some(task), Uuid::new_v4().to_string())
        }
    };
    #[cfg(not(feature = "kafka"))]
    let (kafka_journal_task, producers_server_id) = (None, server_id);
    let ingester = Ingester::new(writer, rules, properties, rejected.clone(), sources.clone());
    let (router, reporter) = server::router(Handlers {
        ingest: IngestHandler::new(ingester.clone(), &producers_server_id, stop_services.clone()),
        ingester,
        dashboard: DashboardHandler::new(
            panels.clone(),
            sql.clone(),
            explore.clone(),
            subscriptions.clone(),
            dashboard_state.clone(),
            stop_services.clone(),
        ),
        panels,
        sql,
        explore,
        people_v1: PeopleHandler::new(people.clone()),
        people,
        insights,
        catalogue,
        dashboard_state,
        events: EventsHandler::new(search, tails, rejected, sources, stop_services.clone()),
        health: HealthHandler::new(view.clone()),
        view: view.clone(),
        admin: AdminHandler::new(key_file),
        operations,
        oidc: oidc.clone(),
        metrics,
        access,
        max_message_bytes: usize::try_from(config.max_message_bytes)?,
        edge: config.edge.clone(),
    });
    let mut tasks = ServerTasks {
        server: ServerTask::new(
            "server",
            tokio::spawn(server::serve(
                listener,
                router,
                config.edge,
                tls,
                connection_tasks.clone(),
                stop_services.clone(),
            )),
        ),
        panel_directory: ServerTask::new("panels folder", panel_directory_task),
        insights: ServerTask::new("insights folder", insights_task),
        properties: ServerTask::new("properties", properties_task),
        people: ServerTask::new("people", people_task),
        catalogue: ServerTask::new("catalogue", catalogue_task),
        keys: ServerTask::new("keys", tokio::spawn(key_file_watcher.run(stop_services.clone()))),
        dashboard_state: ServerTask::new("dashboard state", dashboard_state_task),
        kafka: kafka_task,
        kafka_journal: kafka_journal_task,
        landings: landings_task.map(|task| ServerTask::new("landings", task)),
        tails: ServerTask::new("tails", tokio::spawn(tail_task.run(stop_services.clone()))),
        health: ServerTask::new("health", health_task),
        health_reporter: ServerTask::new(
            "health reporter",
            tokio::spawn(server::report_health(reporter, view, stop_services.clone())),
        ),
        metrics_server,
        oidc: oidc
            .map(|oidc| ServerTask::new("OpenID Connect", tokio::spawn(oidc.run(stop_services.clone())))),
        deferred_schema,
        writer: ServerTask::new("writer", writer_task),
        engine: match (storage.engine, storage.replicas_task) {
            (Some((_, task)), _) => Some(ServerTask::new("engine", task)),
            (_, Some(task)) => Some(ServerTask::new("replicas", task)),
            _ => None,
        },
    };
    let service_manager = ServiceManager::from_environment();
    let _watchdog = service_manager.start_watchdog(move || is_writer_running(watchdog_writer.stats()));
    service_manager.notify("READY=1");
    tracing::info!(%address, data_dir = %config.data_dir.display(), "millrace is ready");

    tokio::select! {
        () = signals.recv() => {}
        // Nothing would do the work of that task any more. Everything acknowledged is in the journal.
        error = tasks.first_exit() => {
            stop_engine.cancel();
            if let Some(engine) = tasks.engine.filter(|engine| engine.name != error.name) {
                tokio::time::timeout(config.shutdown_grace, engine.join()).await.ok();
            }
            return Err(error.into());
        }
    }
    service_manager.notify("STOPPING=1");
    tracing::info!(
        grace_ms = config.shutdown_grace.as_millis(),
        "stopping; a second signal exits immediately"
    );
    let drained = async {
        let mut clean = true;
        stop_services.cancel();
        let services = [
            tasks.server,
            tasks.panel_directory,
            tasks.insights,
            tasks.properties,
            tasks.people,
            tasks.catalogue,
            tasks.keys,
            tasks.dashboard_state,
            tasks.tails,
            tasks.health,
            tasks.health_reporter,
        ];
        for task in services
            .into_iter()
            .chain(tasks.kafka)
            .chain(tasks.deferred_schema)
            .chain(tasks.metrics_server)
            .chain(tasks.oidc)
            .chain(tasks.landings)
        {
            clean &= task.join().await;
        }
        subscriptions.join().await;
        stop_writer.cancel();
        if let Some(kafka_journal) = tasks.kafka_journal {
            clean &= kafka_journal.join().await;
        }
        clean &= tasks.writer.join().await;
        if let Err(error) = journal.close().await {
            tracing::error!(%error, "journal could not be closed");
            clean = false;
        }
        stop_engine.cancel();
        if let Some(engine) = tasks.engine {
            clean &= engine.join().await;
        }
        // Calls that outlived the server's own grace period could wait for the writer until here.
        connection_tasks.close().await;
        metrics_connection_tasks.close().await;
        clean
    };
    tokio::select! {
        result = tokio::time::timeout(config.shutdown_grace, drained) => match result {
            Ok(true) => tracing::info!("stopped"),
            Ok(false) => bail!("a task failed during the shutdown; the remaining events are in the journal"),
            Err(_) => tracing::warn!("stopped after the grace period; the remaining events are in the journal"),
        },
        () = signals.recv() => tracing::warn!("stopped by a second signal; the remaining events are in the journal"),
    }
    Ok(())
}

/// The proxies that may name people, and what the groups of those people are granted.
fn trusted_proxies(edge: &EdgeConfig, people: Option<&People>) -> anyhow::Result<Option<TrustedProxies>> {
    let proxies = TrustedProxies::new(&edge.trusted_header, &edge.trusted_proxies)?;
    let groups = people.and_then(|people| Some((people.groups_header.clone()?, Arc::clone(&people.grants))));
    match (proxies, groups) {
        (Some(proxies), Some((header, grants))) => Ok(Some(proxies.with_groups(header, grants))),
        (None, Some(_)) => Err(PeopleFileError::NoTrustedHeader.into()),
        (proxies, None) => Ok(proxies),
    }
}

/// A task that runs until its token is cancelled. An earlier end is a fault.
struct ServerTask {
    name: &'static str,
    /// The outcome of the task.
    ended: Pin<Box<dyn Future<Output = Result<(), String>> + Send>>,
}

impl ServerTask {
    fn new(name: &'static str, handle: JoinHandle<()>) -> Self {
        Self { name, ended: Box::pin(async { handle.await.map_err(|error| error.to_string()) }) }
    }

    /// A task that may end with an error.
    #[cfg(feature = "kafka")]
    fn fallible(name: &'static str, handle: JoinHandle<Result<(), String>>) -> Self {
        let ended = async { handle.await.unwrap_or_else(|error| Err(error.to_string())) };
        Self { name, ended: Box::pin(ended) }
    }

    /// Waits for the task to end. Returns false if it failed.
    async fn join(self) -> bool {
        let ended = self.ended.await;
        match &ended {
            Ok(()) => tracing::debug!(task = self.name, "task ended"),
            Err(error) => tracing::error!(task = self.name, %error, "task failed"),
        }
        ended.is_ok()
    }
}

/// Every task that the server needs. It stops if any of them ends.
struct ServerTasks {
    server: ServerTask,
    panel_directory: ServerTask,
    insights: ServerTask,
    properties: ServerTask,
    people: ServerTask,
    catalogue: ServerTask,
    keys: ServerTask,
    dashboard_state: ServerTask,
    tails: ServerTask,
    /// `None` without KAFKA_BROKERS.
    kafka: Option<ServerTask>,
    /// `None` unless Kafka is the journal.
    kafka_journal: Option<ServerTask>,
    /// `None` with the embedded engine.
    landings: Option<ServerTask>,
    health: ServerTask,
    health_reporter: ServerTask,
    /// `None` without `MILLRACE_METRICS_LISTEN`.
    metrics_server: Option<ServerTask>,
    /// `None` without a provider in `MILLRACE_PEOPLE_FILE`.
    oidc: Option<ServerTask>,
    /// Applies the schema. `None` if that was done at the start.
    deferred_schema: Option<ServerTask>,
    writer: ServerTask,
    /// Of the embedded engine, or of a server's replicas.
    engine: Option<ServerTask>,
}

/// A task ended without being stopped.
#[derive(Debug, thiserror::Error)]
#[error(
    "the {name} task ended unexpectedly ({reason}), so the server stops; acknowledged events are in the journal: start it \
     again, and report this line"
)]
struct TaskExit {
    name: &'static str,
    reason: String,
}

impl ServerTasks {
    /// Waits until a task ends, and returns it.
    async fn first_exit(&mut self) -> TaskExit {
        let Self {
            server,
            panel_directory,
            insights,
            properties,
            people,
            catalogue,
            keys,
            dashboard_state,
            tails,
            kafka,
            kafka_journal,
            landings,
            health,
            health_reporter,
            metrics_server,
            oidc,
            deferred_schema,
            writer,
            engine,
        } = self;
        let tasks = [
            server,
            panel_directory,
            insights,
            properties,
            people,
            catalogue,
            keys,
            dashboard_state,
            tails,
            health,
            health_reporter,
            writer,
        ];
        let optional = [kafka, kafka_journal, landings, metrics_server, oidc, deferred_schema, engine];
        first_exit(tasks.into_iter().chain(optional.into_iter().flatten()).collect()).await
    }
}

async fn first_exit(mut tasks: Vec<&mut ServerTask>) -> TaskExit {
    std::future::poll_fn(|cx| {
        for task in &mut tasks {
            if let Poll::Ready(ended) = task.ended.as_mut().poll(cx) {
                let reason = ended.map_or_else(|error| error, |()| "without an error".to_owned());
                return Poll::Ready(TaskExit { name: task.name, reason });
            }
        }
        Poll::Pending
    })
    .await
}

/// Reads the whole journal of a server, and opens it for appending only if every record could be read.
pub(super) async fn open_journal(
    data_dir: &Path,
    server: ServerNumber,
    journal: &JournalSettings,
    writer: &WriterConfig,
) -> anyhow::Result<(Journal, RecoveredState)> {
    let folder = data_dir.join("journal");
    let journal = JournalConfig {
        max_bytes: journal.journal_max_bytes,
        reserve_bytes: writer::journal_reserve_bytes(writer),
        ..Default::default()
    };
    let limits = writer::batch_limits(writer);
    let recent_event_ids = usize::try_from(writer.recent_event_ids)?;
    let opening = tokio::task::spawn_blocking(move || {
        let (scanned, recovery) = Journal::scan(&folder, journal)?;
        let recovered = writer::recover(recovery, recent_event_ids, &limits, server)?;
        Ok((scanned.start()?, recovered))
    });
    opening.await?
}

/// ClickHouse, and the supervisor of the engine if it is the embedded one.
pub(super) struct Storage {
    pub(super) shards: Shards,
    /// The same database, or all shards, as the user of panel queries.
    pub(super) panels_clickhouse: ClickHouse,
    /// As the user of queries of Explore.
    pub(super) explore_clickhouse: ClickHouse,
    pub(super) engine: Option<(EngineHandle, JoinHandle<()>)>,
    /// Of each shard; empty with the embedded engine.
    pub(super) replicas: Vec<Replicas>,
    /// Watches the replicas. `None` with the embedded engine.
    pub(super) replicas_task: Option<JoinHandle<()>>,
}

/// Connects to the configured ClickHouse server, or starts the embedded engine. `properties` are the applied ones. `stop`
/// stops the engine.
pub(super) async fn connect_storage(
    config: &ClickHouseConfig,
    data_dir: &Path,
    properties: watch::Receiver<Arc<Properties>>,
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
        let clickhouse = ClickHouse::new(engine.endpoint(), &database)
            .with_restart_requests(engine.restart_requests())
            .with_rollup(properties, config.rollup_values);
        let panels_clickhouse = ClickHouse::new(engine.panels_endpoint(), &database);
        let explore_clickhouse = ClickHouse::new(engine.explore_endpoint(), &database);
        return Ok(Storage {
            shards: clickhouse.into(),
            panels_clickhouse,
            explore_clickhouse,
            engine: Some((engine, supervisor_task)),
            replicas: Vec::new(),
            replicas_task: None,
        });
    }
    let server_id = server_id::read_or_random(data_dir)?;
    let cluster = config.cluster()?;
    let connect = |endpoint| match config.clickhouse_compression {
        Compression::Lz4 => ClickHouse::new(endpoint, &database).with_compression(),
        Compression::None => ClickHouse::new(endpoint, &database),
    };
    let (mut tasks, mut replicas, mut shards) = (Vec::new(), Vec::new(), Vec::new());
    let mut panels_clickhouse = None;
    for addresses in config.clickhouse_url.shards() {
        // Panels read all shards through the first one.
        let panel_user = if shards.is_empty() { config.panel_credentials()? } else { None };
        let users = [Some(config.credentials()?), panel_user].into_iter().flatten().collect();
        let (task, shard) = ReplicaTask::new(&database, Arc::clone(addresses), users, cluster.is_some())?;
        let mut servers = task.endpoints().into_iter().map(connect);
        let clickhouse = servers.next().expect("has an endpoint per user");
        let clickhouse = clickhouse.with_rollup(properties.clone(), config.rollup_values);
        shards.push(clickhouse.with_server(&server_id, shard.insert_failed()));
        panels_clickhouse = panels_clickhouse.or(servers.next());
        tasks.push(task);
        replicas.push(shard);
    }
    let shards = match (cluster, <[ClickHouse; 1]>::try_from(shards)) {
        (Some(name), shards) => Shards::of_cluster(name, shards.map_or_else(|shards| shards, Vec::from)),
        (None, shards) => {
            let [only] = shards.expect("several shards are a cluster");
            only.into()
        }
    };
    let panels_clickhouse = match panels_clickhouse {
        Some(clickhouse) if cluster.is_some() => cluster::reader(&clickhouse),
        Some(clickhouse) => clickhouse,
        None => shards.reader().clone(),
    };
    let watching = futures_util::future::join_all(tasks.into_iter().map(move |task| task.run(stop.clone())));
    Ok(Storage {
        shards,
        explore_clickhouse: panels_clickhouse.clone(),
        panels_clickhouse,
        engine: None,
        replicas,
        replicas_task: Some(tokio::spawn(async move { drop(watching.await) })),
    })
}

/// How landed batches become safe from a power cut.
pub(super) fn durability(storage: &Storage, data_dir: &Path) -> anyhow::Result<Durability> {
    match storage.engine {
        Some(_) => {
            let folder = clickhouse_dir(data_dir);
            Durability::for_embedded(&folder)
                .with_context(|| format!("{} could not be opened", folder.display()))
        }
        None => Ok(Durability::for_server()),
    }
}

/// Folder of the embedded database.
pub(super) fn clickhouse_dir(data_dir: &Path) -> PathBuf {
    data_dir.join("clickhouse")
}

/// File with the address and the password of the embedded database, for other processes.
pub(super) fn endpoint_file(data_dir: &Path) -> PathBuf {
    data_dir.join("engine.json")
}

/// Creates and locks the data folder. The lock is released when the file is dropped.
pub(super) fn lock_data_dir(data_dir: &Path) -> anyhow::Result<File> {
    let folder = data_dir.display();
    std::fs::create_dir_all(data_dir)
        .with_context(|| format!("MILLRACE_DATA_DIR (--data-dir): {folder} could not be created"))?;
    // Earlier versions created it with the umask's permissions.
    let permissions = std::os::unix::fs::PermissionsExt::from_mode(0o700);
    if let Err(error) = std::fs::set_permissions(data_dir, permissions) {
        tracing::warn!(%error, %folder, "permissions of the data folder could not be restricted");
    }
    let path = data_dir.join("lock");
    let file = File::create(&path).with_context(|| format!("{} could not be created", path.display()))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(std::fs::TryLockError::WouldBlock) => bail!(
            "MILLRACE_DATA_DIR (--data-dir): another millrace uses {folder}; stop it, or choose another folder"
        ),
        Err(std::fs::TryLockError::Error(error)) => {
            Err(error).with_context(|| format!("{} could not be locked", path.display()))
        }
    }
}

/// Applies the schema at once, unless that takes long or is not possible yet: then returns why, for health.
async fn apply_schema(storage: &Storage, retention: RetentionDays) -> Result<Option<String>, SchemaError> {
    let applied = async {
        let clickhouse = storage.shards.first();
        if upgrade::is_needed(clickhouse).await? {
            upgrade::check_space(clickhouse).await?;
            return Ok(Some(upgrade_summary(&UpgradeProgress::default())));
        }
        if storage.engine.is_some() {
            rebuild::recover(clickhouse).await.map_err(SchemaError::RebuildNotCleanedUp)?;
        }
        schema::apply(&storage.shards, retention, &|_| {}).await.map(|_| None)
    };
    match applied.await {
        // An outage of ClickHouse must not fail the start.
        Err(error) if error.may_pass() => {
            tracing::warn!(%error, "the schema is applied later");
            Ok(Some(format!("the schema is not applied yet: {error}; events are kept on disk")))
        }
        applied => applied,
    }
}

/// One line for health.
fn upgrade_summary(progress: &UpgradeProgress) -> String {
    format!(
        "the stored events are being upgraded ({progress}); new events are kept on disk and inserted afterwards, panels are \
         unavailable until then"
    )
}

/// Applies the schema, which may upgrade the tables of an earlier version, and retries until that succeeds. `pending` is
/// `None` from then on.
async fn apply_deferred_schema(
    shards: Shards,
    retention: RetentionDays,
    pending: watch::Sender<Option<String>>,
    stop: CancellationToken,
) {
    loop {
        let bar = UpgradeBar::default();
        let show = |progress: &UpgradeProgress| {
            pending.send_replace(Some(upgrade_summary(progress)));
            if !bar.show(progress) {
                tracing::info!("upgrading the stored events: {progress}");
            }
        };
        let applied = tokio::select! {
            () = stop.cancelled() => return,
            applied = schema::apply(&shards, retention, &show) => applied,
        };
        match applied {
            Ok(_) => {
                tracing::info!("schema applied");
                pending.send_replace(None);
                // A task that ends before it is stopped counts as failed.
                return stop.cancelled().await;
            }
            Err(error) => {
                if !error.may_pass() {
                    tracing::error!(%error, "schema could not be applied; retrying");
                }
                pending.send_replace(Some(format!(
                    "the schema could not be applied, which is retried: {error}; events are kept on disk"
                )));
            }
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(std::time::Duration::from_secs(1)) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_task_that_panics_or_returns_is_reported_by_name() {
        let mut runs = ServerTask::new("writer", tokio::spawn(std::future::pending()));
        let mut panics = ServerTask::new("health", tokio::spawn(async { panic!("test panic") }));
        let error = first_exit(vec![&mut runs, &mut panics]).await.to_string();
        assert!(
            error.starts_with("the health task ended unexpectedly (") && error.contains("test panic"),
            "{error}"
        );
        let mut returns = ServerTask::new("engine", tokio::spawn(async {}));
        let error = first_exit(vec![&mut runs, &mut returns]).await.to_string();
        assert!(error.starts_with("the engine task ended unexpectedly (without an error)"), "{error}");
    }
}

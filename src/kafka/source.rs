//! The source: checks the topic of the seals, joins the consumer group, and has a task for each partition that the group assigns
//! to this server.

use std::collections::HashMap;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext, Rebalance};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::types::RDKafkaErrorCode;
use rdkafka::{Offset, TopicPartitionList};
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::client::{Clients, Logged, REQUEST_TIMEOUT};
use super::journal::largest_message;
use super::journal_topic;
use super::partition::{PartitionTask, Shared};
use super::status::KafkaStatus;
use super::topics;
use crate::blocking::run_blocking;
use crate::clickhouse::shards::Shards;
use crate::clickhouse::{ClickHouse, ClickHouseError};
use crate::config::WriterConfig;
use crate::config::kafka::KafkaConfig;
use crate::ingest::kafka::MessageDecoder;
use crate::writer::durability::Durability;
use crate::writer::feed::Feed;
use crate::writer::{ShardChoice, Writer, batch_limits};

/// Delay before a failed start is repeated.
const RETRY_DELAY: Duration = Duration::from_secs(5);
/// How long a rebalance waits until the partitions that are taken away have landed what was in flight.
const REVOKE_TIMEOUT: Duration = Duration::from_secs(6);
/// How often the ends of the logs are requested.
const LAG_INTERVAL: Duration = Duration::from_secs(5);
/// How often landed batches become durable.
const DURABILITY_INTERVAL: Duration = Duration::from_secs(10);
const POLL_INTERVAL: Duration = Duration::from_millis(100);

const STORE_ID: &str = include_str!("../../queries/kafka/store_id.sql");

/// Settings of the topic of the seals. Segments are small and cleaned soon, since each claim of a partition reads all of them.
const SEALS_SETTINGS: [(&str, &str); 5] = [
    ("cleanup.policy", "compact"),
    ("segment.bytes", "16777216"),
    ("segment.ms", "600000"),
    ("min.cleanable.dirty.ratio", "0.1"),
    ("delete.retention.ms", "3600000"),
];

/// The member of the consumer group.
pub(super) type Member = BaseConsumer<Membership>;

/// Receives what the group assigns.
pub(super) struct Membership {
    changes: mpsc::UnboundedSender<Change>,
    log: Logged,
}

enum Change {
    Assigned(Vec<(String, i32)>),
    /// The sender is dropped when they are released.
    Revoked(Vec<(String, i32)>, std::sync::mpsc::Sender<()>),
}

/// What the source needs of the server.
pub(crate) struct KafkaDependencies {
    pub(crate) settings: KafkaConfig,
    pub(crate) writer_config: WriterConfig,
    /// `MILLRACE_MAX_MESSAGE_BYTES`.
    pub(crate) max_request_bytes: u64,
    pub(crate) shards: Shards,
    pub(crate) choose_shard: ShardChoice,
    pub(crate) writer: Writer,
    pub(crate) decoder: MessageDecoder,
    pub(crate) feed: Feed,
    pub(crate) durability: Durability,
    pub(crate) demand: watch::Receiver<Option<Duration>>,
    pub(crate) status: KafkaStatus,
    pub(crate) unclean_boot: bool,
}

impl ClientContext for Membership {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.log.log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.log.error(error, reason);
    }
}

impl ConsumerContext for Membership {
    fn pre_rebalance(&self, _: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        if let Rebalance::Revoke(list) = rebalance {
            let (released, wait) = std::sync::mpsc::channel();
            // An error means that the source has stopped.
            if self.changes.send(Change::Revoked(partitions(list), released)).is_ok() {
                // The next owner then finds nothing in flight. It fences this one in any case.
                wait.recv_timeout(REVOKE_TIMEOUT).ok();
            }
        }
    }

    fn post_rebalance(&self, member: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        if let Rebalance::Assign(list) = rebalance {
            // Readers of their own read the partitions.
            if let Err(error) = member.pause(list) {
                tracing::warn!(%error, "a partition of the consumer group cannot be paused");
            }
            self.changes.send(Change::Assigned(partitions(list))).ok();
        }
    }
}

fn partitions(list: &TopicPartitionList) -> Vec<(String, i32)> {
    list.elements().iter().map(|element| (element.topic().to_owned(), element.partition())).collect()
}

/// Consumes the topics until `stop`.
pub(crate) async fn run(dependencies: KafkaDependencies, stop: CancellationToken) {
    let started = tokio::select! {
        () = stop.cancelled() => return,
        started = start(dependencies) => started,
    };
    let (shared, changes, durable) = started;
    let stop_polling = CancellationToken::new();
    let mut tasks = JoinSet::new();
    tasks.spawn(poll(Arc::clone(&shared), stop_polling.clone()));
    tasks.spawn(watch_lag(Arc::clone(&shared), stop.clone()));
    tasks.spawn(durable.run(shared.store.stats().landed(), stop.clone()));
    follow_assignment(&shared, changes, &stop).await;
    stop_polling.cancel();
    while let Some(ended) = tasks.join_next().await {
        if let Err(error) = ended {
            std::panic::resume_unwind(error.into_panic());
        }
    }
    // Leaves the group.
    run_blocking(move || drop(shared)).await;
}

/// Retries until ClickHouse and the brokers respond and the topic of the seals can be used.
async fn start(
    dependencies: KafkaDependencies,
) -> (Arc<Shared>, mpsc::UnboundedReceiver<Change>, DurableTask) {
    let KafkaDependencies {
        settings,
        writer_config,
        max_request_bytes,
        shards,
        choose_shard,
        writer,
        decoder,
        feed,
        durability,
        demand,
        status,
        unclean_boot,
    } = dependencies;
    // Nothing else may be inserted before, and the schema is applied then.
    writer.reconciled().cancelled().await;
    let clients = Clients::new(settings);
    let (sender, changes) = mpsc::unbounded_channel();
    let (durable_before, durable) = watch::channel(None);
    let mut told = None;
    let (store_id, member) = loop {
        let started = Instant::now();
        let prepared = async {
            let store_id = store_id(shards.first()).await.map_err(|error| error.to_string())?;
            prepare_seals(&clients).await?;
            if clients.settings.journal_topic().is_some() {
                journal_topic::prepare(&clients, largest_message(max_request_bytes)).await?;
            }
            let topics = clients.settings.topics();
            let member = clients.member(Membership { changes: sender.clone(), log: clients.log.clone() });
            let member = member.and_then(|member| member.subscribe(&topics).map(|()| member));
            Ok::<_, String>((store_id, member.map_err(|error| error.to_string())?))
        };
        match prepared.await {
            Ok(prepared) => break prepared,
            Err(error) => {
                let error =
                    Some(format!("nothing is consumed from Kafka: {}", clients.explain(error, started)));
                if told != error {
                    tracing::error!("{}", error.as_deref().unwrap_or_default());
                    told.clone_from(&error);
                }
                status.set_error(error);
            }
        }
        tokio::time::sleep(RETRY_DELAY).await;
    };
    status.set_error(None);
    tracing::info!(
        topics = clients.settings.topics().join(","),
        group = clients.settings.kafka_group,
        "consuming Kafka"
    );
    let shared = Shared {
        clients,
        member: Arc::new(member),
        store: writer.store().clone(),
        shards,
        choose_shard: Mutex::new(choose_shard),
        store_id,
        unlanded: writer.unlanded_batches().clone(),
        decoder,
        copies: writer.copies(),
        feed,
        status,
        limits: batch_limits(&writer_config),
        max_buffer_bytes: writer_config.max_buffer_bytes,
        demand,
        inserts: Arc::new(Semaphore::new(writer_config.inserts_in_flight())),
        durable_before: durable,
        owned: Default::default(),
        unclean_boot,
    };
    (Arc::new(shared), changes, DurableTask { durability, durable_before })
}

/// What identifies ClickHouse's database.
async fn store_id(clickhouse: &ClickHouse) -> Result<Uuid, ClickHouseError> {
    let query = clickhouse.client()?.query_raw(STORE_ID).param("database", clickhouse.database());
    let id: String = query.fetch_one().await?;
    let id = Uuid::try_parse(&id).unwrap_or_default();
    // A database of the old kind, whose tables have none.
    let is_old = id.is_nil();
    Ok(if is_old { Uuid::new_v5(&Uuid::NAMESPACE_OID, clickhouse.database().as_bytes()) } else { id })
}

/// Checks the topic of the seals, and creates it if it is missing and nothing was consumed yet.
async fn prepare_seals(clients: &Clients) -> Result<(), String> {
    let name = clients.settings.kafka_seals_topic.clone();
    let partitions = {
        let clients = clients.clone();
        run_blocking(move || seals_partitions(&clients)).await.map_err(|error| error.to_string())?
    };
    match partitions {
        SealsTopic::Missing => {
            topics::create(clients, &name, "the seals", 1, &SEALS_SETTINGS).await?;
            topics::wait_until_known(&name, || async {
                let clients = clients.clone();
                let found = run_blocking(move || seals_partitions(&clients)).await;
                matches!(found, Ok(SealsTopic::Partitions(_))).then_some(())
            })
            .await
        }
        SealsTopic::Lost => Err(format!(
            "the topic {name} is missing, but the group {} has consumed before: restore it, or use another KAFKA_SEALS_TOPIC and \
             KAFKA_GROUP to begin with the first messages",
            clients.settings.kafka_group
        )),
        SealsTopic::Partitions(1) => {
            let described = topics::describe(clients, &name).await?;
            let policy = described.get("cleanup.policy").and_then(|entry| entry.value.clone());
            match policy.as_deref() {
                Some("compact") => Ok(()),
                policy => Err(format!(
                    "the topic {name} has cleanup.policy={}, so that Kafka would delete seals: set it to compact",
                    policy.unwrap_or("?")
                )),
            }
        }
        SealsTopic::Partitions(count) => Err(format!(
            "the topic {name} has {count} partitions; it must have one: use another KAFKA_SEALS_TOPIC, or create it again if nothing \
             was consumed with it"
        )),
    }
}

enum SealsTopic {
    Partitions(usize),
    /// It was never there.
    Missing,
    /// It is missing, and was there.
    Lost,
}

fn seals_partitions(clients: &Clients) -> KafkaResult<SealsTopic> {
    let requester = clients.requester()?;
    let name = &clients.settings.kafka_seals_topic;
    let metadata = requester.fetch_metadata(Some(name), REQUEST_TIMEOUT)?;
    let found = metadata.topics().iter().find(|topic| topic.name() == name);
    if let Some(topic) = found.filter(|topic| topic.error().is_none() && !topic.partitions().is_empty()) {
        return Ok(SealsTopic::Partitions(topic.partitions().len()));
    }
    let mut wanted = TopicPartitionList::new();
    for topic in clients.settings.topics() {
        let metadata = requester.fetch_metadata(Some(topic), REQUEST_TIMEOUT)?;
        let partitions = metadata.topics().iter().flat_map(|topic| topic.partitions());
        for partition in partitions {
            wanted.add_partition(topic, partition.id());
        }
    }
    if wanted.count() == 0 {
        return Ok(SealsTopic::Missing);
    }
    let committed = requester.committed_offsets(wanted, REQUEST_TIMEOUT)?;
    let is_known = |offset| matches!(offset, Offset::Offset(_));
    let was_consumed = committed.elements().iter().any(|element| is_known(element.offset()));
    Ok(if was_consumed { SealsTopic::Lost } else { SealsTopic::Missing })
}

/// Keeps the membership alive.
async fn poll(shared: Arc<Shared>, stop: CancellationToken) {
    run_blocking(move || {
        let mut told = None;
        while !stop.is_cancelled() {
            // Its partitions are paused: there are errors only.
            let Some(Err(error)) = shared.member.poll(POLL_INTERVAL) else { continue };
            if told.as_ref() != Some(&error) && !super::claim::is_temporary(&error) {
                tracing::warn!(%error, "consumer group");
                told = Some(error);
            }
        }
    })
    .await;
}

/// Starts and stops the tasks of partitions.
async fn follow_assignment(
    shared: &Arc<Shared>,
    mut changes: mpsc::UnboundedReceiver<Change>,
    stop: &CancellationToken,
) {
    let mut running: HashMap<(String, i32), (CancellationToken, JoinHandle<()>)> = HashMap::new();
    // Partitions that were taken away, until their tasks have ended.
    let mut ending = JoinSet::new();
    loop {
        let change = tokio::select! {
            () = stop.cancelled() => break,
            Some(ended) = ending.join_next() => {
                let ended: Result<(), tokio::task::JoinError> = ended;
                if let Err(error) = ended {
                    std::panic::resume_unwind(error.into_panic());
                }
                continue;
            }
            change = changes.recv() => change,
        };
        match change {
            Some(Change::Assigned(partitions)) => {
                for (topic, partition) in partitions {
                    let stop = CancellationToken::new();
                    let task = PartitionTask {
                        shared: Arc::clone(shared),
                        topic: topic.as_str().into(),
                        partition,
                        stop: stop.clone(),
                    };
                    tracing::debug!(topic, partition, "partition assigned");
                    let replaced = running.insert((topic, partition), (stop, tokio::spawn(task.run())));
                    if let Some((stop, task)) = replaced {
                        stop.cancel();
                        ending.spawn(end(task));
                    }
                }
            }
            Some(Change::Revoked(partitions, released)) => {
                let tasks: Vec<_> =
                    partitions.into_iter().filter_map(|partition| running.remove(&partition)).collect();
                for (stop, _) in &tasks {
                    stop.cancel();
                }
                ending.spawn(async move {
                    for (_, task) in tasks {
                        end(task).await;
                    }
                    drop(released);
                });
            }
            // The member has a sender.
            None => break,
        }
        shared.owned.store(running.len() as u64, Relaxed);
    }
    for (stop, _) in running.values() {
        stop.cancel();
    }
    for (_, task) in running.into_values() {
        end(task).await;
    }
    while let Some(ended) = ending.join_next().await {
        if let Err(error) = ended {
            std::panic::resume_unwind(error.into_panic());
        }
    }
}

async fn end(task: JoinHandle<()>) {
    if let Err(error) = task.await {
        // Nothing aborts it.
        std::panic::resume_unwind(error.into_panic());
    }
}

/// Requests the ends of the logs.
async fn watch_lag(shared: Arc<Shared>, stop: CancellationToken) {
    let mut ticks = tokio::time::interval(LAG_INTERVAL);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut succeeded = Instant::now();
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = ticks.tick() => {}
        }
        let known = shared.status.current().partitions;
        let requests = {
            let shared = Arc::clone(&shared);
            run_blocking(move || {
                let mut error = None;
                for (topic, partition) in known.into_keys() {
                    match shared.member.client().fetch_watermarks(&topic, partition, REQUEST_TIMEOUT) {
                        Ok((_, end)) => {
                            let end = Some(end);
                            shared.status.update_known(&topic, partition, |status| status.end = end);
                        }
                        Err(failed) => {
                            error = Some(failed.to_string());
                            break;
                        }
                    }
                }
                if error.is_none() {
                    error = missing_topic(&shared);
                }
                error
            })
        };
        let error = tokio::select! {
            () = stop.cancelled() => return,
            error = requests => error,
        };
        if error.is_none() {
            succeeded = Instant::now();
        }
        let explain =
            |error| format!("Kafka cannot be consumed: {}", shared.clients.explain(error, succeeded));
        let error = error.map(explain);
        shared.status.set_error(error);
    }
}

/// An error if a topic does not exist.
fn missing_topic(shared: &Shared) -> Option<String> {
    shared.clients.settings.topics().into_iter().find_map(|topic| {
        match shared.member.fetch_metadata(Some(topic), REQUEST_TIMEOUT) {
            Err(error) => Some(error.to_string()),
            Ok(metadata) => {
                let error = RDKafkaErrorCode::from(metadata.topics().first()?.error()?);
                Some(format!("topic {topic}: {error}"))
            }
        }
    })
}

/// Makes what has landed durable, for all partitions at once.
struct DurableTask {
    durability: Durability,
    durable_before: watch::Sender<Option<Instant>>,
}

impl DurableTask {
    async fn run(self, mut landed: watch::Receiver<u64>, stop: CancellationToken) {
        let work = async {
            loop {
                let started = Instant::now();
                match self.durability.clone().wait_until_durable().await {
                    Ok(()) => {
                        self.durable_before.send_replace(Some(started));
                    }
                    Err(error) => {
                        tracing::error!(%error, "cannot sync ClickHouse's files; landed batches of Kafka stay sealed");
                    }
                }
                tokio::time::sleep(DURABILITY_INTERVAL).await;
                if landed.changed().await.is_err() {
                    return std::future::pending().await;
                }
            }
        };
        tokio::select! {
            () = stop.cancelled() => {}
            () = work => {}
        }
    }
}

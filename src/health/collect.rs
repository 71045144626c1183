//! Collects the health of all parts into one message.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::freshness::RecentFreshness;
use super::storage::StorageProbe;
use crate::clickhouse::replicas::{ReplicaState, Replicas};
use crate::clickhouse::shards::Shards;
use crate::clickhouse::{requirements, within};
use crate::engine::EngineHandle;
use crate::journal::Journal;
use crate::kafka::status::KafkaStatus;
use crate::proto::{self, v1};
use crate::writer::dead_letter::{DeadLetterSummary, DeadLetters};
use crate::writer::{Writer, WriterStats};
use v1::Status;

/// How often health is collected.
const COLLECT_INTERVAL: Duration = Duration::from_secs(1);
/// ClickHouse counts as unreachable if it does not respond within this time.
const PING_TIMEOUT: Duration = Duration::from_secs(2);

/// The writer counts as stalled after this time without a heartbeat. It sends one every half second.
const WRITER_STALLED_AFTER: Duration = Duration::from_secs(15);

/// The parts that health is collected from.
pub(crate) struct HealthSources {
    pub shards: Shards,
    /// `None` with `CLICKHOUSE_URL`.
    pub engine: Option<EngineHandle>,
    /// `None` with the embedded engine.
    pub replicas: Vec<Replicas>,
    pub writer: Writer,
    pub journal: Journal,
    pub dead_letters: DeadLetters,
    /// Why the file of keys cannot be used; empty if it can.
    pub keys_problem: watch::Receiver<String>,
    /// Why the certificate cannot be replaced; empty if it can. `None` without TLS.
    pub tls_problem: Option<watch::Receiver<String>>,
    /// Why people cannot log in at their provider; empty if they can. `None` without one.
    pub oidc_problem: Option<watch::Receiver<String>>,
    /// `None` without KAFKA_BROKERS.
    pub kafka: Option<KafkaStatus>,
    /// Why the schema is not applied yet.
    pub schema_pending: watch::Receiver<Option<String>>,
}

/// The health that was last collected, with current counters. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct HealthView {
    latest: watch::Receiver<v1::Health>,
    writer: Writer,
}

impl HealthView {
    /// The latest health.
    pub(crate) fn current(&self) -> v1::Health {
        let mut health = self.latest.borrow().clone();
        let stats = self.writer.stats();
        set_counters(&mut health, stats);
        // The collector does the same, but may hang together with the writer.
        report_writer_stall(&mut health, stats);
        health
    }

    /// Changes each time health is collected.
    pub(crate) fn subscribe(&self) -> watch::Receiver<v1::Health> {
        self.latest.clone()
    }
}

/// Whether the writer's task has run lately. If it hangs, only a restart of the server helps.
pub(crate) fn is_writer_running(stats: &WriterStats) -> bool {
    stats.time_since_heartbeat() <= WRITER_STALLED_AFTER
}

/// Sets the status to down if the writer has stalled.
fn report_writer_stall(health: &mut v1::Health, stats: &WriterStats) {
    let time_since_heartbeat = stats.time_since_heartbeat();
    if !is_writer_running(stats) {
        health.status = Status::Down.into();
        health.summary = format!(
            "no events are accepted: the writer has not run for {} s; restart the server, acknowledged events are kept",
            time_since_heartbeat.as_secs()
        );
    }
}

/// Sets the fields that are cheap enough to read on each request.
fn set_counters(health: &mut v1::Health, stats: &WriterStats) {
    health.buffer_size = stats.unlanded();
    health.last_flush = stats.last_flush_ms().map(proto::timestamp_from_millis);
    health.events_accepted = stats.accepted();
    health.events_rejected = stats.rejected();
    health.events_duplicate = stats.duplicates();
    health.events_inserted = stats.inserted();
}

/// Collects health periodically.
pub(crate) struct HealthCollector {
    sources: HealthSources,
    started: Instant,
    /// As of ClickHouse's last response; empty before the first.
    clickhouse_version: String,
    freshness: RecentFreshness,
    storage: StorageProbe,
    /// What ClickHouse lacks.
    problems: Vec<String>,
    state: watch::Sender<v1::Health>,
}

impl HealthCollector {
    /// Collects health once, and returns the view for its readers.
    pub(crate) async fn start(sources: HealthSources) -> (Self, HealthView) {
        let (state, latest) = watch::channel(v1::Health::default());
        let view = HealthView { latest, writer: sources.writer.clone() };
        let mut collector = Self {
            sources,
            started: Instant::now(),
            clickhouse_version: String::new(),
            freshness: RecentFreshness::default(),
            storage: StorageProbe::default(),
            problems: Vec::new(),
            state,
        };
        collector.collect().await;
        (collector, view)
    }

    /// Collects health every second until `stop` is cancelled.
    pub(crate) async fn run(mut self, stop: CancellationToken) {
        let mut ticks = tokio::time::interval(COLLECT_INTERVAL);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut endpoint = self.sources.shards.first().endpoint();
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                // The engine has died or restarted. With CLICKHOUSE_URL the endpoint never changes.
                Ok(()) = endpoint.changed() => {}
                _ = ticks.tick() => {}
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.collect() => {}
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.probe_storage() => {}
            }
        }
    }

    async fn collect(&mut self) {
        let clickhouse = self.collect_clickhouse().await;
        // From the index in memory, without reading the folder.
        let letters = self.sources.dead_letters.summary();
        let dead_letters = dead_letter_health(&letters);
        let stats = self.sources.writer.stats();
        let freshness = self.freshness.update(Instant::now(), &stats.freshness.snapshot());
        let journal = self.sources.journal.stats();
        let journal = v1::JournalHealth {
            durable: journal.durable,
            bytes: journal.disk_bytes,
            max_bytes: journal.max_bytes,
            error: journal
                .last_error
                .filter(|_| !journal.durable)
                .or_else(|| stats.refusal())
                .unwrap_or_default(),
        };
        let (mut status, mut summary) = status_of(
            &clickhouse,
            &journal,
            &dead_letters,
            self.sources.schema_pending.borrow().clone(),
            stats.insert_error(),
            stats.sync_error(),
            stats.journal_damage(),
        );
        let keys_problem = self.sources.keys_problem.borrow().clone();
        if status == Status::Ok && !keys_problem.is_empty() {
            (status, summary) = (Status::Degraded, format!("keys cannot be reloaded: {keys_problem}"));
        }
        let tls_problem = self.sources.tls_problem.as_ref().map(|problem| problem.borrow().clone());
        if let Some(problem) = tls_problem.filter(|problem| status == Status::Ok && !problem.is_empty()) {
            (status, summary) = (Status::Degraded, format!("the certificate cannot be replaced: {problem}"));
        }
        let oidc_problem = self.sources.oidc_problem.as_ref().map(|problem| problem.borrow().clone());
        if let Some(problem) = oidc_problem.filter(|problem| status == Status::Ok && !problem.is_empty()) {
            (status, summary) =
                (Status::Degraded, format!("people cannot log in: {problem}; it is tried again"));
        }
        let kafka_problem = self.sources.kafka.as_ref().and_then(KafkaStatus::problem);
        if let Some(problem) = kafka_problem.filter(|_| status == Status::Ok) {
            (status, summary) = (Status::Degraded, problem);
        }
        let mut health = v1::Health {
            status: status.into(),
            summary,
            journal: Some(journal),
            dead_letters: Some(dead_letters),
            clickhouse: Some(clickhouse),
            uptime: prost_types::Duration::try_from(self.started.elapsed()).ok(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            oldest_unlanded: stats.oldest_unlanded_ms(&letters).map(proto::timestamp_from_millis),
            freshness,
            storage: self.storage.health(),
            kafka: self.sources.kafka.as_ref().map(kafka_health),
            ..v1::Health::default()
        };
        set_counters(&mut health, stats);
        report_writer_stall(&mut health, stats);
        let previous = self.state.send_replace(health);
        self.log_change(&previous);
    }

    /// Logs changes of status or summary.
    fn log_change(&self, previous: &v1::Health) {
        let now = self.state.borrow();
        if (now.status, &now.summary) == (previous.status, &previous.summary) {
            return;
        }
        match now.status() {
            Status::Ok => tracing::info!("health: ok"),
            status => tracing::warn!(status = status.as_str_name(), "health: {}", now.summary),
        }
    }

    async fn collect_clickhouse(&mut self) -> v1::ClickHouseHealth {
        let engine = self.sources.engine.as_ref();
        let error = match tokio::time::timeout(PING_TIMEOUT, self.sources.shards.first().version()).await {
            Ok(Ok(version)) => {
                self.clickhouse_version = version;
                None
            }
            Ok(Err(error)) => Some(error.to_string()),
            Err(_) => Some(format!("ClickHouse did not respond within {} s", PING_TIMEOUT.as_secs())),
        };
        // The supervisor knows better why its engine does not respond.
        let error = error.map(|error| engine.and_then(EngineHandle::last_error).unwrap_or(error));
        v1::ClickHouseHealth {
            reachable: error.is_none(),
            embedded: engine.is_some(),
            version: self.clickhouse_version.clone(),
            error: error.unwrap_or_default(),
            engine_restarts: engine.map_or(0, EngineHandle::restarts),
            engine_sandbox: engine
                .and_then(EngineHandle::confinement)
                .map_or_else(String::new, |confinement| confinement.to_string()),
            problems: self.problems.clone(),
            replicas: self.sources.replicas.iter().flat_map(Replicas::states).map(replica_health).collect(),
        }
    }

    /// Both are in the health that is collected next. The sizes are not part of the status: without them everything works.
    async fn probe_storage(&mut self) {
        let now = Instant::now();
        let is_reachable =
            self.state.borrow().clickhouse.as_ref().is_some_and(|clickhouse| clickhouse.reachable);
        if !is_reachable || !self.storage.is_due(now) {
            return;
        }
        let asked = within(PING_TIMEOUT, self.storage.ask(&self.sources.shards, now)).await;
        if let Err(error) = asked {
            tracing::warn!(%error, "the size of the tables cannot be determined");
        }
        // Shards usually lack the same.
        let mut problems = BTreeSet::new();
        for shard in self.sources.shards.iter() {
            match within(PING_TIMEOUT, requirements::problems(shard)).await {
                Ok(found) => problems.extend(found),
                // Inserts say what is wrong.
                Err(error) => {
                    tracing::warn!(%error, "whether ClickHouse deduplicates inserts cannot be determined");
                    return;
                }
            }
        }
        self.problems = problems.into_iter().collect();
    }
}

fn replica_health(ReplicaState { address, is_used, version, error }: ReplicaState) -> v1::ClickHouseReplica {
    v1::ClickHouseReplica { address, used: is_used, version, error }
}

fn kafka_health(kafka: &KafkaStatus) -> v1::KafkaHealth {
    let state = kafka.current();
    let partitions = state.partitions.into_iter().map(|((topic, partition), status)| v1::KafkaPartition {
        lag_messages: status.lag(),
        oldest_unlanded: status.oldest_ms.map(proto::timestamp_from_millis),
        error: status.stopped.unwrap_or_default(),
        topic,
        partition,
    });
    v1::KafkaHealth { partitions: partitions.collect(), error: state.error.unwrap_or_default() }
}

fn dead_letter_health(letters: &DeadLetterSummary) -> v1::DeadLetterHealth {
    v1::DeadLetterHealth {
        batches: letters.letters,
        events: letters.events,
        refused_batches: letters.rejected,
        error: letters.problem.clone().unwrap_or_default(),
        last_error: letters.last_error.clone().unwrap_or_default(),
    }
}

/// The worst status of all parts, and one line for the person on call: the most severe fault and what to do.
fn status_of(
    clickhouse: &v1::ClickHouseHealth,
    journal: &v1::JournalHealth,
    dead_letters: &v1::DeadLetterHealth,
    schema_pending: Option<String>,
    insert_error: Option<String>,
    sync_error: Option<String>,
    journal_damage: Option<String>,
) -> (Status, String) {
    if !journal.durable || !journal.error.is_empty() {
        let line = format!("no events are accepted: {}", journal.error);
        return (Status::Down, line);
    }
    if !clickhouse.reachable {
        let line = format!(
            "ClickHouse is unreachable: {}; events are kept on disk, panels are unavailable; check that it is running",
            clickhouse.error
        );
        return (Status::Degraded, line);
    }
    if let Some(line) = schema_pending {
        return (Status::Degraded, line);
    }
    if let Some(problem) = clickhouse.problems.first() {
        return (Status::Degraded, format!("events may be counted twice or lost: {problem}"));
    }
    if !dead_letters.error.is_empty() {
        let line = format!(
            "dead letters cannot be read: {}; they may contain events; the others are replayed",
            dead_letters.error
        );
        return (Status::Degraded, line);
    }
    if dead_letters.refused_batches > 0 {
        let line = format!(
            "{} dead-lettered batches need your attention: ClickHouse rejects them, or 24 attempts failed; see `millrace \
             dead-letters list`, fix the cause, then run `millrace dead-letters replay`",
            dead_letters.refused_batches
        );
        return (Status::Degraded, line);
    }
    if let Some(error) = insert_error {
        return (
            Status::Degraded,
            format!(
                "inserts fail: {error}; events are kept on disk and inserted when ClickHouse accepts them; check its log, load and disk"
            ),
        );
    }
    if dead_letters.batches > 0 {
        let mut line = format!(
            "{} batches ({} events) could not be inserted and are being replayed",
            dead_letters.batches, dead_letters.events
        );
        if !dead_letters.last_error.is_empty() {
            line = format!("{line}; the last attempt failed: {}", dead_letters.last_error);
        }
        return (Status::Degraded, line);
    }
    if let Some(error) = sync_error {
        let line = format!(
            "ClickHouse's files could not be synced: {error}; landed events stay in the journal; check the disk, then \
             restart the server, which reconciles the two"
        );
        return (Status::Degraded, line);
    }
    if let Some(damage) = journal_damage {
        let line = format!(
            "the journal was damaged when the server started: {damage}; check the disk; the next restart clears this \
             message"
        );
        return (Status::Degraded, line);
    }
    if let Some(replica) = clickhouse.replicas.iter().find(|replica| !replica.error.is_empty()) {
        let line = format!("the replica {} of ClickHouse cannot be used: {}", replica.address, replica.error);
        return (Status::Degraded, line);
    }
    (Status::Ok, "ok".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status_with(
        reachable: bool,
        journal_error: &str,
        letters: (u64, u64),
        insert_error: Option<&str>,
    ) -> (Status, String) {
        status_of(
            &v1::ClickHouseHealth { reachable, error: "refused".into(), ..Default::default() },
            &v1::JournalHealth { durable: true, error: journal_error.into(), ..Default::default() },
            &v1::DeadLetterHealth {
                batches: letters.0,
                events: 9,
                refused_batches: letters.1,
                ..Default::default()
            },
            None,
            insert_error.map(str::to_owned),
            None,
            None,
        )
    }

    #[test]
    fn the_most_severe_fault_is_reported_first() {
        assert_eq!(status_with(true, "", (0, 0), None), (Status::Ok, "ok".into()));
        assert_eq!(status_with(false, "disk full", (2, 1), Some("x")).0, Status::Down);
        let (status, line) = status_with(false, "", (2, 1), Some("x"));
        assert!(status == Status::Degraded && line.contains("unreachable: refused"), "{line}");
        assert!(status_with(true, "", (2, 1), Some("x")).1.contains("1 dead-lettered batches need"));
        assert!(status_with(true, "", (2, 0), Some("timeout")).1.contains("inserts fail: timeout"));
        assert!(status_with(true, "", (2, 0), None).1.contains("2 batches (9 events)"));
    }

    #[test]
    fn a_journal_that_accepts_nothing_is_down_with_or_without_an_error() {
        let clickhouse = v1::ClickHouseHealth { reachable: true, ..Default::default() };
        for error in ["", "the journal's thread has panicked"] {
            let journal = v1::JournalHealth { durable: false, error: error.into(), ..Default::default() };
            let (status, line) =
                status_of(&clickhouse, &journal, &v1::DeadLetterHealth::default(), None, None, None, None);
            assert_eq!((status, line), (Status::Down, format!("no events are accepted: {error}")));
        }
    }

    #[test]
    fn an_upgrade_is_in_the_summary() {
        let clickhouse = v1::ClickHouseHealth { reachable: true, ..Default::default() };
        let journal = v1::JournalHealth { durable: true, ..Default::default() };
        let (letters, line) = (v1::DeadLetterHealth::default(), "1 of 14 weeks".to_owned());
        let status = status_of(&clickhouse, &journal, &letters, Some(line.clone()), None, None, None);
        assert_eq!(status, (Status::Degraded, line));
    }

    #[test]
    fn dead_letter_errors_are_in_the_summary() {
        let status_with = |letters: v1::DeadLetterHealth| {
            let clickhouse = v1::ClickHouseHealth { reachable: true, ..Default::default() };
            let journal = v1::JournalHealth { durable: true, ..Default::default() };
            status_of(&clickhouse, &journal, &letters, None, None, None, None)
        };
        let unreadable = v1::DeadLetterHealth { error: "x.json: EOF".into(), ..Default::default() };
        let (status, line) = status_with(unreadable);
        assert!(status == Status::Degraded && line.contains("cannot be read: x.json: EOF"), "{line}");
        let waiting =
            v1::DeadLetterHealth { batches: 1, last_error: "READONLY".into(), ..Default::default() };
        assert!(status_with(waiting).1.ends_with("the last attempt failed: READONLY"));
    }
}

//! The figures of the server for Prometheus, in its text format: `GET /metrics`.
//!
//! The parts count, this module reads. A label has few values, which the program or its configuration makes: no sender and
//! no viewer can add one. docs/metrics.md lists all metrics, and a test compares it.

mod http;
mod text;

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{SystemTime, UNIX_EPOCH};

pub(crate) use http::{add_routes, listen, serve};

use crate::access::AccessControl;
use crate::edge::ConnectionTasks;
use crate::engine::{EngineHandle, memory};
use crate::events::Tails;
use crate::explore::runner::ExploreStats;
use crate::health::HealthView;
use crate::journal::Journal;
use crate::kafka::status::KafkaStatus;
use crate::live::Subscriptions;
use crate::panels::Panels;
use crate::proto::v1;
use crate::writer::Writer;
use crate::writer::dead_letter::DeadLetters;
use text::{Kind::Counter, Kind::Gauge, TextEncoder};

/// The parts that metrics are read from.
pub(crate) struct MetricsSources {
    pub(crate) access: AccessControl,
    pub(crate) connections: ConnectionTasks,
    pub(crate) writer: Writer,
    pub(crate) journal: Journal,
    pub(crate) dead_letters: DeadLetters,
    pub(crate) panels: Panels,
    pub(crate) explore: Arc<ExploreStats>,
    pub(crate) tails: Tails,
    pub(crate) subscriptions: Subscriptions,
    /// `None` with `CLICKHOUSE_URL`.
    pub(crate) engine: Option<EngineHandle>,
    pub(crate) health: HealthView,
    /// `None` without KAFKA_BROKERS.
    pub(crate) kafka: Option<KafkaStatus>,
}

/// Reads all metrics. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Metrics {
    sources: Arc<MetricsSources>,
    started_at_seconds: f64,
}

impl Metrics {
    pub(crate) fn new(sources: MetricsSources) -> Self {
        Self { sources: Arc::new(sources), started_at_seconds: now_seconds() }
    }

    /// All metrics in Prometheus's text format. Reads counters in memory and two files of /proc.
    fn encode(&self) -> String {
        let mut text = TextEncoder::default();
        self.encode_process(&mut text);
        self.encode_events(&mut text);
        self.encode_storage(&mut text);
        self.encode_kafka(&mut text);
        self.encode_viewers(&mut text);
        text.finish()
    }

    fn encode_process(&self, text: &mut TextEncoder) {
        text.family("millrace_build_info", Gauge, "1; the version is a label.");
        text.sample(&[("version", env!("CARGO_PKG_VERSION"))], 1.0);
        let health = self.sources.health.current();
        text.family("millrace_health", Gauge, "1 for the current status, 0 for the others.");
        let all = [("ok", v1::Status::Ok), ("degraded", v1::Status::Degraded), ("down", v1::Status::Down)];
        for (name, status) in all {
            text.sample(&[("status", name)], f64::from(u8::from(health.status() == status)));
        }
        text.single("process_start_time_seconds", Gauge, "Start of the server.", self.started_at_seconds);
        text.single(
            "process_resident_memory_bytes",
            Gauge,
            "Resident memory of the server, without the embedded engine.",
            memory::resident_bytes("self").unwrap_or_default() as f64,
        );
        let counts = self.sources.connections.counts();
        let [accepted, rejected, closed] =
            [&counts.accepted, &counts.rejected, &counts.closed].map(|count| count.load(Relaxed));
        let open = accepted.saturating_sub(closed);
        text.single("millrace_connections", Gauge, "Open connections.", open as f64);
        text.single("millrace_connections_total", Counter, "Accepted connections.", accepted as f64);
        text.single(
            "millrace_connections_rejected_total",
            Counter,
            "Connections closed at once because of a limit.",
            rejected as f64,
        );
    }

    fn encode_events(&self, text: &mut TextEncoder) {
        let stats = self.sources.writer.stats();
        text.single(
            "millrace_events_accepted_total",
            Counter,
            "Events acknowledged as accepted.",
            stats.accepted() as f64,
        );
        text.family("millrace_events_rejected_total", Counter, "Invalid events, by the field at fault.");
        for (field, events) in stats.rejected_by_field() {
            text.sample(&[("field", field)], events as f64);
        }
        text.single(
            "millrace_events_duplicate_total",
            Counter,
            "Events dropped as duplicates.",
            stats.duplicates() as f64,
        );
        text.single(
            "millrace_events_inserted_total",
            Counter,
            "Events that landed in ClickHouse.",
            stats.inserted() as f64,
        );
        text.single(
            "millrace_events_unlanded",
            Gauge,
            "Acknowledged events that are not in ClickHouse, including those in dead letters.",
            stats.unlanded() as f64,
        );
        let keys = self.sources.access.keys();
        text.family("millrace_key_events_accepted_total", Counter, "Accepted events, by the id of the key.");
        for key in &keys {
            text.sample(&[("key", &key.id.to_string())], key.events_sent.accepted() as f64);
        }
        text.family("millrace_key_events_rejected_total", Counter, "Invalid events, by the id of the key.");
        for key in &keys {
            text.sample(&[("key", &key.id.to_string())], key.events_sent.rejected() as f64);
        }
        text.histogram(
            "millrace_acknowledgement_seconds",
            "From the submission of a decoded request to its acknowledgement.",
            &stats.acknowledgement.snapshot(),
        );
        text.histogram(
            "millrace_journal_commit_seconds",
            "Write and sync (fdatasync) of a group of requests.",
            &self.sources.journal.commit_latency().snapshot(),
        );
        text.histogram("millrace_insert_seconds", "One attempt to insert a batch.", &stats.insert.snapshot());
        text.histogram(
            "millrace_flush_seconds",
            "Encoding and insert of a batch, retries included.",
            &stats.flush.snapshot(),
        );
        text.histogram(
            "millrace_freshness_seconds",
            "From the receipt of the oldest event of a batch until panels can show it.",
            &stats.freshness.snapshot(),
        );
    }

    fn encode_storage(&self, text: &mut TextEncoder) {
        let stats = self.sources.writer.stats();
        let letters = self.sources.dead_letters.summary();
        let oldest_ms = stats.oldest_unlanded_ms(&letters);
        let age = oldest_ms.map_or(0.0, |oldest_ms| (now_seconds() - oldest_ms as f64 / 1e3).max(0.0));
        text.single(
            "millrace_oldest_unlanded_event_age_seconds",
            Gauge,
            "Age of the oldest acknowledged event that is not in ClickHouse; 0 if all are.",
            age,
        );
        text.single(
            "millrace_last_flush_timestamp_seconds",
            Gauge,
            "When a batch last landed; 0 before the first.",
            stats.last_flush_ms().unwrap_or_default() as f64 / 1e3,
        );
        text.single(
            "millrace_insert_failures_total",
            Counter,
            "Attempts to insert a batch that failed.",
            stats.failed_inserts() as f64,
        );
        let gauges = [
            ("batches", "Batches in dead letters.", letters.letters),
            ("rejected_batches", "Those that need a person.", letters.rejected),
            ("events", "Events in dead letters.", letters.events),
            ("bytes", "Size of the dead letters.", letters.bytes),
        ];
        for (what, help, value) in gauges {
            text.single(&format!("millrace_dead_letter_{what}"), Gauge, help, value as f64);
        }
        let journal = self.sources.journal.stats();
        text.single("millrace_journal_bytes", Gauge, "Size of the journal.", journal.disk_bytes as f64);
        text.single(
            "millrace_journal_max_bytes",
            Gauge,
            "MILLRACE_JOURNAL_MAX_BYTES: at this size of journal and dead letters, senders wait.",
            journal.max_bytes as f64,
        );
        let accepts = journal.durable && stats.refusal().is_none();
        text.single(
            "millrace_journal_writable",
            Gauge,
            "1 if the journal accepts events, 0 if the disk fails or is full, or Kafka as the journal confirms nothing.",
            f64::from(u8::from(accepts)),
        );
        let health = self.sources.health.current();
        let reachable = health.clickhouse.is_some_and(|clickhouse| clickhouse.reachable);
        text.single(
            "millrace_clickhouse_up",
            Gauge,
            "1 if ClickHouse responded to the last check.",
            f64::from(u8::from(reachable)),
        );
        let engine = self.sources.engine.as_ref();
        text.single(
            "millrace_engine_restarts_total",
            Counter,
            "Restarts of the embedded engine, failed ones included.",
            engine.map_or(0, EngineHandle::restarts) as f64,
        );
        text.single(
            "millrace_engine_resident_memory_bytes",
            Gauge,
            "Resident memory of the embedded engine; 0 while it is down, and with CLICKHOUSE_URL.",
            engine.and_then(EngineHandle::resident_bytes).unwrap_or_default() as f64,
        );
    }

    fn encode_kafka(&self, text: &mut TextEncoder) {
        let state = self.sources.kafka.as_ref().map(KafkaStatus::current).unwrap_or_default();
        text.single(
            "millrace_kafka_messages_landed_total",
            Counter,
            "Messages of Kafka whose batch has landed.",
            state.landed_messages as f64,
        );
        text.single(
            "millrace_kafka_messages_lost_total",
            Counter,
            "Messages that Kafka had deleted before their batch landed.",
            state.lost_messages as f64,
        );
        let partitions: Vec<_> = state
            .partitions
            .into_iter()
            .map(|((topic, partition), status)| (topic, partition.to_string(), status))
            .collect();
        text.family(
            "millrace_kafka_lag_messages",
            Gauge,
            "Messages of a partition that are not in ClickHouse.",
        );
        for (topic, partition, status) in &partitions {
            if let Some(lag) = status.lag() {
                text.sample(&[("topic", topic), ("partition", partition)], lag as f64);
            }
        }
        text.family(
            "millrace_kafka_oldest_message_age_seconds",
            Gauge,
            "Age of the oldest message that was read and is not in ClickHouse; 0 if all are.",
        );
        for (topic, partition, status) in &partitions {
            let age =
                status.oldest_ms.map_or(0.0, |oldest_ms| (now_seconds() - oldest_ms as f64 / 1e3).max(0.0));
            text.sample(&[("topic", topic), ("partition", partition)], age);
        }
        text.family("millrace_kafka_partition_stopped", Gauge, "1 if a partition waits for an operator.");
        for (topic, partition, status) in &partitions {
            let stopped = f64::from(u8::from(status.stopped.is_some()));
            text.sample(&[("topic", topic), ("partition", partition)], stopped);
        }
    }

    fn encode_viewers(&self, text: &mut TextEncoder) {
        let (subscriptions, queries) = self.sources.subscriptions.counts();
        text.single(
            "millrace_subscriptions",
            Gauge,
            "Panels that clients watch, counted for each client.",
            subscriptions as f64,
        );
        text.single(
            "millrace_subscribed_queries",
            Gauge,
            "Distinct queries that clients watch.",
            queries as f64,
        );
        let panels = self.sources.panels.stats();
        text.histogram(
            "millrace_panel_query_seconds",
            "One statement of a panel.",
            &panels.latency.snapshot(),
        );
        text.single(
            "millrace_panel_query_failures_total",
            Counter,
            "Statements of panels that failed.",
            panels.failures.load(Relaxed) as f64,
        );
        let explore = &self.sources.explore;
        text.histogram(
            "millrace_explore_query_seconds",
            "One statement of a query of Explore, of the catalogue, or of the people behind a figure.",
            &explore.latency.snapshot(),
        );
        text.single(
            "millrace_explore_query_failures_total",
            Counter,
            "Statements of Explore that failed, those over their budget included.",
            explore.failures.load(Relaxed) as f64,
        );
        text.single(
            "millrace_explore_queries_rejected_total",
            Counter,
            "Queries of Explore that were rejected because too many run.",
            explore.rejected.load(Relaxed) as f64,
        );
        text.single("millrace_tails", Gauge, "Clients that follow events.", self.sources.tails.open() as f64);
        text.single(
            "millrace_tail_events_skipped_total",
            Counter,
            "Matching events that were not sent to a client that follows them, because they came too fast for it.",
            self.sources.tails.skipped() as f64,
        );
    }
}

fn now_seconds() -> f64 {
    // The clock is not before 1970.
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}

//! Clients of Kafka for each purpose.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use clap::ValueEnum as _;
use rdkafka::admin::AdminClient;
use rdkafka::client::ClientContext;
use rdkafka::config::{ClientConfig, FromClientConfigAndContext, RDKafkaLogLevel};
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext, StreamConsumer};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::producer::{BaseProducer, FutureProducer, Producer, ProducerContext};
use rdkafka::types::RDKafkaErrorCode;
use rdkafka::{Offset, TopicPartitionList};
use tokio::time::Instant;

use crate::config::kafka::KafkaConfig;

/// A request that takes longer has failed. A suspended broker leaves its connections open: that it was replaced is only noticed
/// by a timeout.
pub(super) const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);
/// The first producer of a cluster takes a second or two. A broker that restarts takes some.
const INIT_TIMEOUT: Duration = Duration::from_secs(30);
/// Bytes that are fetched ahead for a partition, in KiB.
const QUEUED_KBYTES: &str = "4096";
/// The largest limit of the client.
const MAX_MESSAGE_BYTES: u64 = 1_000_000_000;
/// Readers have no group that could take their partition away.
const UNLIMITED_POLL_INTERVAL_MS: &str = "86400000";

/// Makes clients with the settings of the server.
#[derive(Clone, Debug)]
pub(super) struct Clients {
    pub(super) settings: KafkaConfig,
    pub(super) log: Logged,
}

/// Logs what the client library says, which repeats itself while brokers are away: health says that too. Clones share the reason.
#[derive(Clone, Debug, Default)]
pub(super) struct Logged {
    /// When a connection failed last, and why: requests only fail because there is none.
    not_connected: Arc<Mutex<Option<(Instant, String)>>>,
}

impl Logged {
    fn not_connected(&self) -> MutexGuard<'_, Option<(Instant, String)>> {
        self.not_connected.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ClientContext for Logged {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        use RDKafkaLogLevel::{Alert, Critical, Emerg, Error};
        if facility == "FAIL" && matches!(level, Emerg | Alert | Critical | Error) {
            let reason = connection_failure(message).replace("ssl.ca.location", "KAFKA_SSL_CA_FILE");
            *self.not_connected() = Some((Instant::now(), reason));
        }
        match level {
            Emerg | Alert | Critical => tracing::error!(facility, "Kafka client: {message}"),
            _ => tracing::debug!(facility, "Kafka client: {message}"),
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        // The end of a partition is none.
        if error.rdkafka_error_code() != Some(RDKafkaErrorCode::PartitionEOF) {
            tracing::debug!(%error, reason, "Kafka client");
        }
    }
}

/// The address and the reason in a line such as `[thrd:HOST:PORT/1]: HOST:PORT/1: Connect to … failed (after 3ms in state CONNECT)`.
fn connection_failure(line: &str) -> &str {
    let line = line.split_once("]: ").map_or(line, |(_, failure)| failure);
    line.rsplit_once(" (after ").map_or(line, |(failure, _)| failure)
}

impl ConsumerContext for Logged {}

impl ProducerContext for Logged {
    type DeliveryOpaque = ();

    /// The commit of the transaction fails if a record is not delivered.
    fn delivery(&self, _: &rdkafka::message::DeliveryResult<'_>, (): ()) {}
}

impl Clients {
    pub(super) fn new(settings: KafkaConfig) -> Self {
        Self { settings, log: Logged::default() }
    }

    /// An error of a request, with the reason if a connection has failed since.
    pub(super) fn explain(&self, error: String, since: Instant) -> String {
        match &*self.log.not_connected() {
            Some((at, reason)) if *at >= since => format!("{error} ({reason})"),
            _ => error,
        }
    }

    /// The settings of all clients. Reads the password.
    fn base(&self) -> KafkaResult<ClientConfig> {
        let settings = &self.settings;
        let mut config = ClientConfig::new();
        let protocol = settings.kafka_security_protocol.to_possible_value();
        config
            .set("bootstrap.servers", settings.kafka_brokers.trim())
            .set("client.id", "millrace")
            .set("security.protocol", protocol.map_or_else(String::new, |value| value.get_name().to_owned()))
            .set("socket.timeout.ms", REQUEST_TIMEOUT.as_millis().to_string())
            .set("reconnect.backoff.max.ms", "2000")
            .set_log_level(RDKafkaLogLevel::Info);
        if !settings.kafka_ssl_ca_file.is_empty() {
            config.set("ssl.ca.location", &settings.kafka_ssl_ca_file);
        } else if settings.kafka_security_protocol.has_tls() {
            // The client's own OpenSSL does not know where the system has them.
            config.set("ssl.ca.location", "probe");
        }
        if !settings.kafka_ssl_certificate_file.is_empty() {
            config
                .set("ssl.certificate.location", &settings.kafka_ssl_certificate_file)
                .set("ssl.key.location", &settings.kafka_ssl_key_file);
        }
        if !settings.kafka_sasl_username.is_empty() {
            let file = &settings.kafka_sasl_password_file;
            let password = std::fs::read_to_string(file).map_err(|error| {
                KafkaError::ClientCreation(format!("KAFKA_SASL_PASSWORD_FILE: {file}: {error}"))
            })?;
            let mechanism = settings.kafka_sasl_mechanism.to_possible_value();
            config
                .set(
                    "sasl.mechanism",
                    mechanism.map_or_else(String::new, |value| value.get_name().to_uppercase()),
                )
                .set("sasl.username", &settings.kafka_sasl_username)
                .set("sasl.password", password.trim_end_matches(['\r', '\n']));
        }
        Ok(config)
    }

    fn consumer_config(&self) -> KafkaResult<ClientConfig> {
        let mut config = self.base()?;
        config
            .set("group.id", &self.settings.kafka_group)
            .set("enable.auto.commit", "false")
            .set("isolation.level", "read_committed");
        Ok(config)
    }

    /// A member of the group, which reads nothing.
    pub(super) fn member<C: ConsumerContext + 'static>(&self, context: C) -> KafkaResult<BaseConsumer<C>> {
        let mut config = self.consumer_config()?;
        config
            // Only partitions that move are revoked.
            .set("partition.assignment.strategy", "cooperative-sticky")
            .set("session.timeout.ms", "10000")
            .set("heartbeat.interval.ms", "1000")
            .set("topic.metadata.refresh.interval.ms", "10000");
        config.create_with_context(context)
    }

    /// A reader of one partition from an offset. An offset that the partition does not have is an error.
    pub(super) fn reader(
        &self,
        topic: &str,
        partition: i32,
        offset: i64,
    ) -> KafkaResult<StreamConsumer<Logged>> {
        self.assigned(topic, partition, offset)
    }

    /// The same for code that blocks.
    pub(super) fn blocking_reader(
        &self,
        topic: &str,
        partition: i32,
        offset: i64,
    ) -> KafkaResult<BaseConsumer<Logged>> {
        self.assigned(topic, partition, offset)
    }

    fn assigned<T: FromClientConfigAndContext<Logged> + Consumer<Logged>>(
        &self,
        topic: &str,
        partition: i32,
        offset: i64,
    ) -> KafkaResult<T> {
        let mut config = self.consumer_config()?;
        config
            .set("auto.offset.reset", "error")
            .set("enable.partition.eof", "true")
            .set("check.crcs", "true")
            .set("queued.max.messages.kbytes", QUEUED_KBYTES)
            .set("fetch.wait.max.ms", "100")
            .set("fetch.error.backoff.ms", "100")
            .set("max.poll.interval.ms", UNLIMITED_POLL_INTERVAL_MS);
        let consumer: T = config.create_with_context(self.log.clone())?;
        let mut assignment = TopicPartitionList::new();
        assignment.add_partition_offset(topic, partition, Offset::Offset(offset))?;
        consumer.assign(&assignment)?;
        Ok(consumer)
    }

    /// A consumer for requests only.
    pub(super) fn requester(&self) -> KafkaResult<BaseConsumer<Logged>> {
        self.consumer_config()?.create_with_context(self.log.clone())
    }

    pub(super) fn admin(&self) -> KafkaResult<AdminClient<Logged>> {
        self.base()?.create_with_context(self.log.clone())
    }

    /// The producer of the journal. It never gives up a message, and so never reorders them.
    pub(super) fn journal_producer(&self, max_message_bytes: u64) -> KafkaResult<FutureProducer<Logged>> {
        let mut config = self.base()?;
        config
            .set("acks", "all")
            .set("enable.idempotence", "true")
            .set("message.timeout.ms", "0")
            .set("request.timeout.ms", REQUEST_TIMEOUT.as_millis().to_string())
            .set("message.max.bytes", max_message_bytes.clamp(1_000, MAX_MESSAGE_BYTES).to_string())
            // The memory for requests is what limits it.
            .set("queue.buffering.max.kbytes", "2147483647")
            .set("compression.type", "lz4")
            .set("linger.ms", "5");
        config.create_with_context(self.log.clone())
    }

    /// The producer of a partition's seals, which has fenced all earlier ones. Blocks.
    ///
    /// Its id names the topic of the seals: partitions that are consumed with other seals have nothing to do with these.
    pub(super) fn fencing_producer(&self, topic: &str, partition: i32) -> KafkaResult<BaseProducer<Logged>> {
        let seals = &self.settings.kafka_seals_topic;
        let mut config = self.base()?;
        config
            .set("transactional.id", format!("{seals}-{topic}-{partition}"))
            .set("transaction.timeout.ms", "10000")
            .set("request.timeout.ms", REQUEST_TIMEOUT.as_millis().to_string())
            .set("linger.ms", "0");
        let producer: BaseProducer<Logged> = config.create_with_context(self.log.clone())?;
        producer.init_transactions(INIT_TIMEOUT)?;
        Ok(producer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reason_of_a_failed_connection_is_named() {
        use clap::Parser as _;

        #[derive(clap::Parser)]
        struct Cli {
            #[command(flatten)]
            kafka: KafkaConfig,
        }
        let clients = Clients::new(Cli::parse_from(["millrace"]).kafka);
        let started = Instant::now();
        let explained = |since| clients.explain("all brokers down".to_owned(), since);
        let refused = "[thrd:k:9092/1]: k:9092/1: Connect to ipv4#127.0.0.1:9092 failed: Connection refused (after 3ms in state CONNECT)";
        clients.log.log(RDKafkaLogLevel::Info, "FAIL", refused);
        assert_eq!(explained(started), "all brokers down");
        clients.log.log(RDKafkaLogLevel::Error, "FAIL", refused);
        let reason = "k:9092/1: Connect to ipv4#127.0.0.1:9092 failed: Connection refused";
        assert_eq!(explained(started), format!("all brokers down ({reason})"));
        assert_eq!(explained(Instant::now() + Duration::from_secs(1)), "all brokers down");
    }
}

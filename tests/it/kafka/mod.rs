//! What the Kafka source relies on, against real brokers. Compiled with the feature `kafka`.

mod broker;
mod client;
mod journal;
mod measure;
mod mock;
mod seals;
mod security;
mod source;
mod stops;
mod zombie;

use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::message::{Message, OwnedMessage};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};

use crate::common::TIMEOUT;

/// A consumer of given partitions from given offsets, without a group that would assign them.
fn consumer_at(config: &ClientConfig, positions: &[(&str, i32, i64)]) -> BaseConsumer {
    let consumer: BaseConsumer = config
        .clone()
        // Of no meaning with manual assignment, but librdkafka asks for one.
        .set("group.id", "millrace-test")
        .set("enable.auto.commit", "false")
        .set("auto.offset.reset", "error")
        .set("isolation.level", "read_committed")
        .set("enable.partition.eof", "true")
        .set("fetch.wait.max.ms", "20")
        .create()
        .unwrap();
    let mut assignment = TopicPartitionList::new();
    for (topic, partition, offset) in positions {
        assignment.add_partition_offset(topic, *partition, Offset::Offset(*offset)).unwrap();
    }
    consumer.assign(&assignment).unwrap();
    consumer
}

/// The next message; `None` at the end of a partition.
fn next_message(consumer: &BaseConsumer) -> KafkaResult<Option<OwnedMessage>> {
    let deadline = Instant::now() + TIMEOUT;
    loop {
        match consumer.poll(Duration::from_secs(1)) {
            Some(Ok(message)) => return Ok(Some(message.detach())),
            Some(Err(KafkaError::PartitionEOF(_))) => return Ok(None),
            Some(Err(error)) => return Err(error),
            None => assert!(Instant::now() < deadline, "no message"),
        }
    }
}

/// The values of a partition's messages up to its end, of committed transactions only.
fn committed_values(config: &ClientConfig, topic: &str) -> Vec<String> {
    let consumer = consumer_at(config, &[(topic, 0, 0)]);
    let mut values = Vec::new();
    while let Some(message) = next_message(&consumer).unwrap() {
        values.push(String::from_utf8(message.payload().unwrap().to_vec()).unwrap());
    }
    values
}

fn producer(config: &ClientConfig) -> BaseProducer {
    config
        .clone()
        .set("acks", "all")
        .set("enable.idempotence", "true")
        .set("linger.ms", "5")
        .create()
        .unwrap()
}

/// Sends `count` events as JSON to partition 0, with their number as `n`, and waits until all are stored.
fn produce_events(producer: &BaseProducer, topic: &str, first: u64, count: u64) {
    for n in first..first + count {
        let event = format!(
            r#"{{"event_name":"page_view","timestamp":"2026-11-22T20:00:00Z","session_id":"s{}","properties":{{"n":{n},"page":"/pricing"}}}}"#,
            n % 1_000
        );
        let mut record = BaseRecord::<str, str>::to(topic).partition(0).payload(&event);
        while let Err((error, unsent)) = producer.send(record) {
            let full = error.rdkafka_error_code() == Some(rdkafka::types::RDKafkaErrorCode::QueueFull);
            assert!(full, "{error}");
            producer.poll(Duration::from_millis(20));
            record = unsent;
        }
    }
    producer.flush(TIMEOUT).unwrap();
}

/// A producer that has fenced every earlier one with the same id.
fn transactional_producer(config: &ClientConfig, id: &str) -> BaseProducer {
    let producer: BaseProducer = config
        .clone()
        .set("transactional.id", id)
        .set("transaction.timeout.ms", "10000")
        .set("request.timeout.ms", "5000")
        .set("linger.ms", "0")
        .create()
        .unwrap();
    producer.init_transactions(TIMEOUT).unwrap();
    producer
}

fn send(producer: &BaseProducer, topic: &str, value: &str) -> KafkaResult<()> {
    let record = BaseRecord::to(topic).partition(0).key("key").payload(value);
    producer.send(record).map_err(|(error, _)| error)
}

/// Writes one record in a transaction of its own.
fn commit(producer: &BaseProducer, topic: &str, value: &str) -> KafkaResult<()> {
    producer.begin_transaction()?;
    send(producer, topic, value)?;
    commit_transaction(producer)
}

/// Waits for the records, then commits. The client's own waits always last until their timeout: `flush` takes 100 ms even if the
/// records are stored at once, and `poll` spins during its last millisecond.
fn commit_transaction(producer: &BaseProducer) -> KafkaResult<()> {
    let deadline = Instant::now() + TIMEOUT;
    while producer.in_flight_count() > 0 && Instant::now() < deadline {
        producer.poll(Duration::ZERO);
        std::thread::sleep(Duration::from_micros(200));
    }
    producer.commit_transaction(TIMEOUT)
}

//! The guarantees of Kafka and of its client that the source relies on.

use std::collections::HashSet;
use std::time::Duration;

use millrace::internals::kafka::topic_ids;
use rdkafka::admin::AdminOptions;
use rdkafka::consumer::Consumer;
use rdkafka::error::KafkaError;
use rdkafka::message::Message;
use rdkafka::producer::Producer;
use rdkafka::types::RDKafkaErrorCode;
use rdkafka::{Offset, TopicPartitionList};

use super::broker::KafkaCluster;
use super::{
    commit, committed_values, consumer_at, next_message, produce_events, producer, send,
    transactional_producer,
};
use crate::common::TIMEOUT;

#[tokio::test]
async fn every_message_is_read_once_from_stored_offsets() {
    const EVENTS: u64 = 100_000;
    let kafka = KafkaCluster::start();
    let config = kafka.client_config();
    kafka.create_topic("events", 1, &[]).await;
    produce_events(&producer(&config), "events", 0, EVENTS);

    let mut numbers = Vec::new();
    let mut next_offset = 0;
    // Each consumer ends in the middle, and the next one starts at the offset after its last message.
    for share in [1, EVENTS / 3, EVENTS] {
        let consumer = consumer_at(&config, &[("events", 0, next_offset)]);
        while let Some(message) = next_message(&consumer).unwrap() {
            let event: serde_json::Value = serde_json::from_slice(message.payload().unwrap()).unwrap();
            numbers.push(event["properties"]["n"].as_u64().unwrap());
            next_offset = message.offset() + 1;
            if numbers.len() as u64 == share {
                break;
            }
        }
    }
    assert!(numbers.iter().copied().eq(0..EVENTS), "{} of {EVENTS} events", numbers.len());
}

#[tokio::test]
async fn a_new_producer_of_a_partition_fences_the_earlier_one() {
    let kafka = KafkaCluster::start();
    let config = kafka.client_config();
    kafka.create_topic("seals", 1, &[("cleanup.policy", "compact")]).await;

    let zombie = transactional_producer(&config, "millrace-events-0");
    commit(&zombie, "seals", "first").unwrap();
    // Stored, but not committed.
    zombie.begin_transaction().unwrap();
    send(&zombie, "seals", "of the zombie").unwrap();
    zombie.flush(TIMEOUT).unwrap();

    let owner = transactional_producer(&config, "millrace-events-0");
    commit(&owner, "seals", "second").unwrap();

    let error = zombie.commit_transaction(TIMEOUT).unwrap_err();
    let KafkaError::Transaction(error) = error else { panic!("{error:?}") };
    assert_eq!(error.code(), RDKafkaErrorCode::Fenced);
    assert!(error.is_fatal());
    assert_eq!(zombie.client().fatal_error().unwrap().0, RDKafkaErrorCode::Fenced);
    // It stays fenced, and the owner does not notice.
    assert!(zombie.begin_transaction().is_err());
    commit(&owner, "seals", "third").unwrap();
    assert_eq!(committed_values(&config, "seals"), ["first", "second", "third"]);
}

#[tokio::test]
async fn producers_of_different_partitions_do_not_fence_each_other() {
    let kafka = KafkaCluster::start();
    let config = kafka.client_config();
    kafka.create_topic("seals", 1, &[]).await;
    let first = transactional_producer(&config, "millrace-events-0");
    let second = transactional_producer(&config, "millrace-events-1");
    commit(&first, "seals", "0").unwrap();
    commit(&second, "seals", "1").unwrap();
    commit(&first, "seals", "2").unwrap();
    assert_eq!(committed_values(&config, "seals"), ["0", "1", "2"]);
}

/// Readers of the seals wait for the end of an open transaction, so a new owner must not wait for the timeout of its
/// predecessor's.
#[tokio::test]
async fn a_new_producer_ends_the_transaction_of_a_killed_one() {
    let kafka = KafkaCluster::start();
    let config = kafka.client_config();
    kafka.create_topic("seals", 1, &[]).await;
    let killed = transactional_producer(&config, "millrace-events-0");
    killed.begin_transaction().unwrap();
    send(&killed, "seals", "open").unwrap();
    killed.flush(TIMEOUT).unwrap();
    let owner = transactional_producer(&config, "millrace-events-0");
    // Nothing is open any more: the end that readers of committed transactions see is the end of the log.
    let (_, end) = owner.client().fetch_watermarks("seals", 0, TIMEOUT).unwrap();
    let reader = consumer_at(&config, &[("seals", 0, 0)]);
    assert!(next_message(&reader).unwrap().is_none());
    assert_eq!(reader.position().unwrap().find_partition("seals", 0).unwrap().offset(), Offset::Offset(end));
}

#[tokio::test]
async fn a_recreated_topic_has_another_id() {
    let kafka = KafkaCluster::start();
    let admin = kafka.admin();
    kafka.create_topic("events", 1, &[]).await;
    kafka.create_topic("other", 1, &[]).await;
    let ids = topic_ids(admin.inner(), &["other", "events"], TIMEOUT).unwrap();
    let again = topic_ids(admin.inner(), &["events"], TIMEOUT).unwrap();
    assert_eq!(again, [ids[1]]);

    kafka.delete_topic("events").await;
    assert_eq!(
        topic_ids(admin.inner(), &["other", "events"], TIMEOUT),
        Err(KafkaError::AdminOp(RDKafkaErrorCode::UnknownTopicOrPartition))
    );
    kafka.create_topic("events", 1, &[]).await;
    let recreated = topic_ids(admin.inner(), &["events"], TIMEOUT).unwrap();
    let distinct: HashSet<_> = ids.iter().chain(&recreated).collect();
    assert_eq!(distinct.len(), 3, "{ids:?} {recreated:?}");
}

/// With an offset of the earlier topic, a consumer reads the later one without an error. Only the id tells.
#[tokio::test]
async fn a_stored_offset_is_read_from_a_topic_that_was_created_again() {
    let kafka = KafkaCluster::start();
    let config = kafka.client_config();
    kafka.create_topic("events", 1, &[]).await;
    produce_events(&producer(&config), "events", 0, 100);
    let before = topic_ids(kafka.admin().inner(), &["events"], TIMEOUT).unwrap();
    kafka.delete_topic("events").await;
    kafka.create_topic("events", 1, &[]).await;
    produce_events(&producer(&config), "events", 1_000, 200);

    let consumer = consumer_at(&config, &[("events", 0, 100)]);
    assert_eq!(next_message(&consumer).unwrap().unwrap().offset(), 100);
    assert_ne!(topic_ids(consumer.client(), &["events"], TIMEOUT).unwrap(), before);
}

#[test]
fn ids_of_topics_without_brokers_are_an_error_after_the_timeout() {
    let mut config = rdkafka::ClientConfig::new();
    let admin: rdkafka::admin::AdminClient<_> =
        config.set("bootstrap.servers", "127.0.0.1:1").create().unwrap();
    assert_eq!(
        topic_ids(admin.inner(), &["events"], Duration::from_millis(200)),
        Err(KafkaError::AdminOp(RDKafkaErrorCode::OperationTimedOut))
    );
}

#[tokio::test]
async fn an_offset_that_retention_has_passed_is_an_error() {
    let kafka = KafkaCluster::start();
    let config = kafka.client_config();
    kafka.create_topic("events", 1, &[]).await;
    produce_events(&producer(&config), "events", 0, 100);
    let mut kept = TopicPartitionList::new();
    kept.add_partition_offset("events", 0, Offset::Offset(50)).unwrap();
    kafka.admin().delete_records(&kept, &AdminOptions::new()).await.unwrap();

    // Before the first message, and behind the last one, as after a topic was created again.
    for offset in [10, 101] {
        let error = next_message(&consumer_at(&config, &[("events", 0, offset)])).unwrap_err();
        assert_eq!(error.rdkafka_error_code(), Some(RDKafkaErrorCode::AutoOffsetReset), "{offset}: {error}");
    }
    let message = next_message(&consumer_at(&config, &[("events", 0, 50)])).unwrap().unwrap();
    assert_eq!(message.offset(), 50);
}

#[tokio::test]
async fn three_brokers_survive_the_loss_of_one() {
    let mut kafka = KafkaCluster::start_brokers(3);
    let config = kafka.client_config();
    kafka.create_topic("events", 1, &[]).await;
    kafka.create_topic("seals", 1, &[("cleanup.policy", "compact")]).await;
    let (events, seals) = (producer(&config), transactional_producer(&config, "millrace-events-0"));
    let mut sent = 0;
    let mut send_more = |round: &str| {
        produce_events(&events, "events", sent, 1_000);
        sent += 1_000;
        commit(&seals, "seals", round).unwrap();
    };
    send_more("all");
    for broker in 0..3 {
        kafka.kill(broker);
        send_more("killed");
        kafka.restart(broker);
    }
    kafka.pause(1);
    send_more("paused");
    kafka.resume(1);
    kafka.wait_until_ready();
    assert_eq!(committed_values(&config, "seals"), ["all", "killed", "killed", "killed", "paused"]);
    assert_eq!(committed_values(&config, "events").len(), 5_000);
}

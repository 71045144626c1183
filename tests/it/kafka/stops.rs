//! Partitions that need a decision, and messages that are no events.

use std::process::Command;

use rdkafka::admin::AdminOptions;
use rdkafka::{Offset, TopicPartitionList};
use serde_json::Value;
use v1::Status;

use super::broker::KafkaCluster;
use super::producer;
use super::source::{
    PARTITIONS, TOPIC, assert_exact, event, folder, lag, produce, send, start, wait_for_events,
};
use crate::common::{TIMEOUT, TestServer, http_request, send_signal};
use millrace_client::proto::v1;
use rdkafka::producer::Producer as _;

/// Runs `millrace kafka continue`. Returns its output, and whether it succeeded.
fn go_on(kafka: &KafkaCluster, partition: i32, offset: i64, more: &[&str]) -> (String, bool) {
    let output = Command::new(env!("CARGO_BIN_EXE_millrace"))
        .args(["kafka", "continue", "--topic", TOPIC, "--partition", &partition.to_string()])
        .args(["--offset", &offset.to_string()])
        .args(more)
        .env("KAFKA_BROKERS", kafka.addresses())
        .env("KAFKA_TOPICS", TOPIC)
        .output()
        .unwrap();
    let text = [output.stdout, output.stderr].concat();
    (String::from_utf8(text).unwrap(), output.status.success())
}

fn stop(server: &mut TestServer) {
    send_signal(server.pid(), "TERM");
    assert!(server.child.wait().unwrap().success(), "{}", server.log());
}

async fn wait_for_stop(server: &TestServer, text: &str) -> String {
    let health = server.wait_for_health(text, |health| health.summary.contains(text)).await;
    assert_eq!(health.status(), Status::Degraded);
    let kafka = health.kafka.unwrap();
    assert!(kafka.partitions.iter().any(|partition| partition.error.contains(text)), "{kafka:?}");
    health.summary
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_that_kafka_deleted_before_they_were_read_stop_their_partition() {
    let kafka = KafkaCluster::start();
    kafka.create_topic(TOPIC, PARTITIONS, &[]).await;
    let folder = folder();
    produce(&kafka.client_config(), 0..1_200);
    let mut server = start(&kafka, &folder, &[]);
    wait_for_events(&server, 1_200).await;
    stop(&mut server);
    // 200 in each partition; 50 of partition 3 are deleted unread.
    produce(&kafka.client_config(), 1_200..2_400);
    let mut kept = TopicPartitionList::new();
    kept.add_partition_offset(TOPIC, 3, Offset::Offset(150)).unwrap();
    kafka.admin().delete_records(&kept, &AdminOptions::new()).await.unwrap();
    let server = start(&kafka, &folder, &[]);
    let summary = wait_for_stop(&server, "from offset 100 to 149").await;
    assert!(
        summary.contains("millrace kafka continue --topic events --partition 3 --offset 150"),
        "{summary}"
    );
    // The others go on.
    wait_for_events(&server, 2_300).await;
    let (output, success) = go_on(&kafka, 3, 149, &[]);
    assert!(!success && output.contains("149 is not an offset"), "{output}");
    let (output, success) = go_on(&kafka, 3, 150, &[]);
    assert!(success, "{output}");
    wait_for_events(&server, 2_350).await;
    let health = server.wait_for_health("ok", |health| lag(health) == Some(0)).await;
    assert_eq!(health.status(), Status::Ok, "{}", health.summary);
    let counts = "SELECT count(), uniqExact(JSONExtractUInt(properties, 'n')) FROM events";
    assert_eq!(server.sql_numbers(counts).await, [2_350, 2_350]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_that_is_created_again_is_not_read_from_the_middle() {
    let kafka = KafkaCluster::start();
    kafka.create_topic(TOPIC, PARTITIONS, &[]).await;
    let folder = folder();
    produce(&kafka.client_config(), 0..1_200);
    let server = start(&kafka, &folder, &[]);
    wait_for_events(&server, 1_200).await;
    kafka.delete_topic(TOPIC).await;
    kafka.create_topic(TOPIC, PARTITIONS, &[]).await;
    // More than before: each partition has the offset that would be next.
    produce(&kafka.client_config(), 1_200..6_000);
    wait_for_stop(&server, "deleted and created again").await;
    assert_eq!(server.sql_numbers("SELECT count() FROM events").await, [1_200]);
    for partition in 0..PARTITIONS {
        let (output, success) = go_on(&kafka, partition, 0, &[]);
        let (output, success) = match success {
            true => (output, true),
            false => go_on(&kafka, partition, 0, &["--give-up-batches"]),
        };
        assert!(success, "{output}");
    }
    wait_for_events(&server, 6_000).await;
    assert_exact(&server, 6_000).await;
    let health = server.wait_for_health("ok", |health| lag(health) == Some(0)).await;
    assert_eq!(health.status(), Status::Ok, "{}", health.summary);
}

#[tokio::test(flavor = "multi_thread")]
async fn another_clickhouse_does_not_go_on_where_the_first_one_was() {
    let kafka = KafkaCluster::start();
    kafka.create_topic(TOPIC, PARTITIONS, &[]).await;
    let first = folder();
    produce(&kafka.client_config(), 0..1_200);
    let mut server = start(&kafka, &first, &[]);
    wait_for_events(&server, 1_200).await;
    stop(&mut server);
    produce(&kafka.client_config(), 1_200..2_400);
    let mut other = start(&kafka, &folder(), &[]);
    wait_for_stop(&other, "its events are in another ClickHouse").await;
    assert_eq!(other.sql_numbers("SELECT count() FROM events").await, [0]);
    stop(&mut other);
    // Other seals know nothing, but their group has consumed before.
    let seals = ("KAFKA_SEALS_TOPIC", "other-seals");
    let mut other = start(&kafka, &folder(), &[seals]);
    other.wait_for_log_line("the topic other-seals is missing, but the group millrace has consumed before");
    drop(other);
    let other = start(&kafka, &folder(), &[seals, ("KAFKA_GROUP", "other")]);
    wait_for_events(&other, 2_400).await;
    assert_exact(&other, 2_400).await;
    let server = start(&kafka, &first, &[]);
    wait_for_events(&server, 2_400).await;
    assert_exact(&server, 2_400).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_of_seals_that_forgets_is_refused() {
    let kafka = KafkaCluster::start();
    kafka.create_topic(TOPIC, PARTITIONS, &[]).await;
    kafka.create_topic("deleting", 1, &[("cleanup.policy", "delete")]).await;
    kafka.create_topic("many", 2, &[("cleanup.policy", "compact")]).await;
    for (topic, reason) in [("deleting", "cleanup.policy=delete"), ("many", "has 2 partitions")] {
        let server = start(&kafka, &folder(), &[("KAFKA_SEALS_TOPIC", topic)]);
        let health = server.wait_for_health(reason, |health| health.summary.contains(reason)).await;
        assert_eq!(health.status(), Status::Degraded);
        assert!(health.kafka.unwrap().error.contains(reason));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_event_is_listed_and_does_not_hold_back_the_others() {
    let kafka = KafkaCluster::start();
    kafka.create_topic(TOPIC, PARTITIONS, &[]).await;
    let producer = producer(&kafka.client_config());
    for n in 0..100 {
        send(&producer, 5, event(2 * n).as_bytes());
        if n % 10 == 0 {
            send(&producer, 5, b"\x00no event");
        }
        // Of two in an array, one is invalid.
        send(&producer, 5, format!("[{},{{}}]", event(2 * n + 1)).as_bytes());
    }
    // Nothing but poison.
    send(&producer, 6, b"{");
    producer.flush(TIMEOUT).unwrap();
    let folder = folder();
    let mut server = start(&kafka, &folder, &[("KAFKA_PROJECT", "shop")]);
    wait_for_events(&server, 200).await;
    server.wait_for_health("without lag", |health| lag(health) == Some(0)).await;
    assert_exact(&server, 200).await;
    assert_eq!(server.sql("SELECT DISTINCT project FROM events").await, "shop");
    let health = server.health().await;
    assert_eq!((health.events_rejected, health.status()), (111, Status::Ok));
    stop(&mut server);

    // It is listed in its project.
    let server = start(&kafka, &folder, &[]);
    send(&producer, 7, b"nothing");
    producer.flush(TIMEOUT).unwrap();
    server.wait_for_health("one rejected", |health| health.events_rejected == 1).await;
    let (_, body) = http_request(&server, "GET", "/api/events/rejected?limit=10", "text/plain", b"");
    let list: Value = serde_json::from_slice(&body).unwrap();
    let listed = &list["events"][0];
    let reason = listed["reason"].as_str().unwrap();
    assert!(reason.ends_with("(topic \"events\", partition 7, offset 0)"), "{list}");
    assert_eq!(
        (&listed["source"], &listed["library"]),
        (&Value::from("EVENT_SOURCE_KAFKA"), &Value::from("events")),
        "{list}"
    );
}

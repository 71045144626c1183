//! The journal's size limit: unary calls are rejected with a retry delay, streams are slowed down, and nothing is lost.

use std::time::Duration;

use millrace_client::ProducerConfig;
use millrace_client::proto::v1;
use tonic::Code;
use tonic_types::StatusExt;
use v1::Status;
use v1::event::PropertiesKind;

use crate::common::{TestClickHouse, TestServer, event, events_request, free_address};

/// The smallest allowed limit: 256 MiB.
const SMALLEST_JOURNAL: (&str, &str) = ("MILLRACE_JOURNAL_MAX_BYTES", "268435456");

/// Together with what was acknowledged before, more than the journal can hold.
const STREAMED_EVENTS: u64 = 3_000;

/// 60 KB, so that few of them reach the limit.
fn large_event() -> v1::Event {
    let text = format!(r#"{{"padding":"{}"}}"#, "x".repeat(60_000));
    v1::Event { properties_kind: Some(PropertiesKind::PropertiesJson(text)), ..event("large") }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_journal_rejects_unary_calls_and_blocks_streams() {
    let address = free_address();
    let url = format!("http://{address}");
    let server = TestServer::start_with(&[("CLICKHOUSE_URL", &url), SMALLEST_JOURNAL]);
    let mut ingest = server.ingest().await;
    let mut acknowledged = 0;
    let error = loop {
        match ingest.send_events(events_request(vec![large_event(); 50])).await {
            Ok(response) => acknowledged += response.into_inner().accepted,
            Err(error) if error.message().contains("the journal is full") => break error,
            // A slow disk is a different error: the same request may succeed immediately.
            Err(busy) => assert_eq!(busy.code(), Code::ResourceExhausted, "{busy:?}"),
        }
        assert!(acknowledged < 10_000, "600 MB were accepted without reaching the limit");
    };
    assert_eq!(error.code(), Code::ResourceExhausted, "{error:?}");
    assert!(error.get_error_details().retry_info().and_then(|info| info.retry_delay).is_some());
    let health = server.wait_for_health("down", |health| health.status() == Status::Down).await;
    assert!(health.summary.contains("no events are accepted"), "{}", health.summary);

    // A stream is not rejected: its producer waits for free space. Its events do not fit, however much of the earlier ones
    // has moved from the journal to the dead letters meanwhile.
    let producer = ProducerConfig::new(server.url()).batch_events(10).connect().await.unwrap();
    let streaming = tokio::spawn(async move {
        for _ in 0..STREAMED_EVENTS {
            producer.send(large_event()).await.unwrap();
        }
        producer.close().await.unwrap()
    });
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(!streaming.is_finished(), "the journal has no space for the streamed events");

    let folder = tempfile::tempdir().unwrap();
    let clickhouse = TestClickHouse::start(&address, folder.path());
    let totals = streaming.await.unwrap();
    assert_eq!((totals.accepted, totals.rejected, totals.reconnects), (STREAMED_EVENTS, 0, 0));
    server.wait_until_landed().await;
    let client = TestClickHouse::client(&url);
    let figures: (u64, u64) =
        client.query("SELECT count(), uniqExact(event_id) FROM events").fetch_one().await.unwrap();
    assert_eq!(figures, (acknowledged + STREAMED_EVENTS, acknowledged + STREAMED_EVENTS));
    assert!(clickhouse.stop().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_id_does_not_pin_the_journal() {
    let server = TestServer::start_with(&[SMALLEST_JOURNAL]);
    let named = v1::Event { event_id: Some(uuid::Uuid::new_v4().to_string()), ..event("named") };
    server.ingest().await.send_events(events_request(vec![named.clone()])).await.unwrap();
    // Twice the limit.
    let producer = ProducerConfig::new(server.url()).batch_events(10).connect().await.unwrap();
    for _ in 0..9_000 {
        producer.send(large_event()).await.unwrap();
    }
    let totals = producer.close().await.unwrap();
    assert_eq!((totals.accepted, totals.rejected), (9_000, 0));
    server.wait_until_landed().await;
    let repeated = server.ingest().await.send_events(events_request(vec![named])).await.unwrap().into_inner();
    assert_eq!((repeated.accepted, repeated.duplicates), (0, 1), "the id is still known");
    assert_eq!(server.sql("SELECT count() FROM events").await, "9001");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_started_with_a_full_journal_drains_it() {
    let address = free_address();
    let url = format!("http://{address}");
    let server = TestServer::start_with(&[("CLICKHOUSE_URL", &url), SMALLEST_JOURNAL]);
    let mut ingest = server.ingest().await;
    let mut acknowledged = 0;
    loop {
        match ingest.send_events(events_request(vec![large_event(); 50])).await {
            Ok(response) => acknowledged += response.into_inner().accepted,
            Err(error) if error.message().contains("the journal is full") => break,
            Err(busy) => assert_eq!(busy.code(), Code::ResourceExhausted, "{busy:?}"),
        }
        assert!(acknowledged < 10_000, "600 MB were accepted without reaching the limit");
    }
    let folder = server.shared_data_dir();
    drop(server); // kill -9

    let engine_folder = tempfile::tempdir().unwrap();
    let clickhouse = TestClickHouse::start(&address, engine_folder.path());
    let server = TestServer::start_on(folder, &[("CLICKHOUSE_URL", &url), SMALLEST_JOURNAL]);
    server.wait_until_landed().await;
    server.wait_for_health("ok", |health| health.status() == Status::Ok).await;
    let mut ingest = server.ingest().await;
    acknowledged += loop {
        match ingest.send_events(events_request(vec![large_event(); 50])).await {
            Ok(response) => break response.into_inner().accepted,
            // Landed batches are kept for a while; a request that needs the space releases them.
            Err(busy) => assert_eq!(busy.code(), Code::ResourceExhausted, "{busy:?}"),
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    };
    server.wait_until_landed().await;
    let client = TestClickHouse::client(&url);
    let stored: u64 = client.query("SELECT uniqExact(event_id) FROM events").fetch_one().await.unwrap();
    assert_eq!(stored, acknowledged);
    assert!(clickhouse.stop().success());
}

//! An outage of ClickHouse at 20,000 events per second: no producer gets an error, and no event is lost.
//!
//! `make outage-test SECONDS=600` runs a long one; the default is ten seconds.

use std::time::{Duration, Instant};

use millrace_client::ProducerConfig;
use millrace_client::proto::v1;
use v1::Status;

use crate::common::{TestClickHouse, TestServer, event, free_address};

const EVENTS_PER_SECOND: u64 = 20_000;

fn outage_duration() -> Duration {
    let seconds =
        std::env::var("OUTAGE_SECONDS").map_or(10, |text| text.parse().expect("OUTAGE_SECONDS is a number"));
    Duration::from_secs(seconds)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clickhouse_outage_loses_no_events_and_causes_no_errors() {
    let address = free_address();
    let folder = tempfile::tempdir().unwrap();
    let mut clickhouse = Some(TestClickHouse::start(&address, folder.path()));
    let url = format!("http://{address}");
    let server = TestServer::start_with(&[("CLICKHOUSE_URL", &url), ("MILLRACE_LOG", "info")]);
    server.wait_for_health("ok", |health| health.status() == Status::Ok).await;
    let producer = ProducerConfig::new(server.url()).connect().await.unwrap();

    let started_at = Instant::now();
    let (mut sent, mut longest) = (0_u64, Duration::ZERO);
    // The events cross the end of a quarter hour during the outage, at a rate that fills a granule of its last second: the
    // recomputation of a quarter hour must read that granule.
    let now = jiff::Timestamp::now().as_second();
    let first_event_at = now.div_euclid(900) * 900 - 11;
    let test_duration = outage_duration() + Duration::from_secs(4);
    while started_at.elapsed() < test_duration {
        if started_at.elapsed() > Duration::from_secs(2) {
            drop(clickhouse.take());
        }
        while sent < started_at.elapsed().as_millis() as u64 * EVENTS_PER_SECOND / 1_000 {
            let send_started_at = Instant::now();
            let elapsed = send_started_at - started_at;
            let timestamp = prost_types::Timestamp {
                seconds: first_event_at + elapsed.as_secs() as i64,
                nanos: elapsed.subsec_nanos() as i32,
            };
            producer.send(v1::Event { timestamp: Some(timestamp), ..event("outage") }).await.unwrap();
            longest = longest.max(send_started_at.elapsed());
            sent += 1;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let totals = producer.flush().await.unwrap();
    assert_eq!(
        (totals.accepted, totals.rejected, totals.reconnects),
        (sent, 0, 0),
        "the producer is unaffected"
    );
    let health = server.health().await;
    assert_eq!(health.status(), Status::Degraded);
    println!(
        "{} s without ClickHouse: {sent} events accepted, {} waiting, the longest send took {longest:?}",
        outage_duration().as_secs(),
        health.buffer_size
    );

    let restored_at = Instant::now();
    let clickhouse = TestClickHouse::start(&address, folder.path());
    let deadline = restored_at + Duration::from_secs(60) + outage_duration();
    while server.health().await.buffer_size > 0 {
        assert!(Instant::now() < deadline, "not every event has landed:\n{}", server.log());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    println!("every event had landed {:?} after ClickHouse was started again", restored_at.elapsed());
    let client = TestClickHouse::client(&url);
    let query =
        "SELECT count(), uniqExact(event_id), ifNull((SELECT sum(events) FROM rollup WHERE step = 1 AND event_name = ''), 0) FROM events";
    let figures: (u64, u64, u64) = client.query(query).fetch_one().await.unwrap();
    assert_eq!(figures, (sent, sent, sent));
    assert!(clickhouse.stop().success());
}

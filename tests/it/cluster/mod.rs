//! A cluster: batches on several shards, and all figures from all of them.
//!
//! `make shards-test` also runs the tests of panels, Explore and lists of events on it, except for those that change tables by themselves.

mod equality;
mod kills;
mod watching;

use std::time::{Duration, Instant};

use millrace_client::ProducerConfig;
use millrace_client::proto::v1;
use v1::explore_service_client::ExploreServiceClient;

use crate::common::emulation::{CLUSTER, EmulatedCluster};
use crate::common::{TIMEOUT, TestServer, event};
use crate::replicas::PASSWORD;

fn numbered(number: u64) -> v1::Event {
    v1::Event {
        session_id: format!("s{}", number / 5),
        user_id: Some(format!("u{}", number / 10)),
        properties_kind: Some(v1::event::PropertiesKind::PropertiesJson(format!(r#"{{"n":{number}}}"#))),
        ..event("page_view")
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn batches_go_to_all_shards_and_figures_come_from_all() {
    const EVENTS: u64 = 3_000;
    let mut cluster = tokio::task::block_in_place(|| EmulatedCluster::start(3));
    let urls = cluster.urls.clone();
    let env = [("CLICKHOUSE_URL", urls.as_str()), ("CLICKHOUSE_CLUSTER", CLUSTER), PASSWORD];
    let servers = [TestServer::start_with(&env), TestServer::start_with(&env)];
    for (server, half) in servers.iter().zip(0..) {
        let producer = ProducerConfig::new(server.url()).connect().await.unwrap();
        for batch in 0..6 {
            for number in 0..EVENTS / 12 {
                producer.send(numbered(half * EVENTS / 2 + batch * EVENTS / 12 + number)).await.unwrap();
            }
            producer.flush().await.unwrap();
            server.wait_until_landed().await;
        }
        assert_eq!(producer.close().await.unwrap().accepted, EVENTS / 2);
    }
    let mut stored = Vec::new();
    for shard in 0..3 {
        let client = crate::common::TestClickHouse::client(&cluster.engine(shard));
        let statement = "SELECT count(), uniqExact(batch) FROM events";
        let (events, batches): (u64, u64) = client.query(statement).fetch_one().await.unwrap();
        assert!(batches >= 2, "shard {shard} has {batches} batches");
        stored.push(events);
    }
    assert_eq!(stored.iter().sum::<u64>(), EVENTS, "{stored:?}");
    // Both servers answer from all shards.
    for server in &servers {
        let found = figures(server).await.unwrap();
        assert_eq!(found, (EVENTS, EVENTS / 10), "{}", server.log());
    }

    // Without one of them there is no figure, rather than a lower one.
    tokio::task::block_in_place(|| cluster.stop(2));
    let deadline = Instant::now() + TIMEOUT;
    let error = loop {
        match figures(&servers[0]).await {
            // The last result, kept.
            Ok(found) => assert_eq!(found, (EVENTS, EVENTS / 10)),
            Err(error) => break error,
        }
        assert!(Instant::now() < deadline, "figures come from nowhere");
        tokio::time::sleep(Duration::from_millis(200)).await;
    };
    assert_eq!(error.code(), tonic::Code::Unavailable, "{error}");
    let health = servers[0]
        .wait_for_health("the shard is away", |health| health.status() == v1::Status::Degraded)
        .await;
    assert_eq!(health.clickhouse.unwrap().replicas.len(), 3);
    // Events are accepted meanwhile, and go to the other shards.
    let producer = ProducerConfig::new(servers[0].url()).connect().await.unwrap();
    for number in EVENTS..EVENTS + 100 {
        producer.send(numbered(number)).await.unwrap();
    }
    producer.close().await.unwrap();
    tokio::task::block_in_place(|| cluster.start_again(2));
    let deadline = Instant::now() + TIMEOUT;
    loop {
        match figures(&servers[1]).await {
            Ok(found) if found == (EVENTS + 100, EVENTS / 10 + 10) => break,
            other => assert!(Instant::now() < deadline, "{other:?}\n{}", servers[0].log()),
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// The numbers of events and of users, as Explore answers.
async fn figures(server: &TestServer) -> Result<(u64, u64), tonic::Status> {
    let mut explore = ExploreServiceClient::new(server.channel().await);
    let series = |aggregation: v1::Aggregation| v1::TrendSeries {
        event_name: "page_view".to_owned(),
        aggregation: aggregation.into(),
        ..Default::default()
    };
    let request = v1::QueryTrendRequest {
        series: vec![series(v1::Aggregation::Events), series(v1::Aggregation::Visitors)],
        ..Default::default()
    };
    let lines = explore.query_trend(request).await?.into_inner().lines;
    let total = |line: &v1::TrendLine| line.total.and_then(|total| total.value).unwrap_or_default() as u64;
    Ok((total(&lines[0]), total(&lines[1])))
}

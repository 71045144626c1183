//! Watched panels while a shard is away.

use std::collections::BTreeSet;

use millrace_client::ProducerConfig;
use millrace_client::proto::v1;
use tonic::Streaming;
use v1::event::PropertiesKind;
use v1::watch_panels_response::Value;

use crate::common::emulation::{CLUSTER, EmulatedCluster};
use crate::common::{TIMEOUT, TestServer, event, next_update, now};
use crate::replicas::PASSWORD;

/// Sends visits, each of which has an event for every panel. Returns the second of each.
async fn send(server: &TestServer, visits: std::ops::Range<u64>) -> Vec<i64> {
    let producer = ProducerConfig::new(server.url()).connect().await.unwrap();
    let mut times = Vec::new();
    for visit in visits {
        let timestamp = now();
        times.push(timestamp.seconds);
        for name in ["page_view", "feature_used", "signup_started", "error_occurred"] {
            let properties = r#"{"page_url":"/","feature":"f"}"#.to_owned();
            let event = v1::Event {
                timestamp: Some(timestamp),
                session_id: format!("session {visit}"),
                country_code: "ES".to_owned(),
                properties_kind: Some(PropertiesKind::PropertiesJson(properties)),
                ..event(name)
            };
            producer.send(event).await.unwrap();
        }
        // Batches for every shard.
        if visit % 10 == 9 {
            producer.flush().await.unwrap();
        }
    }
    producer.close().await.unwrap();
    times
}

/// The figure of an update, as a number of visits, and how many it should count of those at these seconds.
fn visits(update: &v1::WatchPanelsResponse, times: &[i64]) -> (u64, u64) {
    let (figure, context) = match update.value.as_ref().expect("the value is kept") {
        Value::ActiveUsers(panel) => (panel.active_users, &panel.context),
        Value::SignupFunnel(panel) => (panel.started, &panel.context),
        Value::TopFeatures(panel) => {
            (panel.features.iter().map(|feature| feature.events).sum(), &panel.context)
        }
        Value::ErrorRate(panel) => (panel.points.iter().map(|point| point.errors).sum(), &panel.context),
        Value::LiveVisitors(panel) => (panel.total_views, &panel.context),
        Value::TopPages(panel) => (panel.pages.iter().map(|page| page.views).sum(), &panel.context),
        Value::TrafficByCountry(panel) => {
            (panel.points.iter().map(|point| point.views).sum(), &panel.context)
        }
        Value::TrafficAnomaly(panel) => (panel.current_views, &panel.context),
        other => panic!("{other:?}"),
    };
    // One panel begins with the hour, which may turn during the test.
    let start = context.as_ref().unwrap().range_start.unwrap().seconds;
    (figure, times.iter().filter(|time| **time >= start).count() as u64)
}

/// Waits until `is_done` has held for every panel. `check` sees every update.
async fn wait_for_all(
    stream: &mut Streaming<v1::WatchPanelsResponse>,
    check: impl Fn(&v1::WatchPanelsResponse),
    is_done: impl Fn(&v1::WatchPanelsResponse) -> bool,
    panels: &BTreeSet<String>,
) {
    let mut waiting = panels.clone();
    let waited = tokio::time::timeout(TIMEOUT, async {
        while !waiting.is_empty() {
            let update = next_update(stream).await.unwrap().expect("the stream is open");
            assert_eq!(update.error, None);
            check(&update);
            if is_done(&update) {
                waiting.remove(&update.id);
            }
        }
    });
    assert!(waited.await.is_ok(), "still waiting for {waiting:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn watched_panels_keep_their_values_while_a_shard_is_away() {
    let mut cluster = tokio::task::block_in_place(|| EmulatedCluster::start(3));
    let urls = cluster.urls.clone();
    let env = [("CLICKHOUSE_URL", urls.as_str()), ("CLICKHOUSE_CLUSTER", CLUSTER), PASSWORD];
    let server = TestServer::start_with(&env);
    // It watches, and gets no events.
    let other = TestServer::start_with(&env);
    let mut times = send(&server, 0..60).await;
    server.wait_until_landed().await;

    let mut dashboard = other.dashboard().await;
    let list = dashboard.list_panels(v1::ListPanelsRequest {}).await.unwrap().into_inner();
    let panels: BTreeSet<String> = list.panels.iter().map(|panel| panel.name.clone()).collect();
    assert_eq!(panels.len(), 8);
    let start = Some(prost_types::Timestamp { seconds: now().seconds - 1_800, nanos: 0 });
    let queries = panels.iter().map(|panel| {
        let has_window = ["active_users", "live_visitors"].contains(&&**panel);
        let window = has_window.then(|| ("window_minutes".to_owned(), "60".to_owned()));
        v1::PanelQuery {
            id: panel.clone(),
            panel: panel.clone(),
            interval: Some(v1::Interval { start, end: None }),
            parameters: window.into_iter().collect(),
            ..Default::default()
        }
    });
    let request = v1::WatchPanelsRequest { queries: queries.collect(), ..Default::default() };
    let mut stream = dashboard.watch_panels(request).await.unwrap().into_inner();
    let is_complete = |update: &v1::WatchPanelsResponse, times: &[i64]| {
        let (found, expected) = visits(update, times);
        found == expected && update.stale_reason.is_none()
    };
    wait_for_all(&mut stream, |_| {}, |update| is_complete(update, &times), &panels).await;

    tokio::task::block_in_place(|| cluster.stop(2));
    let later = send(&server, 60..80).await;
    let is_kept = |update: &v1::WatchPanelsResponse| {
        let (found, expected) = visits(update, &times);
        assert_eq!(found, expected, "{update:?}");
        assert_eq!(update.stale_reason.is_some(), update.stale_since.is_some(), "{update:?}");
    };
    wait_for_all(&mut stream, is_kept, |update| update.stale_reason.is_some(), &panels).await;

    tokio::task::block_in_place(|| cluster.start_again(2));
    let before = times.clone();
    times.extend(later);
    let is_not_lower = |update: &v1::WatchPanelsResponse| {
        let (found, expected) = visits(update, &before);
        assert!(found >= expected, "{found} instead of {expected} or more: {update:?}");
    };
    wait_for_all(&mut stream, is_not_lower, |update| is_complete(update, &times), &panels).await;
}

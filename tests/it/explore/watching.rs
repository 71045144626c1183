//! Queries of Explore are watched like panels.

use std::collections::HashMap;

use millrace_client::proto::v1;
use tokio_stream::StreamExt as _;
use v1::panel_query::Explore;
use v1::watch_panels_response::Value;

use crate::common::{TestServer, event, events_request};

#[tokio::test(flavor = "multi_thread")]
async fn trends_funnels_retention_and_paths_are_pushed() {
    let server = TestServer::start();
    let step = |name: &str| v1::FunnelStep { event_name: name.to_owned(), filter: None };
    let queries: [(&str, Explore); 4] = [
        (
            "trend",
            Explore::Trend(v1::QueryTrendRequest {
                series: vec![v1::TrendSeries { event_name: "start".to_owned(), ..Default::default() }],
                ..Default::default()
            }),
        ),
        (
            "funnel",
            Explore::Funnel(v1::QueryFunnelRequest {
                steps: vec![step("start"), step("done")],
                ..Default::default()
            }),
        ),
        (
            "retention",
            Explore::Retention(v1::QueryRetentionRequest {
                start: Some(step("start")),
                r#return: Some(step("")),
                ..Default::default()
            }),
        ),
        ("paths", Explore::Paths(v1::QueryPathsRequest::default())),
    ];
    let query = |(id, explore): (&str, Explore)| v1::PanelQuery {
        id: id.to_owned(),
        explore: Some(explore),
        ..Default::default()
    };
    let mut queries: Vec<v1::PanelQuery> = queries.into_iter().map(query).collect();
    queries.push(v1::PanelQuery { panel: "top_pages".to_owned(), ..Default::default() });
    let request = v1::WatchPanelsRequest { queries, ..Default::default() };
    let mut updates = server.dashboard().await.watch_panels(request).await.unwrap().into_inner();
    let mut sent = false;
    let mut counts = HashMap::new();
    while counts.values().filter(|count| **count == 1).count() < 4 {
        let update = updates.next().await.unwrap().unwrap();
        assert_eq!(update.error, None);
        let count = match update.value {
            Some(Value::Trend(trend)) => {
                assert_eq!(update.min_interval, None, "the rollup costs little");
                trend.lines[0].total.unwrap().value.unwrap() as u64
            }
            Some(Value::Funnel(funnel)) => {
                assert!(update.min_interval.is_some());
                funnel.overall.unwrap().steps[1].count
            }
            Some(Value::Retention(retention)) => {
                retention.overall.unwrap().cohorts.iter().map(|cohort| cohort.visitors).sum()
            }
            Some(Value::Paths(paths)) => paths.paths,
            _ => continue,
        };
        counts.insert(update.id, count);
        if counts.len() == 4 && !std::mem::replace(&mut sent, true) {
            assert!(counts.values().all(|count| *count == 0), "{counts:?}");
            let events = vec![event("start"), event("done")];
            server.ingest().await.send_events(events_request(events)).await.unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_query_ends_with_an_error_of_its_own() {
    let server = TestServer::start();
    let query = |id: &str, explore: Explore| v1::PanelQuery {
        id: id.to_owned(),
        explore: Some(explore),
        ..Default::default()
    };
    let request = v1::WatchPanelsRequest {
        queries: vec![query("bad", Explore::Funnel(v1::QueryFunnelRequest::default()))],
        ..Default::default()
    };
    let mut updates = server.dashboard().await.watch_panels(request).await.unwrap().into_inner();
    loop {
        let update = updates.next().await.unwrap().unwrap();
        if let Some(error) = update.error {
            assert_eq!(update.id, "bad");
            assert!(error.message.contains("steps: 0 are given; expected 2 to 10"), "{error:?}");
            return;
        }
    }
}

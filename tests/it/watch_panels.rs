//! WatchPanels: initial values, updates after events, and outages of ClickHouse.

use std::time::Duration;

use millrace_client::proto::v1;
use tonic::{Code, Streaming};
use v1::TimeRange;
use v1::watch_panels_response::Value;

use crate::common::{TIMEOUT, TestClickHouse, TestServer, event, events_request, free_address};

fn query(id: &str, panel: &str) -> v1::PanelQuery {
    v1::PanelQuery {
        id: id.into(),
        panel: panel.into(),
        time_range: TimeRange::TimeRange1h.into(),
        ..Default::default()
    }
}

fn watch_request(queries: Vec<v1::PanelQuery>) -> v1::WatchPanelsRequest {
    v1::WatchPanelsRequest { queries }
}

async fn next_update(stream: &mut Streaming<v1::WatchPanelsResponse>) -> v1::WatchPanelsResponse {
    let next = tokio::time::timeout(TIMEOUT, stream.message()).await.expect("an update arrives");
    next.unwrap().expect("the stream is open")
}

/// Returns the next update for which `predicate` holds.
async fn wait_for_update(
    stream: &mut Streaming<v1::WatchPanelsResponse>,
    predicate: impl Fn(&v1::WatchPanelsResponse) -> bool,
) -> v1::WatchPanelsResponse {
    loop {
        let update = next_update(stream).await;
        if predicate(&update) {
            return update;
        }
    }
}

fn active_users(update: &v1::WatchPanelsResponse) -> u64 {
    match &update.value {
        Some(Value::ActiveUsers(active)) => active.active_users,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn every_panel_sends_an_initial_value_and_updates() {
    // Without demand a batch would be due only after ten minutes.
    let server = TestServer::start_with(&[("FLUSH_INTERVAL_MS", "600000")]);
    let mut dashboard = server.dashboard().await;
    let names = dashboard.list_panels(v1::ListPanelsRequest {}).await.unwrap().into_inner().panels;
    let queries: Vec<_> = names.iter().map(|panel| query("", &panel.name)).collect();
    let mut stream = dashboard.watch_panels(watch_request(queries)).await.unwrap().into_inner();
    let mut first = std::collections::BTreeMap::new();
    while first.len() < names.len() {
        let update = next_update(&mut stream).await;
        assert!(update.value.is_some() && update.stale_reason.is_none(), "{update:?}");
        first.insert(update.id.clone(), update);
    }
    assert_eq!(active_users(&first["active_users"]), 0);

    server.ingest().await.send_events(events_request(vec![event("signup_started")])).await.unwrap();
    // In any order.
    let (mut active, mut funnel) = (false, false);
    while !(active && funnel) {
        let update = next_update(&mut stream).await;
        assert_eq!(update.id, update.panel);
        match update.value {
            Some(Value::ActiveUsers(users)) => active = users.active_users == 1,
            Some(Value::SignupFunnel(signups)) => funnel = signups.started == 1,
            _ => {}
        }
    }

    // A panel whose value has not changed sends no update: there was no page view.
    server.ingest().await.send_events(events_request(vec![event("signup_started")])).await.unwrap();
    let shows_both = |update: &v1::WatchPanelsResponse| match &update.value {
        Some(Value::SignupFunnel(funnel)) => funnel.started == 2,
        _ => false,
    };
    wait_for_update(&mut stream, shows_both).await;
    let stopped = server.stop();
    assert!(stopped.0.success(), "{}", stopped.1);
    let end = loop {
        match stream.message().await {
            Ok(Some(update)) => assert_ne!(update.id, "top_pages", "{update:?}"),
            other => break other,
        }
    };
    assert_eq!(end.unwrap_err().code(), Code::Unavailable, "the stop ends the stream");
}

#[tokio::test]
async fn values_become_stale_during_an_outage_and_recover() {
    let address = free_address();
    let folder = tempfile::tempdir().unwrap();
    let clickhouse = TestClickHouse::start(&address, folder.path());
    let url = format!("http://{address}");
    let server = TestServer::start_with(&[("CLICKHOUSE_URL", &url), ("MILLRACE_LOG", "info")]);
    server.wait_for_health("ok", |health| health.status() == v1::Status::Ok).await;
    server.ingest().await.send_events(events_request(vec![event("x")])).await.unwrap();
    server.wait_until_landed().await;

    let mut dashboard = server.dashboard().await;
    let mut stream =
        dashboard.watch_panels(watch_request(vec![query("a", "active_users")])).await.unwrap().into_inner();
    let fresh = wait_for_update(&mut stream, |update| update.stale_reason.is_none()).await;
    assert_eq!(active_users(&fresh), 1);
    drop(clickhouse);
    let stale = wait_for_update(&mut stream, |update| update.stale_reason.is_some()).await;
    assert_eq!(active_users(&stale), 1, "the last value stays");
    assert!(stale.stale_since.is_some());
    assert!(stale.stale_reason.as_ref().unwrap().contains("active_users"), "{stale:?}");

    // A new subscriber gets the stale value too.
    let late = dashboard.watch_panels(watch_request(vec![query("b", "active_users")])).await.unwrap();
    let late = next_update(&mut late.into_inner()).await;
    assert_eq!((late.id.as_str(), late.stale_since), ("b", stale.stale_since));

    let _clickhouse = TestClickHouse::start(&address, folder.path());
    let fresh = wait_for_update(&mut stream, |update| update.stale_reason.is_none()).await;
    assert_eq!((active_users(&fresh), fresh.stale_since), (1, None));
}

/// The number of SELECTs that ClickHouse has run.
async fn select_count(server: &TestServer) -> u64 {
    let counted = server.sql("SELECT sum(value) FROM system.events WHERE event = 'SelectQuery'").await;
    counted.parse().unwrap()
}

#[tokio::test]
async fn a_thousand_subscribers_cost_as_many_queries_as_one() {
    const SUBSCRIBERS: usize = 1_000;
    const EVENTS: u64 = 20;
    let server = TestServer::start();
    let mut producer = server.ingest().await;
    let mut selects_for = Vec::new();
    for subscribers in [1, SUBSCRIBERS] {
        let memory_before = server.rss_kib();
        let mut streams = Vec::new();
        let mut dashboard = server.dashboard().await;
        for number in 0..subscribers {
            if number % 100 == 0 {
                dashboard = server.dashboard().await; // the limit of streams per connection
            }
            // The same query in different forms.
            let mut query = query(&format!("w{number}"), "active_users");
            query.time_zone = (number % 2 == 0).then(|| "UTC".to_owned());
            if number % 3 == 0 {
                query.parameters.insert("window_minutes".into(), "5".into());
            }
            streams.push(dashboard.watch_panels(watch_request(vec![query])).await.unwrap().into_inner());
        }
        for (number, stream) in streams.iter_mut().enumerate() {
            assert_eq!(next_update(stream).await.id, format!("w{number}"));
        }
        let memory = server.rss_kib().saturating_sub(memory_before);
        println!("{subscribers} subscribers: {} KiB each", memory / subscribers as u64);
        if subscribers == SUBSCRIBERS {
            assert!(memory < 50 * SUBSCRIBERS as u64, "{memory} KiB for {SUBSCRIBERS} subscribers");
        }
        let before = select_count(&server).await;
        for number in 0..EVENTS {
            let mut event = event("x");
            event.session_id = format!("{subscribers}-{number}");
            producer.send_events(events_request(vec![event])).await.unwrap();
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
        selects_for.push(select_count(&server).await - before);
        let last = EVENTS * (1 + u64::from(subscribers == SUBSCRIBERS));
        for stream in &mut streams {
            wait_for_update(stream, |update| active_users(update) == last).await;
        }
    }
    // At most two SELECTs per computation, and one computation per event. Health checks add a few.
    println!("SELECTs for {EVENTS} events with 1 and with {SUBSCRIBERS} subscribers: {selects_for:?}");
    assert!(selects_for[1] <= 2 * selects_for[0], "{selects_for:?}");
}

#[tokio::test]
async fn a_slow_subscriber_gets_the_latest_value() {
    const UPDATES: u64 = 15;
    let folder = tempfile::tempdir().unwrap();
    let panel = "-- title: Wide\n-- chart: table\nSELECT count() AS events, repeat('x', 300000) AS padding FROM events";
    std::fs::write(folder.path().join("wide.sql"), panel).unwrap();
    let server = TestServer::start_with(&[("MILLRACE_PANELS_DIR", folder.path().to_str().unwrap())]);
    let mut dashboard = server.dashboard().await;
    while !dashboard
        .list_panels(v1::ListPanelsRequest {})
        .await
        .unwrap()
        .into_inner()
        .panels
        .iter()
        .any(|p| p.name == "wide")
    {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    // The default flow-control windows of HTTP/2: less than one value fits.
    let endpoint = tonic::transport::Channel::from_shared(server.url()).unwrap();
    let endpoint = endpoint.initial_stream_window_size(65_535).initial_connection_window_size(65_535);
    let channel = endpoint.connect().await.unwrap();
    let mut slow = v1::dashboard_service_client::DashboardServiceClient::new(channel);
    let mut stream = slow.watch_panels(watch_request(vec![query("", "wide")])).await.unwrap().into_inner();
    let mut fast = dashboard.watch_panels(watch_request(vec![query("", "wide")])).await.unwrap().into_inner();
    let events = |update: &v1::WatchPanelsResponse| match &update.value {
        Some(Value::Table(table)) => match table.rows[0].values[0].kind {
            Some(v1::value::Kind::Uint64Value(events)) => events,
            ref other => panic!("{other:?}"),
        },
        other => panic!("{other:?}"),
    };
    let mut producer = server.ingest().await;
    for number in 1..=UPDATES {
        producer.send_events(events_request(vec![event("x")])).await.unwrap();
        wait_for_update(&mut fast, |update| events(update) == number).await;
    }
    let mut seen = Vec::new();
    while seen.last() != Some(&UPDATES) {
        seen.push(events(&next_update(&mut stream).await));
    }
    assert!(seen.len() <= 5, "more than the values in flight and the newest: {seen:?}");
}

#[tokio::test]
async fn invalid_watched_queries_are_rejected_with_their_index() {
    let server = TestServer::start();
    let mut dashboard = server.dashboard().await;
    let mut zone = query("b", "top_pages");
    zone.time_zone = Some("Mars/Olympus".into());
    let cases = [
        (vec![], "1 to 100 panels"),
        (vec![query("", "active_users"); 101], "1 to 100 panels"),
        (vec![query("a", "active_users"), query("a", "error_rate")], "queries[1]: id: \"a\" is used twice"),
        (vec![query("a", "active_users"), zone], "queries[1]: time_zone: \"Mars/Olympus\""),
    ];
    for (queries, part) in cases {
        let error = dashboard.watch_panels(watch_request(queries)).await.unwrap_err();
        assert_eq!(error.code(), Code::InvalidArgument, "{error:?}");
        assert!(error.message().contains(part), "{} does not contain {part:?}", error.message());
    }
    let error = dashboard.watch_panels(watch_request(vec![query("", "nothing")])).await.unwrap_err();
    assert_eq!(error.code(), Code::NotFound);
    assert!(error.message().starts_with("queries[0]: panel: \"nothing\" is not known"), "{error:?}");
}

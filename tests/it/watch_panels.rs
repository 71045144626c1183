//! WatchPanels: initial values, updates after events, and outages of ClickHouse.

use std::time::{Duration, Instant};

use millrace_client::proto::v1;
use tonic::{Code, Streaming};
use v1::TimeRange;
use v1::watch_panels_response::Value;

use crate::common::{self, TestClickHouse, TestServer, event, events_request, free_address};

fn query(id: &str, panel: &str) -> v1::PanelQuery {
    v1::PanelQuery {
        id: id.into(),
        panel: panel.into(),
        time_range: TimeRange::TimeRange1h.into(),
        ..Default::default()
    }
}

fn watch_request(queries: Vec<v1::PanelQuery>) -> v1::WatchPanelsRequest {
    v1::WatchPanelsRequest { queries, ..Default::default() }
}

async fn next_update(stream: &mut Streaming<v1::WatchPanelsResponse>) -> v1::WatchPanelsResponse {
    common::next_update(stream).await.unwrap().expect("the stream is open")
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

    // A panel whose value has not changed sends no update, unless its span has moved on by a minute: there was no page view.
    let range_end = |update: &v1::WatchPanelsResponse| match &update.value {
        Some(Value::TopPages(pages)) => pages.context.as_ref().unwrap().range_end,
        other => panic!("{other:?}"),
    };
    let mut pages_end = range_end(&first["top_pages"]);
    server.ingest().await.send_events(events_request(vec![event("signup_started")])).await.unwrap();
    let shows_both = |update: &v1::WatchPanelsResponse| match &update.value {
        Some(Value::SignupFunnel(funnel)) => funnel.started == 2,
        _ => false,
    };
    wait_for_update(&mut stream, shows_both).await;
    let stopped = server.stop();
    assert!(stopped.0.success(), "{}", stopped.1);
    let end = loop {
        match common::next_update(&mut stream).await {
            Ok(Some(update)) if update.id == "top_pages" => {
                let end = range_end(&update);
                assert_ne!(end, pages_end, "{update:?}");
                pages_end = end;
            }
            Ok(Some(_)) => {}
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

#[tokio::test]
async fn a_watcher_sees_the_events_that_another_server_has_accepted() {
    let address = free_address();
    let folder = tempfile::tempdir().unwrap();
    let _clickhouse = TestClickHouse::start(&address, folder.path());
    let url = format!("http://{address}");
    // Without a refresh of its own: only a landing computes the panel again.
    let panels = tempfile::tempdir().unwrap();
    let panel = include_str!("../../queries/panels/active_users.sql");
    let file = panels.path().join("active_users.sql");
    std::fs::write(file, panel.replace("-- refresh: 5s", "-- refresh: 3600s")).unwrap();
    let env = [
        ("CLICKHOUSE_URL", url.as_str()),
        ("FLUSH_INTERVAL_MS", "100"),
        ("MILLRACE_PANELS_DIR", panels.path().to_str().unwrap()),
    ];
    let first = TestServer::start_with(&env);
    first.wait_for_health("ok", |health| health.status() == v1::Status::Ok).await;
    let second = TestServer::start_with(&env);
    let mut dashboard = first.dashboard().await;
    let mut stream =
        dashboard.watch_panels(watch_request(vec![query("a", "active_users")])).await.unwrap().into_inner();
    wait_for_update(&mut stream, |update| active_users(update) == 0).await;
    let mut times = Vec::new();
    for visitor in 1..=10 {
        let event = v1::Event { session_id: format!("visitor-{visitor}"), ..event("page_view") };
        second.ingest().await.send_events(events_request(vec![event])).await.unwrap();
        let accepted_at = Instant::now();
        wait_for_update(&mut stream, |update| active_users(update) == visitor).await;
        times.push(accepted_at.elapsed());
    }
    times.sort();
    println!("from the acknowledgement of one server to a watcher of the other: {times:?}");
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
async fn a_call_without_distinct_ids_is_rejected() {
    let server = TestServer::start();
    let mut dashboard = server.dashboard().await;
    let cases = [
        (vec![], "1 to 100 panels"),
        (vec![query("", "active_users"); 101], "1 to 100 panels"),
        (vec![query("a", "active_users"), query("a", "error_rate")], "queries[1]: id: \"a\" is used twice"),
    ];
    for (queries, part) in cases {
        let error = dashboard.watch_panels(watch_request(queries)).await.unwrap_err();
        assert_eq!(error.code(), Code::InvalidArgument, "{error:?}");
        assert!(error.message().contains(part), "{} does not contain {part:?}", error.message());
    }
    let request = v1::WatchPanelsRequest { result_format: 9, ..watch_request(vec![query("", "top_pages")]) };
    let error = dashboard.watch_panels(request).await.unwrap_err();
    assert!(error.message().starts_with("result_format: 9 is invalid"), "{error:?}");
}

#[tokio::test]
async fn an_invalid_query_gets_an_error_of_its_own_and_the_others_are_served() {
    let server = TestServer::start();
    let mut dashboard = server.dashboard().await;
    let mut zone = query("zone", "top_pages");
    zone.time_zone = Some("Mars/Olympus".into());
    let mut parameter = query("parameter", "top_pages");
    parameter.parameters.insert("limit".into(), "0".into());
    let range = v1::PanelQuery { time_range: 99, ..query("range", "top_pages") };
    let queries = vec![zone, parameter, range, query("", "nothing"), query("good", "top_pages")];
    let mut stream = dashboard.watch_panels(watch_request(queries)).await.unwrap().into_inner();
    let mut updates = std::collections::BTreeMap::new();
    while updates.len() < 5 {
        let update = next_update(&mut stream).await;
        updates.insert(update.id.clone(), update);
    }
    let long = "p".repeat(10_000);
    let mut stream =
        dashboard.watch_panels(watch_request(vec![query("long", &long)])).await.unwrap().into_inner();
    let rejected = next_update(&mut stream).await;
    assert!(rejected.error.is_some() && rejected.panel.len() < 200, "{rejected:?}");
    for (id, code, part) in [
        ("zone", Code::InvalidArgument, "time_zone: \"Mars/Olympus\""),
        ("parameter", Code::InvalidArgument, "from 1 to 100"),
        ("range", Code::InvalidArgument, "TIME_RANGE_7D"),
        ("nothing", Code::NotFound, "panel: \"nothing\" is not known"),
    ] {
        let error = updates[id].error.as_ref().unwrap_or_else(|| panic!("{:?}", updates[id]));
        assert_eq!(error.code, i32::from(code), "{error:?}");
        assert!(error.message.contains(part), "{error:?} does not contain {part:?}");
        assert_eq!(updates[id].value, None);
    }
    assert!(matches!(updates["good"].value, Some(Value::TopPages(_))), "{:?}", updates["good"]);
}

#[tokio::test]
async fn heartbeats_report_the_server_and_arrive_without_updates() {
    let server = TestServer::start();
    let mut dashboard = server.dashboard().await;
    let list = dashboard.list_panels(v1::ListPanelsRequest {}).await.unwrap().into_inner();
    assert!(!list.has_events && !list.version.is_empty(), "{list:?}");
    let request = watch_request(vec![query("", "nothing")]);
    let mut stream = dashboard.watch_panels(request).await.unwrap().into_inner();
    let first = stream.message().await.unwrap().unwrap();
    let heartbeat = first.heartbeat.clone().expect("the first message is a heartbeat");
    let rest = v1::WatchPanelsResponse { heartbeat: None, ..first };
    assert_eq!(rest, v1::WatchPanelsResponse::default(), "a heartbeat has nothing else");
    assert!(heartbeat.server_time.is_some());
    assert_eq!((heartbeat.panels_version, heartbeat.has_events), (list.version, false));

    // Heartbeats report the first event, although the query has ended.
    server.ingest().await.send_events(events_request(vec![event("x")])).await.unwrap();
    wait_for_heartbeat(&mut stream, |heartbeat| heartbeat.has_events).await;
    assert!(dashboard.list_panels(v1::ListPanelsRequest {}).await.unwrap().into_inner().has_events);
}

async fn wait_for_heartbeat(
    stream: &mut Streaming<v1::WatchPanelsResponse>,
    predicate: impl Fn(&v1::Heartbeat) -> bool,
) -> v1::Heartbeat {
    loop {
        let next =
            tokio::time::timeout(common::TIMEOUT, stream.message()).await.expect("the stream is alive");
        let next = next.unwrap().expect("the stream is open");
        if let Some(heartbeat) = next.heartbeat.filter(|heartbeat| predicate(heartbeat)) {
            return heartbeat;
        }
    }
}

#[tokio::test]
async fn a_server_has_events_also_if_they_are_older_than_a_week() {
    let server = TestServer::start();
    let eight_days_ago = jiff::Timestamp::now() - jiff::SignedDuration::from_hours(8 * 24);
    let timestamp = Some(prost_types::Timestamp { seconds: eight_days_ago.as_second(), nanos: 0 });
    let old = v1::Event { timestamp, ..event("x") };
    assert_eq!(
        server.ingest().await.send_events(events_request(vec![old])).await.unwrap().into_inner().accepted,
        1
    );
    server.wait_until_landed().await;
    let data_dir = server.shared_data_dir();
    assert!(server.stop().0.success());
    // Nothing lands after the restart.
    let server = TestServer::start_on(data_dir, &[]);
    let mut dashboard = server.dashboard().await;
    assert!(dashboard.list_panels(v1::ListPanelsRequest {}).await.unwrap().into_inner().has_events);
}

#[tokio::test]
async fn a_removed_panel_ends_its_query_and_a_new_version_brings_it_back() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("mine.sql");
    let panel =
        "-- title: Mine\n-- chart: number\n-- parameter: n UInt16 = 1 from 1 to 9: x\nSELECT {n:UInt16} AS n";
    std::fs::write(&file, panel).unwrap();
    let server = TestServer::start_with(&[("MILLRACE_PANELS_DIR", folder.path().to_str().unwrap())]);
    let mut dashboard = server.dashboard().await;
    let list = dashboard.list_panels(v1::ListPanelsRequest {}).await.unwrap().into_inner();
    assert!(
        list.panels.iter().any(|panel| panel.name == "mine"),
        "the folder is loaded before the server accepts calls"
    );
    let mut nine = query("nine", "mine");
    nine.parameters.insert("n".into(), "9".into());
    let queries = vec![query("mine", "mine"), nine.clone(), query("top_pages", "top_pages")];
    let mut stream = dashboard.watch_panels(watch_request(queries)).await.unwrap().into_inner();
    let mut values = std::collections::BTreeSet::new();
    while values.len() < 3 {
        let update = next_update(&mut stream).await;
        assert!(update.value.is_some(), "{update:?}");
        values.insert(update.id);
    }

    // A value that the changed panel does not allow ends only its own query.
    std::fs::write(&file, panel.replace("to 9", "to 5")).unwrap();
    let ended = wait_for_update(&mut stream, |update| update.error.is_some()).await;
    let error = ended.error.unwrap();
    assert_eq!((ended.id.as_str(), error.code), ("nine", i32::from(Code::InvalidArgument)), "{error:?}");
    assert!(error.message.contains("from 1 to 5"), "{error:?}");

    std::fs::remove_file(&file).unwrap();
    let ended = wait_for_update(&mut stream, |update| update.error.is_some()).await;
    let error = ended.error.unwrap();
    assert_eq!((ended.id.as_str(), error.code), ("mine", i32::from(Code::NotFound)), "{error:?}");
    wait_for_heartbeat(&mut stream, |heartbeat| heartbeat.panels_version != list.version).await;
    server.ingest().await.send_events(events_request(vec![page_view()])).await.unwrap();
    wait_for_update(&mut stream, |update| match &update.value {
        Some(Value::TopPages(pages)) => pages.pages.len() == 1,
        _ => false,
    })
    .await;

    std::fs::write(&file, panel).unwrap();
    wait_for_heartbeat(&mut stream, |heartbeat| heartbeat.panels_version == list.version).await;
    let mut again = dashboard.watch_panels(watch_request(vec![nine])).await.unwrap().into_inner();
    assert!(next_update(&mut again).await.value.is_some());
}

fn page_view() -> v1::Event {
    let properties = v1::event::PropertiesKind::PropertiesJson(r#"{"page_url":"/a"}"#.into());
    v1::Event { properties_kind: Some(properties), ..event("page_view") }
}

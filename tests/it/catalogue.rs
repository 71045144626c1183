//! The catalogue: names of events, their properties, and values.

use std::sync::Arc;
use std::time::{Duration, Instant};

use millrace_client::proto::v1;
use serde_json::json;
use tonic::Code;
use tonic::transport::Channel;
use v1::catalogue_service_client::CatalogueServiceClient;
use v1::event::PropertiesKind;

use crate::common::{TIMEOUT, TestServer, event, events_request, http_request};

const DAY_MS: i64 = 86_400_000;

/// Whether every stored event was counted.
const IS_COUNTED: &str = "SELECT (SELECT ifNull(max(toUInt128(batch)), 0) FROM events) \
    < (SELECT argMax(catalogue_marks.done, version) FROM catalogue_marks)";

async fn wait_until_counted(server: &TestServer) {
    let deadline = Instant::now() + TIMEOUT;
    while server.sql(IS_COUNTED).await != "1" {
        assert!(Instant::now() < deadline, "properties are not counted:\n{}", server.log());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn with(name: &str, properties: &serde_json::Value) -> v1::Event {
    v1::Event { properties_kind: Some(PropertiesKind::PropertiesJson(properties.to_string())), ..event(name) }
}

fn at(event: v1::Event, ms_ago: i64) -> v1::Event {
    let ms = jiff::Timestamp::now().as_millisecond() - ms_ago;
    v1::Event { timestamp: Some(millrace::internals::proto::timestamp_from_millis(ms)), ..event }
}

async fn send(server: &TestServer, events: Vec<v1::Event>) {
    let response = server.ingest().await.send_events(events_request(events)).await.unwrap().into_inner();
    assert!(response.rejections.is_empty(), "{response:?}");
    server.wait_until_landed().await;
}

async fn client(server: &TestServer) -> CatalogueServiceClient<Channel> {
    CatalogueServiceClient::new(server.channel().await)
}

async fn properties(server: &TestServer, event_name: &str) -> v1::ListPropertiesResponse {
    let request =
        v1::ListPropertiesRequest { event_name: event_name.into(), limit: 1_000, ..Default::default() };
    client(server).await.list_properties(request).await.unwrap().into_inner()
}

/// The keys, each with its counts by type.
fn summary(response: &v1::ListPropertiesResponse) -> Vec<String> {
    let keys = response.properties.iter().filter(|property| !property.is_own);
    let types = |property: &v1::CatalogueProperty| -> Vec<String> {
        let name =
            |of: &v1::PropertyTypeCount| of.r#type().as_str_name().replace("JSON_TYPE_", "").to_lowercase();
        property.types.iter().map(|of| format!("{} {}", of.events, name(of))).collect()
    };
    keys.map(|property| {
        let flips = if property.type_flips { " flips" } else { "" };
        let of_event = if property.of_event { "" } else { " (other)" };
        format!("{}: {} = {}{flips}{of_event}", property.key, property.events, types(property).join(" + "))
    })
    .collect()
}

async fn values(server: &TestServer, event_name: &str, field: &str, prefix: &str) -> v1::ListValuesResponse {
    let request = v1::ListValuesRequest {
        event_name: event_name.into(),
        field: field.into(),
        prefix: prefix.into(),
        ..Default::default()
    };
    client(server).await.list_values(request).await.unwrap().into_inner()
}

fn pairs(response: &v1::ListValuesResponse) -> Vec<(&str, u64)> {
    response.values.iter().map(|value| (value.value.as_str(), value.events)).collect()
}

#[tokio::test]
async fn counts_and_types_are_those_of_the_project_and_survive_restarts() {
    let folder = Arc::new(tempfile::tempdir().unwrap());
    let start = |project: &str| TestServer::start_on(Arc::clone(&folder), &[("MILLRACE_PROJECT", project)]);
    let other = start("other");
    send(&other, vec![with("order", &json!({ "secret": 1 })), with("hidden", &json!({}))]).await;
    assert!(other.stop().0.success());

    let server = start("alpha");
    let order =
        |plan: serde_json::Value| with("order", &json!({ "plan": plan, "items": [1], "to": { "x": 1 } }));
    send(
        &server,
        vec![
            order(json!("pro")),
            order(json!("pro")),
            order(json!(3)),
            order(json!(null)),
            at(with("order", &json!({ "old": true })), 20 * DAY_MS),
            with("page_view", &json!({ "page_url": "/a", "duration_ms": 5, "nullable": null })),
            with("page_view", &json!({ "page_url": 7, "nullable": "x" })),
        ],
    )
    .await;
    let expected = [
        "items: 4 = 4 array",
        "plan: 4 = 2 string + 1 null + 1 number flips",
        "to: 4 = 4 object",
        // Not in the last week.
        "old: 0 = ",
    ];
    let page_view = [
        "nullable: 2 = 1 null + 1 string",
        "page_url: 2 = 1 number + 1 string flips",
        "duration_ms: 1 = 1 number",
    ];
    let listed = properties(&server, "order").await;
    assert_eq!(summary(&listed)[..4], expected);

    // A restart counts what has landed, and a second one neither loses it nor counts it again.
    let mut server = server;
    for _ in 0..2 {
        assert!(server.stop().0.success());
        server = start("alpha");
        wait_until_counted(&server).await;
        let listed = properties(&server, "order").await;
        let others = page_view.map(|line| format!("{line} (other)"));
        let all: Vec<String> = expected.iter().map(|line| (*line).to_owned()).chain(others).collect();
        assert_eq!(summary(&listed), all);
        assert_eq!(summary(&properties(&server, "page_view").await)[..3], page_view);
    }

    // What lands later is added to what is stored.
    send(&server, vec![order(json!("team")), at(with("order", &json!({ "old": 1 })), 0)]).await;
    let listed = properties(&server, "order").await;
    assert_eq!(
        summary(&listed)[..4],
        [
            "items: 5 = 5 array",
            "plan: 5 = 3 string + 1 null + 1 number flips",
            "to: 5 = 5 object",
            "old: 1 = 1 number",
        ]
    );
    let old = &listed.properties[3];
    assert_eq!(old.field, "properties.old");
    let age = old.last_seen.unwrap().seconds - old.first_seen.unwrap().seconds;
    assert!((20 * 86_400..20 * 86_400 + 600).contains(&age), "{age}");
    let plan = listed.properties.iter().find(|property| property.key == "plan").unwrap();
    assert_eq!(plan.types[0].share_pct, 60.0);
    let own: Vec<&str> =
        listed.properties.iter().filter(|property| property.is_own).map(|own| own.field.as_str()).collect();
    assert_eq!(own, ["event_name", "session_id", "user_id", "device_type", "country_code"]);

    // Declared ones have their name and role.
    let listed = properties(&server, "page_view").await;
    let page_url = listed.properties.iter().find(|property| property.key == "page_url").unwrap();
    let declared = page_url.declared.as_ref().unwrap();
    assert_eq!(page_url.field, "page_url");
    assert_eq!((declared.r#type(), declared.role()), (v1::JsonType::String, v1::DeclaredRole::Dimension));

    // Search, and the keys of all events.
    let request = v1::ListPropertiesRequest { contains: "PAGE".into(), ..Default::default() };
    let found = client(&server).await.list_properties(request).await.unwrap().into_inner();
    assert_eq!(summary(&found), ["page_url: 2 = 1 number + 1 string flips (other)"]);

    // Nothing of the other project.
    let (head, body) = http_request(&server, "GET", "/api/catalogue/events", "", b"");
    assert!(head.contains(" 200 "), "{head}");
    let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
    let names: Vec<&str> =
        body["names"].as_array().unwrap().iter().map(|name| name["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["order", "page_view"], "{body}");
    let (head, body) = http_request(&server, "GET", "/api/catalogue/values?field=plan&limit=1", "", b"");
    assert!(head.contains(" 200 "), "{head}");
    let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(body["values"][0]["value"], "pro", "{body}");
}

#[tokio::test]
async fn names_have_counts_by_day_and_events_that_stopped_are_flagged() {
    let server = TestServer::start();
    let mut events = Vec::new();
    for days_ago in 2..=6 {
        events.extend((0..10).map(|_| at(event("stopped"), days_ago * DAY_MS)));
        events.push(at(event("rare"), days_ago * DAY_MS));
        events.extend((0..10).map(|_| at(event("Running"), days_ago * DAY_MS)));
    }
    events.push(event("Running"));
    events.push(at(event("long ago"), 25 * DAY_MS));
    send(&server, events).await;

    let mut client = client(&server).await;
    let response = client.list_event_names(v1::ListEventNamesRequest::default()).await.unwrap().into_inner();
    let listed: Vec<(&str, u64, usize, bool)> = response
        .names
        .iter()
        .map(|name| (name.name.as_str(), name.events, name.days.len(), name.stopped_since.is_some()))
        .collect();
    assert_eq!(
        listed,
        [
            ("Running", 51, 6, false),
            ("stopped", 50, 5, true),
            ("rare", 5, 5, false),
            ("long ago", 1, 1, false)
        ]
    );
    assert_eq!(response.total, 4);
    let stopped = &response.names[1];
    let ago =
        |time: Option<prost_types::Timestamp>| jiff::Timestamp::now().as_second() - time.unwrap().seconds;
    for (time, days) in [(stopped.first_seen, 6), (stopped.last_seen, 2), (stopped.stopped_since, 2)] {
        // To the quarter hour.
        let seconds = ago(time) - days * 86_400;
        assert!((0..900 + 600).contains(&seconds), "{seconds}");
    }

    for (request, expected, total) in [
        (v1::ListEventNamesRequest { prefix: "r".into(), ..Default::default() }, vec!["Running", "rare"], 2),
        (v1::ListEventNamesRequest { contains: "NN".into(), ..Default::default() }, vec!["Running"], 1),
        (v1::ListEventNamesRequest { limit: 1, ..Default::default() }, vec!["Running"], 4),
        // Names without events in these days are still there.
        (
            v1::ListEventNamesRequest { days: 1, limit: 2, ..Default::default() },
            vec!["Running", "long ago"],
            4,
        ),
    ] {
        let response = client.list_event_names(request.clone()).await.unwrap().into_inner();
        let names: Vec<&str> = response.names.iter().map(|name| name.name.as_str()).collect();
        assert_eq!((names, response.total), (expected, total), "{request:?}");
    }
}

#[tokio::test]
async fn values_are_listed_by_prefix() {
    let server = TestServer::start();
    let key = "the \"key\" of 'it' \\ {p0:String}";
    let view =
        |url: &str, value: serde_json::Value| with("page_view", &json!({ "page_url": url, key: value }));
    send(
        &server,
        vec![
            view("/Pricing", json!("it's \"quoted\"")),
            view("/Pricing", json!(1.5)),
            view("/a", json!(1.5)),
            view("/pr", json!(true)),
            at(view("/old", json!("old")), 10 * DAY_MS),
            with("other", &json!({ key: "elsewhere", "long": "x".repeat(501) })),
        ],
    )
    .await;
    let of_rollup = values(&server, "page_view", "page_url", "").await;
    assert_eq!(pairs(&of_rollup), [("/Pricing", 2), ("/a", 1), ("/pr", 1)]);
    assert!(of_rollup.from_rollup && of_rollup.other_events == 0);
    assert_eq!(pairs(&values(&server, "", "page_url", "/PR").await), [("/Pricing", 2), ("/pr", 1)]);
    assert_eq!(pairs(&values(&server, "page_view", "country_code", "").await), [("ZZ", 5 - 1)]);

    let field = format!("properties.{key}");
    let of_events = values(&server, "page_view", &field, "").await;
    assert_eq!(pairs(&of_events), [("1.5", 2), ("it's \"quoted\"", 1), ("true", 1)]);
    assert!(!of_events.from_rollup);
    let read = of_events.end.unwrap().seconds - of_events.start.unwrap().seconds;
    assert!((6 * 86_400..=7 * 86_400).contains(&read), "{read}");
    assert_eq!(pairs(&values(&server, "", &field, "").await).len(), 4);
    assert_eq!(pairs(&values(&server, "", &field, "IT'S \"").await), [("it's \"quoted\"", 1)]);
    assert_eq!(pairs(&values(&server, "", "long", "").await), []);
    assert_eq!(pairs(&values(&server, "", "event_name", "p").await), [("page_view", 4)]);
    assert_eq!(pairs(&values(&server, "", "session_id", "").await), [("session", 5)]);
}

#[tokio::test]
async fn keys_beyond_the_bound_are_counted_together() {
    let folder = Arc::new(tempfile::tempdir().unwrap());
    let server = TestServer::start_on(Arc::clone(&folder), &[]);
    let keys: serde_json::Map<String, serde_json::Value> =
        (0..1_001).map(|key| (format!("key_{key}"), json!(key))).collect();
    let keys = serde_json::Value::Object(keys);
    let common = with("wide", &json!({ "common": "x" }));
    send(&server, vec![with("wide", &keys), with("narrow", &json!({ "key_1": 1 })), common.clone(), common])
        .await;
    assert!(server.stop().0.success());

    let server = TestServer::start_on(folder, &[]);
    wait_until_counted(&server).await;
    let listed = properties(&server, "wide").await;
    // The most frequent one is among those that are listed.
    assert_eq!(listed.properties[0].key, "common");
    let of_event = listed.properties.iter().filter(|property| property.of_event && !property.is_own).count();
    assert_eq!((of_event, listed.other_events), (1_000, 2));
    let narrow = properties(&server, "narrow").await;
    assert_eq!(summary(&narrow)[0], "key_1: 1 = 1 number");
    assert_eq!(narrow.other_events, 0);
}

#[tokio::test]
async fn frequent_events_are_counted_from_a_sample() {
    let server = TestServer::start();
    let events: Vec<v1::Event> = (0..4_000).map(|number| with("frequent", &json!({ "n": number }))).collect();
    let mut ingest = server.ingest().await;
    for events in events.chunks(500) {
        let response = ingest.send_events(events_request(events.to_vec())).await.unwrap().into_inner();
        assert!(response.rejections.is_empty(), "{response:?}");
    }
    server.wait_until_landed().await;
    let listed = properties(&server, "frequent").await;
    let key = &listed.properties[0];
    assert!(key.is_estimate, "{key:?}");
    // One in 8: five standard deviations are a fifth.
    assert!((2_400..5_600).contains(&key.events), "{key:?}");
}

#[tokio::test]
async fn invalid_requests_name_what_is_wrong() {
    let server = TestServer::start();
    let mut client = client(&server).await;
    let status = client
        .list_event_names(v1::ListEventNamesRequest { days: 91, ..Default::default() })
        .await
        .unwrap_err();
    assert_eq!(
        (status.code(), status.message()),
        (Code::InvalidArgument, "days: 91 is given; expected 1 to 90")
    );
    let status = client
        .list_properties(v1::ListPropertiesRequest { limit: 1_001, ..Default::default() })
        .await
        .unwrap_err();
    assert_eq!(status.message(), "limit: 1001 is given; expected 1 to 1000");
    let status = client
        .list_properties(v1::ListPropertiesRequest { event_name: "x".repeat(129), ..Default::default() })
        .await
        .unwrap_err();
    assert!(status.message().contains("128 bytes"), "{status:?}");
    let status = client.list_values(v1::ListValuesRequest::default()).await.unwrap_err();
    assert!(status.message().starts_with("field: the field is missing"), "{status:?}");
    let long = v1::ListValuesRequest { field: "plan".into(), prefix: "x".repeat(501), ..Default::default() };
    let status = client.list_values(long).await.unwrap_err();
    assert!(status.message().ends_with("has 501 bytes; the maximum is 500"), "{status:?}");
    let (head, body) = http_request(&server, "GET", "/api/catalogue/values?feild=plan", "", b"");
    let body = String::from_utf8(body).unwrap();
    assert!(head.contains(" 400 ") && body.contains("feild"), "{head}\n{body}");
}

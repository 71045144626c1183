//! EventsService: searches, tails and rejected events, over gRPC and HTTP.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::sync::Arc;

use millrace_client::proto::v1;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use rand::{Rng as _, SeedableRng as _};
use serde_json::{Value, json};
use tonic::Streaming;
use tonic::transport::Channel;
use uuid::Uuid;
use v1::event::PropertiesKind;
use v1::event_filter::Condition;
use v1::events_service_client::EventsServiceClient;

use crate::common::{TIMEOUT, TestServer, event, events_request, http_request, send_signal};

async fn events_client(server: &TestServer) -> EventsServiceClient<Channel> {
    EventsServiceClient::new(server.channel().await)
}

fn field(field: &str, operator: v1::FieldOperator, values: &[&str]) -> v1::EventFilter {
    let values = values.iter().map(|value| (*value).to_owned()).collect();
    let condition = v1::FieldCondition { field: field.to_owned(), operator: operator.into(), values };
    v1::EventFilter { condition: Some(Condition::Field(condition)) }
}

fn is(name: &str, values: &[&str]) -> v1::EventFilter {
    field(name, v1::FieldOperator::Is, values)
}

fn any(filters: Vec<v1::EventFilter>) -> v1::EventFilter {
    v1::EventFilter { condition: Some(Condition::Any(v1::EventFilterList { filters })) }
}

fn did(event_name: &str) -> v1::EventFilter {
    let did = v1::DidEvent { event_name: event_name.to_owned(), ..Default::default() };
    v1::EventFilter { condition: Some(Condition::Did(Box::new(did))) }
}

fn numbered(name: &str, n: usize) -> v1::Event {
    let properties = json!({ "n": n }).to_string();
    v1::Event { properties_kind: Some(PropertiesKind::PropertiesJson(properties)), ..event(name) }
}

fn number(event: &v1::AcceptedEvent) -> usize {
    let properties: Value = serde_json::from_str(&event.properties_json).unwrap();
    properties["n"].as_u64().unwrap() as usize
}

async fn next(tail: &mut Streaming<v1::TailEventsResponse>) -> v1::TailEventsResponse {
    tokio::time::timeout(TIMEOUT, tail.message()).await.expect("the tail is alive").unwrap().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_have_every_event_once_while_more_arrive() {
    const EVENTS: usize = 400;
    let server = TestServer::start();
    let mut ingest = server.ingest().await;
    // Forty events share each millisecond, so that pages end within one. The newest is sent last.
    let base = jiff::Timestamp::now().as_millisecond() - 100_000;
    let at = |n: usize| v1::Event {
        timestamp: Some(millrace::internals::proto::timestamp_from_millis(base + (n / 40) as i64 * 9_000)),
        ..numbered(["page_view", "signup_started", "checkout"][n % 3], n)
    };
    ingest.send_events(events_request((0..EVENTS).map(at).collect())).await.unwrap();
    server.wait_until_landed().await;
    let mut client = events_client(&server).await;
    let (mut found, mut token) = (Vec::new(), String::new());
    loop {
        let request =
            v1::SearchEventsRequest { page_size: Some(33), page_token: token, ..Default::default() };
        let page = client.search_events(request).await.unwrap().into_inner();
        assert!(page.events.len() <= 33 && page.cost.unwrap().rows_read > 0);
        let order = |event: &v1::AcceptedEvent| event.timestamp.map(|at| (at.seconds, at.nanos));
        assert!(page.events.is_sorted_by(|a, b| order(a) >= order(b)));
        found.extend(page.events.iter().map(number));
        token = page.next_page_token;
        if token.is_empty() {
            break;
        }
        // Newer than every page.
        ingest.send_events(events_request(vec![numbered("page_view", EVENTS + found.len())])).await.unwrap();
        server.wait_until_landed().await;
    }
    assert_eq!(found.len(), EVENTS);
    assert_eq!(found.into_iter().collect::<BTreeSet<_>>(), (0..EVENTS).collect());

    // A filter, also by what the visitor did, over HTTP. All events have one session.
    let get = |path: &str| {
        let (head, body) = http_request(&server, "GET", path, "text/plain", b"");
        (head, serde_json::from_slice::<Value>(&body).unwrap())
    };
    let (head, page) =
        get("/api/events?range=1h&filter=n:7&filter=n:8&filter=event_name:signup_started&page_size=5");
    assert!(head.starts_with("HTTP/1.1 200"), "{head} {page}");
    assert_eq!(page["events"].as_array().unwrap().len(), 1, "{page}");
    assert_eq!(page["events"][0]["properties_json"], r#"{"n":7}"#);
    assert_eq!(page["events"][0]["country_code"], "ZZ");
    assert_eq!(page["next_page_token"], "");
    for (name, expected) in [("checkout", 2), ("never", 0)] {
        let filter = did(name);
        let filter = v1::EventFilter {
            condition: Some(Condition::All(v1::EventFilterList {
                filters: vec![filter, is("n", &["7", "8"])],
            })),
        };
        let request = v1::SearchEventsRequest { filter: Some(filter), ..Default::default() };
        assert_eq!(
            client.search_events(request).await.unwrap().into_inner().events.len(),
            expected,
            "{name}"
        );
    }

    // What is wrong with a request is named.
    let filter = |filter| v1::SearchEventsRequest { filter: Some(filter), ..Default::default() };
    let other = v1::SearchEventsRequest { page_size: Some(1), ..Default::default() };
    let token = client.search_events(other).await.unwrap().into_inner().next_page_token;
    for (request, part) in [
        (v1::SearchEventsRequest { page_size: Some(501), ..Default::default() }, "page_size: 501"),
        (v1::SearchEventsRequest { page_token: "x".into(), ..Default::default() }, "page_token: it is not"),
        (v1::SearchEventsRequest { page_token: token, ..filter(is("a", &["b"])) }, "another filter or range"),
        (filter(field("price", v1::FieldOperator::Less, &["cheap"])), "price: \"cheap\" is not a number"),
        (filter(is("plan", &[])), "plan: FIELD_OPERATOR_IS takes 1 to 100 values; 0 are given"),
        (filter(field("plan", v1::FieldOperator::Matches, &["("])), "\"(\" is not a regular expression"),
    ] {
        let status = client.search_events(request).await.unwrap_err();
        assert_eq!(status.code(), tonic::Code::InvalidArgument);
        assert!(status.message().contains(part), "{status}");
    }
    for (query, part) in [
        ("filter=DE", "such as country_code:DE"),
        ("filter_json=%7B%22fild%22:1%7D", "filter_json: it is not the JSON of an EventFilter"),
        ("page_size=many", "page_size: \"many\" is not a whole number"),
        ("colour=1", "\"colour\" is not a parameter"),
        ("range=2h", "range: \"2h\""),
    ] {
        let (head, problem) = get(&format!("/api/events?{query}"));
        assert!(head.starts_with("HTTP/1.1 400"), "{query}: {head}");
        assert!(problem["detail"].as_str().unwrap().contains(part), "{query}: {problem}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tail_begins_with_stored_events_and_goes_on_before_clickhouse() {
    let server = TestServer::start();
    let mut ingest = server.ingest().await;
    ingest.send_events(events_request((0..150).map(|n| numbered("page_view", n)).collect())).await.unwrap();
    ingest.send_events(events_request(vec![numbered("other", 1)])).await.unwrap();
    server.wait_until_landed().await;
    let mut client = events_client(&server).await;
    let request =
        || v1::TailEventsRequest { filter: Some(is("event_name", &["page_view"])), ..Default::default() };
    let mut tail = client.tail_events(request()).await.unwrap().into_inner();
    let first = next(&mut tail).await;
    assert_eq!((first.events.len(), first.recent_problem.as_str()), (100, ""));
    assert!(first.events.iter().all(|event| event.event_name == "page_view" && !event.event_id.is_empty()));

    let engine = server.engine_pid().unwrap();
    send_signal(engine, "STOP");
    ingest
        .send_events(events_request(vec![numbered("other", 2), numbered("page_view", 1_000)]))
        .await
        .unwrap();
    let live = next(&mut tail).await;
    assert_eq!(live.events.iter().map(number).collect::<Vec<_>>(), [1_000]);
    assert_eq!(live.events[0].event_id, "", "it is given when the event is stored");
    assert_eq!((live.skipped, live.unexamined), (0, 0));
    // Without ClickHouse a tail says so, and goes on.
    let mut late = client.tail_events(request()).await.unwrap().into_inner();
    let first = next(&mut late).await;
    assert!(first.events.is_empty() && first.recent_problem.contains("cannot be read"), "{first:?}");
    ingest.send_events(events_request(vec![numbered("page_view", 1_001)])).await.unwrap();
    for tail in [&mut tail, &mut late] {
        assert_eq!(next(tail).await.events.iter().map(number).collect::<Vec<_>>(), [1_001]);
    }
    send_signal(engine, "CONT");

    for (request, part) in [
        (
            v1::TailEventsRequest { filter: Some(any(vec![did("a")])), ..Default::default() },
            "needs stored events",
        ),
        (v1::TailEventsRequest { max_per_second: Some(0), ..Default::default() }, "max_per_second: 0"),
        (v1::TailEventsRequest { recent: Some(101), ..Default::default() }, "recent: 101"),
    ] {
        let status = client.tail_events(request).await.unwrap_err();
        assert_eq!(status.code(), tonic::Code::InvalidArgument);
        assert!(status.message().contains(part), "{status}");
    }
    // A tail does not delay the shutdown.
    let (status, log) = server.stop();
    assert!(status.success(), "{log}");
    let last = loop {
        match tail.message().await {
            Ok(Some(_)) => {}
            last => break last,
        }
    };
    assert_eq!(last.unwrap_err().code(), tonic::Code::Unavailable);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_matching_event_is_delivered_or_counted() {
    const REQUESTS: usize = 200;
    const EVENTS: usize = 100;
    let server = TestServer::start();
    let mut client = events_client(&server).await;
    let filter = any(vec![field("n", v1::FieldOperator::Less, &["50"]), is("event_name", &["end"])]);
    let request = v1::TailEventsRequest { filter: Some(filter), max_per_second: Some(100), recent: Some(0) };
    let mut tail = client.tail_events(request).await.unwrap().into_inner();
    let first = next(&mut tail).await;
    assert_eq!(first, v1::TailEventsResponse::default());
    let mut ingest = server.ingest().await;
    for _ in 0..REQUESTS {
        let events = (0..EVENTS).map(|n| numbered("page_view", n)).collect();
        ingest.send_events(events_request(events)).await.unwrap();
    }
    let (mut delivered, mut skipped, expected) = (0, 0, (REQUESTS * EVENTS / 2) as u64);
    while delivered + skipped < expected {
        let message = next(&mut tail).await;
        assert_eq!(message.unexamined, 0);
        assert!(message.events.iter().all(|event| number(event) < 50));
        delivered += message.events.len() as u64;
        skipped += message.skipped;
    }
    assert_eq!(delivered + skipped, expected);
    assert!(delivered >= 100 && skipped > 0, "{delivered} {skipped}");
}

#[tokio::test]
async fn rejected_events_are_listed_with_key_field_and_reason() {
    let server = TestServer::start();
    let mut ingest = server.ingest().await;
    let invalid = v1::Event { country_code: "Spain".into(), ..numbered("page_view", 7) };
    ingest.send_events(events_request(vec![event("fine"), invalid])).await.unwrap();
    let long = "x".repeat(1_000);
    let body = json!([
        { "event_name": "signup", "timestamp": "2100-01-01T00:00:00Z", "properties": { "text": long } },
        { "event_name": "", "timestamp": "2026-11-22T10:00:00Z" },
    ]);
    let (head, _) = http_request(&server, "POST", "/events", "application/json", body.to_string().as_bytes());
    assert!(head.starts_with("HTTP/1.1 400"), "{head}");
    let (_, body) = http_request(&server, "GET", "/api/events/rejected?limit=10", "text/plain", b"");
    let list: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(list["total"], 3, "{list}");
    let events = list["events"].as_array().unwrap();
    let field = |index: usize, name: &str| events[index][name].as_str().unwrap();
    assert_eq!(events.len(), 3);
    assert_eq!((field(0, "source"), field(0, "field")), ("EVENT_SOURCE_HTTP", "event_name"));
    assert_eq!((field(1, "source"), field(1, "field")), ("EVENT_SOURCE_HTTP", "timestamp"));
    assert!(field(1, "payload").len() == 500 && field(1, "payload").contains("signup"), "{list}");
    assert_eq!((field(2, "source"), field(2, "field")), ("EVENT_SOURCE_GRPC", "country_code"));
    assert_eq!(field(2, "event_name"), "page_view");
    assert!(field(2, "reason").contains("\"Spain\" is not an ISO 3166-1"), "{list}");
    assert!(field(2, "payload").contains(r#""country_code":"Spain""#), "{list}");
    assert_eq!(list["counts"].as_array().unwrap().len(), 3, "{list}");
    assert!(field(2, "library").starts_with("tonic/"), "{list}");
    let of_grpc =
        list["counts"].as_array().unwrap().iter().find(|count| count["field"] == "country_code").unwrap();
    assert_eq!(of_grpc["libraries"], json!([events[2]["library"]]), "{list}");
    assert_eq!(of_grpc["first_at"], of_grpc["last_at"], "{list}");
    // A flood is counted, and its reasons are grouped without their values.
    let wrong = (0..400).map(|n| v1::Event { country_code: format!("C{n}X"), ..event("page_view") });
    ingest.send_events(events_request(wrong.collect())).await.unwrap();
    let mut client = events_client(&server).await;
    let request = v1::ListRejectedEventsRequest { limit: Some(1_000) };
    let list = client.list_rejected_events(request).await.unwrap().into_inner();
    assert_eq!((list.total, list.events.len(), list.counts.len()), (403, 103, 3));
    assert_eq!((list.counts[0].events, list.counts[0].field.as_str()), (401, "country_code"));
}

#[tokio::test]
async fn who_sends_events_is_listed_with_what_came_from_each() {
    let server = TestServer::start();
    let mut ingest = server.ingest().await;
    let on = |device: &str| v1::Event { device_type: device.into(), ..event("page_view") };
    let invalid = v1::Event { country_code: "Spain".into(), ..event("page_view") };
    ingest
        .send_events(events_request(vec![on("mobile"), on("mobile"), on("desktop"), invalid]))
        .await
        .unwrap();
    let body = json!([{ "event_name": "signup", "timestamp": jiff::Timestamp::now().to_string(), "device_type": "tablet" }]).to_string();
    let (head, _) = http_request(&server, "POST", "/events", "application/json", body.as_bytes());
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    let list =
        events_client(&server).await.list_sources(v1::ListSourcesRequest {}).await.unwrap().into_inner();
    let [grpc, http] = list.sources.as_slice() else { panic!("{list:?}") };
    assert!(list.since.unwrap().seconds <= grpc.last_accepted_at.unwrap().seconds, "{list:?}");
    assert_eq!((grpc.source(), http.source()), (v1::EventSource::Grpc, v1::EventSource::Http));
    assert_eq!((grpc.accepted, grpc.rejected, http.accepted, http.rejected), (3, 1, 1, 0));
    assert!(grpc.library.starts_with("tonic/"), "{list:?}");
    assert!(grpc.last_rejected_at.is_some() && http.last_rejected_at.is_none(), "{list:?}");
    let devices = |source: &v1::Source| -> Vec<(String, u64)> {
        source.devices.iter().map(|device| (device.device_type.clone(), device.accepted)).collect()
    };
    assert_eq!(devices(grpc), [("mobile".to_owned(), 2), ("desktop".to_owned(), 1)]);
    assert_eq!(devices(http), [("tablet".to_owned(), 1)]);
    let (_, body) = http_request(&server, "GET", "/api/sources", "text/plain", b"");
    let list: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(list["sources"][0]["devices"][0]["device_type"], "mobile", "{list}");
}

#[tokio::test]
async fn each_project_has_its_own_events() {
    let folder = Arc::new(tempfile::tempdir().unwrap());
    for project in ["default", "shop"] {
        let server = TestServer::start_on(Arc::clone(&folder), &[("MILLRACE_PROJECT", project)]);
        let mut ingest = server.ingest().await;
        ingest.send_events(events_request(vec![event(project)])).await.unwrap();
        server.wait_until_landed().await;
        let mut client = events_client(&server).await;
        let page = client.search_events(v1::SearchEventsRequest::default()).await.unwrap().into_inner();
        assert_eq!(page.events.iter().map(|event| event.event_name.as_str()).collect::<Vec<_>>(), [project]);
        let other = if project == "shop" { "default" } else { "shop" };
        let request = v1::SearchEventsRequest {
            filter: Some(any(vec![did(other), did(project)])),
            ..Default::default()
        };
        assert_eq!(client.search_events(request).await.unwrap().into_inner().events.len(), 1);
        let request = v1::SearchEventsRequest { filter: Some(did(other)), ..Default::default() };
        assert!(client.search_events(request).await.unwrap().into_inner().events.is_empty());
        let mut tail = client.tail_events(v1::TailEventsRequest::default()).await.unwrap().into_inner();
        assert_eq!(next(&mut tail).await.events.len(), 1);
        assert!(server.stop().0.success());
    }
}

/// Runs a command of the program against the server.
fn command(server: &TestServer, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_millrace"));
    command.args(arguments).args(["--address", &server.url()]).stdin(Stdio::null());
    command
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_print_events_until_they_are_interrupted_or_nobody_reads() {
    let server = TestServer::start();
    let mut ingest = server.ingest().await;
    let events = ["signup_started", "signup_completed", "page_view"].map(|name| numbered(name, 1));
    ingest.send_events(events_request(events.to_vec())).await.unwrap();
    server.wait_until_landed().await;
    let search = |format: &str| {
        let arguments = ["events", "search", "--event", "signup_*", "--filter", "n=1", "--format", format];
        let output = command(&server, &arguments).output().unwrap();
        assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let json: Vec<Value> = search("json").lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let names: BTreeSet<_> = json.iter().map(|event| event["event_name"].as_str().unwrap()).collect();
    assert_eq!(names, BTreeSet::from(["signup_completed", "signup_started"]));
    assert_eq!((search("csv").lines().count(), search("table").lines().count()), (3, 2));
    assert!(!search("table").contains('\u{1b}'), "colours are for terminals");
    let output =
        command(&server, &["events", "search", "--filter", "n=1", "--filter", "=1"]).output().unwrap();
    assert!(String::from_utf8_lossy(&output.stderr).contains("the field is missing"), "{output:?}");

    for is_closed in [false, true] {
        let arguments = ["tail", "--event", "page_view", "--recent", "1", "--format", "json"];
        let mut tail =
            command(&server, &arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(tail.stdout.take().unwrap()).lines();
        let stored: Value = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
        assert_ne!(stored["event_id"], "");
        ingest.send_events(events_request(vec![numbered("page_view", 2)])).await.unwrap();
        let live: Value = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
        assert_eq!((&live["event_id"], &live["properties_json"]), (&json!(""), &json!(r#"{"n":2}"#)));
        if is_closed {
            drop(lines);
            ingest.send_events(events_request(vec![numbered("page_view", 3)])).await.unwrap();
        } else {
            send_signal(tail.id(), "INT");
        }
        let output = tail.wait_with_output().unwrap();
        assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
        server.wait_until_landed().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tail_over_http_is_a_stream_of_server_sent_events() {
    let server = TestServer::start();
    let mut stream = TcpStream::connect(&server.address).unwrap();
    stream.set_read_timeout(Some(TIMEOUT)).unwrap();
    stream.write_all(b"GET /api/events/tail?filter=n:5&recent=0 HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    let mut messages = BufReader::new(stream).lines().map(Result::unwrap).filter_map(|line| {
        assert!(!line.starts_with("HTTP/") || line.starts_with("HTTP/1.1 200"), "{line}");
        Some(serde_json::from_str::<Value>(line.strip_prefix("data: ")?).unwrap())
    });
    assert_eq!(messages.next().unwrap()["events"], json!([]));
    let mut ingest = server.ingest().await;
    ingest.send_events(events_request((0..10).map(|n| numbered("page_view", n)).collect())).await.unwrap();
    let message = messages.next().unwrap();
    assert_eq!(message["events"].as_array().unwrap().len(), 1, "{message}");
    assert_eq!(message["events"][0]["properties_json"], r#"{"n":5}"#);
    assert_eq!((&message["skipped"], &message["unexamined"]), (&json!(0), &json!(0)));
}

/// Texts and numbers that filters and properties have in common, so that filters select some events.
const TEXTS: [&str; 14] = [
    "",
    "a",
    "ab",
    "Ab",
    "1",
    "1.5",
    "1000",
    "true",
    "caf\u{e9}",
    "a\nb",
    "say \"x\" \\ {p0}",
    "\u{1f600}",
    "/a/:id",
    "{\"b\":1}",
];
const JSON_NUMBERS: [&str; 12] = [
    "0",
    "1",
    "1.0",
    "1.50",
    "1e3",
    "-2",
    "-0.0",
    "1e21",
    "1e-7",
    "18446744073709551615",
    "0.1",
    "123456.789",
];
const FIELDS: [&str; 12] = [
    "event_name",
    "session_id",
    "user_id",
    "device_type",
    "country_code",
    "page_url",
    "browser",
    "duration_ms",
    "properties.duration_ms",
    "properties.page_url",
    "plan",
    "count",
];

fn random_json(random: &mut StdRng, depth: usize) -> String {
    let text = |random: &mut StdRng| json!(TEXTS.choose(random).unwrap()).to_string();
    match random.random_range(0..if depth < 2 { 9 } else { 7 }) {
        0..=2 => text(random),
        3 | 4 => (*JSON_NUMBERS.choose(random).unwrap()).to_owned(),
        5 => (*["true", "false", "null"].choose(random).unwrap()).to_owned(),
        6 => "\"\\u00e9\\/\\ud83d\\ude00\"".to_owned(),
        7 => format!("[ {}, {}]", random_json(random, depth + 1), random_json(random, depth + 1)),
        _ => format!("{{{} : {}}}", text(random), random_json(random, depth + 1)),
    }
}

fn random_event(random: &mut StdRng) -> v1::Event {
    let mut members = Vec::new();
    for key in ["page_url", "browser", "duration_ms", "plan", "count", "plan", "z"] {
        if random.random_bool(0.6) {
            members.push(format!("{}:{}", json!(key), random_json(random, 0)));
        }
    }
    if random.random_bool(0.05) {
        // ClickHouse rejects such an object as a whole.
        let number = ["1e400", "18446744073709551616", "-9223372036854775809"].choose(random).unwrap();
        members.push(format!("\"big\": {number}"));
    }
    let text = |random: &mut StdRng| (*TEXTS.choose(random).unwrap()).to_owned();
    v1::Event {
        event_name: (*["page_view", "feature_used", "a"].choose(random).unwrap()).to_owned(),
        session_id: text(random),
        user_id: random.random_bool(0.5).then(|| text(random)),
        device_type: (*["mobile", "Desktop", "toaster", ""].choose(random).unwrap()).to_owned(),
        country_code: (*["de", "ES", ""].choose(random).unwrap()).to_owned(),
        event_id: Some(Uuid::from_u128(random.random()).to_string()),
        properties_kind: Some(PropertiesKind::PropertiesJson(format!("{{{}}}", members.join(" , ")))),
        ..event("")
    }
}

fn random_filter(random: &mut StdRng, depth: usize) -> v1::EventFilter {
    use v1::FieldOperator as Operator;
    let list = |random: &mut StdRng| v1::EventFilterList {
        filters: (0..random.random_range(0..4)).map(|_| random_filter(random, depth + 1)).collect(),
    };
    let condition = match random.random_range(0..if depth < 3 { 10 } else { 6 }) {
        6 => Condition::All(list(random)),
        7 => Condition::Any(list(random)),
        8 | 9 => Condition::Not(Box::new(random_filter(random, depth + 1))),
        _ => {
            let operator = Operator::try_from(random.random_range(0..=12)).unwrap();
            let texts: Vec<&str> = TEXTS[1..]
                .iter()
                .copied()
                .chain(["page_view", "mobile", "unknown", "DE", "[1,2]", "1e21", "1e-7", "-0", "1.5"])
                .collect();
            let patterns =
                ["^a", "b$", "\\d", "\\w$", "^.$", "(?i)AB", "\\bx\\b", "[^a-z]", "^$", "a.b", "[[1]"];
            let numbers = ["0", "1", "1000", "-2", "1.5", "1e21", "0.1", "123456.789"];
            let values: Vec<&str> = match operator {
                Operator::IsSet | Operator::IsNotSet => vec![],
                Operator::Greater | Operator::GreaterOrEqual | Operator::Less | Operator::LessOrEqual => {
                    vec![*numbers.choose(random).unwrap()]
                }
                Operator::Between => {
                    let mut bounds = [numbers.choose(random).unwrap(), numbers.choose(random).unwrap()];
                    bounds.sort_by(|a, b| a.parse::<f64>().unwrap().total_cmp(&b.parse().unwrap()));
                    bounds.map(|bound| *bound).to_vec()
                }
                Operator::Matches => patterns.choose_multiple(random, 2).copied().collect(),
                _ => {
                    let count = random.random_range(1..4);
                    texts.choose_multiple(random, count).copied().collect()
                }
            };
            return field(FIELDS.choose(random).unwrap(), operator, &values);
        }
    };
    v1::EventFilter { condition: Some(condition) }
}

/// A filter selects the same events live, in Rust, as among the stored ones, in SQL.
#[tokio::test(flavor = "multi_thread")]
async fn filters_select_the_same_live_and_stored_events() {
    const FILTERS: usize = 60;
    const EVENTS: usize = 300;
    let server = TestServer::start();
    let mut client = events_client(&server).await;
    let mut random = StdRng::seed_from_u64(7);
    let mut selected_by = BTreeMap::new();
    for round in 0..2 {
        let end = format!("end-{round}");
        let mut tails = Vec::new();
        for _ in 0..FILTERS {
            let filter = any(vec![random_filter(&mut random, 0), is("event_name", &[&end])]);
            let request = v1::TailEventsRequest {
                filter: Some(filter.clone()),
                max_per_second: Some(1_000),
                recent: Some(0),
            };
            let mut tail = client.tail_events(request).await.unwrap().into_inner();
            next(&mut tail).await;
            tails.push((filter, tail));
        }
        let mut events: Vec<_> = (0..EVENTS).map(|_| random_event(&mut random)).collect();
        let ids: BTreeSet<_> = events.iter().filter_map(|event| event.event_id.clone()).collect();
        events.push(event(&end));
        let mut ingest = server.ingest().await;
        let response = ingest.send_events(events_request(events)).await.unwrap().into_inner();
        assert_eq!(response.accepted, EVENTS as u64 + 1, "{:?}", response.rejections);
        server.wait_until_landed().await;
        for (filter, mut tail) in tails {
            let mut live = BTreeSet::new();
            'tail: loop {
                let message = next(&mut tail).await;
                assert_eq!((message.skipped, message.unexamined), (0, 0));
                for event in message.events {
                    if event.event_name == end {
                        break 'tail;
                    }
                    live.insert(event.event_id);
                }
            }
            let request = v1::SearchEventsRequest {
                filter: Some(filter.clone()),
                page_size: Some(500),
                ..Default::default()
            };
            let (mut stored, mut token) = (BTreeSet::new(), String::new());
            loop {
                let request = v1::SearchEventsRequest { page_token: token, ..request.clone() };
                let page = client.search_events(request).await.unwrap().into_inner();
                stored.extend(page.events.into_iter().map(|event| event.event_id));
                token = page.next_page_token;
                if token.is_empty() {
                    break;
                }
            }
            stored.retain(|id| ids.contains(id));
            assert_eq!(live, stored, "{filter:#?}");
            *selected_by.entry(live.len() * 4 / EVENTS).or_insert(0) += 1;
        }
    }
    // The filters are neither all empty nor all full.
    assert!(selected_by.len() >= 4, "{selected_by:?}");
}

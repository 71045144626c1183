//! Projects in one data folder, and what the rollup stores of their events.

use std::sync::Arc;

use millrace::internals::properties::{Properties, PropertyType};
use millrace_client::ProducerConfig;
use millrace_client::proto::v1;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use rand::{Rng as _, SeedableRng as _};
use v1::event::PropertiesKind;

use crate::common::{TestServer, event, events_request};

fn event_with_properties(name: &str, properties: String) -> v1::Event {
    v1::Event { properties_kind: Some(PropertiesKind::PropertiesJson(properties)), ..event(name) }
}

#[tokio::test]
async fn projects_share_a_data_folder_and_no_producer_state() {
    let folder = Arc::new(tempfile::tempdir().unwrap());
    let projects = ["default", "shop", "web-2"];
    for (project, events) in projects.into_iter().zip(1..) {
        let server = TestServer::start_on(Arc::clone(&folder), &[("MILLRACE_PROJECT", project)]);
        let mut ingest = server.ingest().await;
        let known = v1::GetProducerRequest { producer_id: "one".into() };
        let known = ingest.get_producer(known).await.unwrap().into_inner().known;
        assert!(!known, "another project's producer has the same id");
        let request = v1::SendEventsRequest {
            producer_id: "one".into(),
            sequence: 1,
            ..events_request(vec![event("page_view"); events])
        };
        for accepted in [events as u64, 0] {
            let response = ingest.send_events(request.clone()).await.unwrap().into_inner();
            assert_eq!((response.accepted, response.last_durable_sequence), (accepted, 1), "{project}");
        }
        let (status, log) = server.stop();
        assert!(status.success(), "{log}");
    }
    let server = TestServer::start_on(folder, &[]);
    let counts = "SELECT groupArray((project, n)) FROM (SELECT project, count() AS n FROM events GROUP BY project ORDER BY n)";
    assert_eq!(server.sql(counts).await, "[('default',1),('shop',2),('web-2',3)]");
    let counts = "SELECT groupArray((project, n)) FROM (SELECT project, sum(events) AS n FROM rollup WHERE step = 60 AND \
                  event_name = '' GROUP BY project ORDER BY n)";
    assert_eq!(server.sql(counts).await, "[('default',1),('shop',2),('web-2',3)]");
}

fn random_properties(random: &mut StdRng) -> String {
    let addresses = [
        "https://www.Example.com/orders/12?utm=a#b",
        "/pricing",
        "/u/9f86d081884c7d65/0190b3e2-1b7a-7c3e-9a3b-2f1d5c6e7f80/",
        "https://t.co",
        "",
        "/caf\u{e9}/\u{1f600}",
        "android-app://com.example/path",
    ];
    let mut object = serde_json::Map::new();
    for key in ["page_url", "referrer", "browser", "os", "utm_source", "feature", "duration_ms", "plan"] {
        let value = match random.random_range(0..6) {
            0 => serde_json::Value::Null,
            1 => random.random_range(-10..2_000_000_000_i64).into(),
            2 => (random.random_range(0..9_000) as f64 / 7.0).into(),
            3 => serde_json::json!({ key: [1, "x"] }),
            4 => "\u{e4}b\\\"\n".repeat(random.random_range(0..200)).into(),
            _ => (*addresses.choose(random).unwrap()).into(),
        };
        if random.random_bool(0.7) {
            object.insert(key.to_owned(), value);
        }
    }
    serde_json::Value::Object(object).to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn promoted_columns_equal_their_default_expressions() {
    let server = TestServer::start();
    let producer = ProducerConfig::new(server.url()).connect().await.unwrap();
    let mut random = StdRng::seed_from_u64(3);
    for _ in 0..5_000 {
        let name = *["page_view", "feature_used", "login"].choose(&mut random).unwrap();
        let event = event_with_properties(name, random_properties(&mut random));
        producer.send(event).await.unwrap();
    }
    assert_eq!(producer.close().await.unwrap().rejected, 0);
    server.wait_until_landed().await;
    for property in Properties::built_in().iter() {
        let (column, default) = (&property.name, property.default_expression());
        let is_missing = match property.kind {
            PropertyType::Text => format!("{column} = ''"),
            PropertyType::Number => format!("{column} IS NULL"),
        };
        let counts = format!(
            "SELECT countIf({column} IS DISTINCT FROM ({default})), countIf({is_missing}) > 100, countIf(NOT ({is_missing})) > \
             100 FROM events"
        );
        assert_eq!(server.sql(&counts).await, "0\t1\t1", "{column}: {default}");
    }
}

/// A page address that is no id.
fn page(number: u64) -> String {
    let letter = |place: u32| char::from(b'a' + (number / 26_u64.pow(place) % 26) as u8);
    format!(r#"{{"page_url":"/{}"}}"#, (0..5).map(letter).collect::<String>())
}

async fn send_page_views(server: &TestServer, count: u64, pages: u64) {
    let producer = ProducerConfig::new(server.url()).connect().await.unwrap();
    for number in 0..count {
        let view = v1::Event {
            session_id: format!("session-{}", number % 5_000),
            ..event_with_properties("page_view", page(number % pages))
        };
        producer.send(view).await.unwrap();
    }
    assert_eq!(producer.close().await.unwrap().accepted, count);
    server.wait_until_landed().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_million_pages_take_neither_rows_nor_memory() {
    const EVENTS: u64 = 1_000_000;
    const MAX_VALUES: u64 = 5_000;
    let server = TestServer::start();
    // Twice: the second time, the memory is fragmented, and ClickHouse is as far behind as it gets.
    send_page_views(&server, EVENTS, 50).await;
    send_page_views(&server, EVENTS, 50).await;
    let usual_memory = server.proc_status_kib("VmHWM:");
    send_page_views(&server, EVENTS, EVENTS).await;
    let memory = server.proc_status_kib("VmHWM:");
    assert!(memory <= 2 * usual_memory, "{memory} KiB, and {usual_memory} KiB before");
    let rows = "SELECT step, uniqExact(value), sum(events), sumIf(events, value = '(other)') FROM rollup WHERE dimension = \
                'page_url' GROUP BY step ORDER BY step";
    // Midnight may pass meanwhile.
    let days: u64 = server.sql("SELECT uniqExact(toDate(received_at)) FROM events").await.parse().unwrap();
    for level in server.sql(rows).await.lines() {
        let figures: Vec<u64> = level.split('\t').map(|figure| figure.parse().unwrap()).collect();
        assert!(figures[1] <= days * (MAX_VALUES + 1), "{level}");
        assert_eq!(figures[2], 3 * EVENTS, "{level}");
        assert!(figures[3] >= EVENTS - days * MAX_VALUES, "{level}");
    }
}

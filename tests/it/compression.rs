//! What goes between Millrace and a ClickHouse server, compressed and not, through a proxy that counts and damages it.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, OnceLock};

use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::{Request, Response};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use millrace_client::proto::v1;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::common::{
    TestClickHouse, TestServer, event, events_request, free_address, http_request, serve_http,
};
use crate::replicas::{PASSWORD, name_engine};
use crate::rollup_assertions::assert_rollup_matches_events;

/// A proxy in front of an engine.
#[derive(Clone)]
struct Wire {
    engine: Arc<str>,
    client: Client<HttpConnector, Full<Bytes>>,
    /// Bytes in the bodies of inserts.
    inserted: Arc<AtomicU64>,
    /// Bytes in the bodies of results.
    returned: Arc<AtomicU64>,
    /// So many inserts are still to be damaged.
    to_damage: Arc<AtomicU64>,
    /// ClickHouse's code for each of these.
    refused: Arc<Mutex<Vec<String>>>,
}

impl Wire {
    /// Returns its address too.
    async fn start(engine: &str, damaged_inserts: u64) -> (Self, String) {
        let wire = Self {
            engine: engine.into(),
            client: Client::builder(TokioExecutor::new()).build_http(),
            inserted: Arc::default(),
            returned: Arc::default(),
            to_damage: Arc::new(damaged_inserts.into()),
            refused: Arc::default(),
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let served = wire.clone();
        tokio::spawn(serve_http(listener, move |request| served.clone().respond(request)));
        (wire, url)
    }

    async fn respond(self, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, String> {
        let (mut head, body) = request.into_parts();
        let mut body = Vec::from(body.collect().await.map_err(|error| error.to_string())?.to_bytes());
        let is_insert = head.uri.query().is_some_and(|query| query.contains("insert_deduplication_token"));
        let is_damaged = is_insert
            && self.to_damage.fetch_update(Relaxed, Relaxed, |inserts| inserts.checked_sub(1)).is_ok();
        if is_insert {
            self.inserted.fetch_add(body.len() as u64, Relaxed);
        }
        if is_damaged {
            let middle = body.len() / 2;
            body[middle] ^= 1;
        }
        let path = head.uri.path_and_query().map_or("/", |path| path.as_str());
        head.uri = format!("{}{path}", self.engine).parse().unwrap();
        let request = Request::from_parts(head, Full::from(body));
        let response = self.client.request(request).await.map_err(|error| error.to_string())?;
        let (head, body) = response.into_parts();
        let body = body.collect().await.map_err(|error| error.to_string())?.to_bytes();
        if is_damaged {
            let code = head.headers.get("x-clickhouse-exception-code").expect("the insert is refused");
            self.refused.lock().unwrap().push(code.to_str().unwrap().to_owned());
        }
        if !is_insert {
            self.returned.fetch_add(body.len() as u64, Relaxed);
        }
        Ok(Response::from_parts(head, Full::new(body)))
    }
}

/// A whole minute that was over when the first server started.
static END: OnceLock<i64> = OnceLock::new();

/// What a server that compresses like this reads from a ClickHouse: results, and the bytes of an event and of the results.
async fn figures_with(compression: &str, engine: &str) -> (Value, f64, f64) {
    let (wire, url) = Wire::start(engine, 0).await;
    let server = TestServer::start_with(&[
        ("CLICKHOUSE_URL", &url),
        PASSWORD,
        ("CLICKHOUSE_DATABASE", compression),
        ("CLICKHOUSE_COMPRESSION", compression),
    ]);
    let generate = tokio::process::Command::new(env!("CARGO_BIN_EXE_millrace"))
        .args(["generate", "--target", &server.url(), "--backfill", "60m", "--rate", "20"])
        .output()
        .await
        .unwrap();
    assert!(generate.status.success(), "{generate:?}");
    let health = server.wait_until_landed().await;
    let inserted = wire.inserted.load(Relaxed) as f64 / health.events_accepted as f64;
    // The same events for both.
    let end = *END.get_or_init(|| jiff::Timestamp::now().as_second() / 60 * 60 - 60);
    let at = |second: i64| jiff::Timestamp::from_second(second).unwrap().to_string();
    let (from, to) = (at(end - 3_000), at(end));
    let before = wire.returned.load(Relaxed);
    let get = |path: String| {
        let (head, body) = http_request(&server, "GET", &path, "application/json", b"");
        assert!(head.starts_with("HTTP/1.1 200"), "{head}\n{}", String::from_utf8_lossy(&body));
        serde_json::from_slice::<Value>(&body).unwrap()
    };
    let panel = get(format!("/api/panels/top_pages?from={from}&to={to}&limit=100"));
    let funnel = json!({
        "steps": [{ "event_name": "page_view" }, { "event_name": "signup_started" }],
        "range": { "interval": { "start": from, "end": to } },
    });
    let (head, funnel) =
        http_request(&server, "POST", "/api/query/funnel", "application/json", funnel.to_string().as_bytes());
    let funnel = String::from_utf8(funnel).unwrap();
    assert!(head.starts_with("HTTP/1.1 200"), "{head}\n{funnel}");
    let funnel: Value = serde_json::from_str(&funnel).unwrap();
    let events = get(format!("/api/events?from={from}&to={to}&page_size=500"));
    assert_eq!(events["events"].as_array().unwrap().len(), 500);
    let returned = (wire.returned.load(Relaxed) - before) as f64;
    (json!([panel["table"]["rows"], funnel["steps"]]), inserted, returned)
}

#[tokio::test(flavor = "multi_thread")]
async fn compressed_inserts_and_results_are_the_same_in_fewer_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let address = free_address();
    let engine = format!("http://{address}");
    let _clickhouse = TestClickHouse::start(&address, folder.path());
    let (plain, plain_event, plain_results) = figures_with("none", &engine).await;
    let (compressed, event, results) = figures_with("lz4", &engine).await;
    println!(
        "{plain_event:.0} bytes of inserts per event without compression, {event:.0} with LZ4; \
         {plain_results:.0} bytes of results without, {results:.0} with LZ4"
    );
    assert!(plain[0].as_array().unwrap().len() > 5, "{plain}");
    assert_eq!(plain, compressed);
    assert!(event * 2.0 < plain_event, "{event} of {plain_event} bytes");
    assert!(results * 2.0 < plain_results, "{results} of {plain_results} bytes");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_insert_that_is_damaged_on_the_way_is_repeated() {
    let folder = tempfile::tempdir().unwrap();
    let address = free_address();
    let engine = format!("http://{address}");
    let _clickhouse = TestClickHouse::start(&address, folder.path());
    // The first attempt, and the one after the comparison.
    let (wire, url) = Wire::start(&engine, 2).await;
    let server = TestServer::start_with(&[("CLICKHOUSE_URL", &url), PASSWORD]);
    name_engine(&server, &engine);
    let events = (0..500).map(|number| {
        let properties = format!(r#"{{"page_url":"/{}"}}"#, number % 7);
        v1::Event {
            properties_kind: Some(v1::event::PropertiesKind::PropertiesJson(properties)),
            ..event("page_view")
        }
    });
    server.ingest().await.send_events(events_request(events.collect())).await.unwrap();
    let health = server.wait_until_landed().await;
    // LZ4_DECODER_FAILED
    assert_eq!(*wire.refused.lock().unwrap(), ["616", "616"]);
    assert_eq!(health.dead_letters.unwrap().batches, 0);
    assert_eq!(server.sql_numbers("SELECT count() FROM events").await, [500]);
    assert_rollup_matches_events(&server).await;
}

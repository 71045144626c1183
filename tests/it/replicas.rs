//! A ClickHouse server behind several addresses, with credentials in files.
//!
//! There is no replicated ClickHouse here: two addresses of one engine stand for two replicas that never lag behind each other.
//! `make replica-test EVENTS=1000000` sends more events.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::{Request, Response};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use millrace_client::ProducerConfig;
use millrace_client::proto::v1;
use tokio::net::TcpListener;

use crate::common::{TIMEOUT, TestClickHouse, TestServer, event, events_request, free_address, serve_http};
use crate::rollup_assertions::assert_rollup_matches_events;

pub(crate) const PASSWORD: (&str, &str) = ("CLICKHOUSE_PASSWORD", TestClickHouse::PASSWORD);

/// Two addresses of one engine. Some responses to inserts are lost, and the address that lost one is down until the other one loses
/// one too.
#[derive(Clone)]
pub(crate) struct FaultyReplicas {
    engine: Arc<str>,
    client: Client<hyper_util::client::legacy::connect::HttpConnector, Full<Bytes>>,
    /// Every so many-th response is lost.
    lost_every: u64,
    inserts: Arc<AtomicU64>,
    /// Index of the address that is down.
    down: Arc<AtomicUsize>,
    lost: Arc<AtomicU64>,
}

/// No response: hyper closes the connection.
#[derive(Debug)]
struct NoResponse;

impl std::fmt::Display for NoResponse {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("no response")
    }
}

impl std::error::Error for NoResponse {}

impl FaultyReplicas {
    /// Returns the addresses too.
    pub(crate) async fn start(engine: &str, lost_every: u64) -> (Self, String) {
        let replicas = Self {
            engine: engine.into(),
            client: Client::builder(TokioExecutor::new()).build_http(),
            lost_every,
            inserts: Arc::default(),
            down: Arc::new(AtomicUsize::new(usize::MAX)),
            lost: Arc::default(),
        };
        let mut urls = Vec::new();
        for index in 0..2 {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            urls.push(format!("http://{}", listener.local_addr().unwrap()));
            let served = replicas.clone();
            tokio::spawn(serve_http(listener, move |request| served.clone().respond(index, request)));
        }
        (replicas, urls.join(","))
    }

    /// The number of responses that were lost.
    pub(crate) fn lost(&self) -> u64 {
        self.lost.load(Relaxed)
    }

    async fn respond(
        self,
        index: usize,
        request: Request<Incoming>,
    ) -> Result<Response<Full<Bytes>>, NoResponse> {
        if self.down.load(Relaxed) == index {
            return Err(NoResponse);
        }
        let is_insert =
            request.uri().query().is_some_and(|query| query.contains("insert_deduplication_token"));
        let (mut head, body) = request.into_parts();
        let body = body.collect().await.map_err(|_| NoResponse)?.to_bytes();
        let path = head.uri.path_and_query().map_or("/", |path| path.as_str());
        head.uri = format!("{}{path}", self.engine).parse().unwrap();
        let request = Request::from_parts(head, Full::new(body));
        let response = self.client.request(request).await.map_err(|_| NoResponse)?;
        let (head, body) = response.into_parts();
        let body = body.collect().await.map_err(|_| NoResponse)?.to_bytes();
        // The engine has executed the statement.
        if is_insert && self.inserts.fetch_add(1, Relaxed).is_multiple_of(self.lost_every) {
            self.lost.fetch_add(1, Relaxed);
            self.down.store(index, Relaxed);
            return Err(NoResponse);
        }
        Ok(Response::from_parts(head, Full::new(body)))
    }
}

/// Makes [`TestServer::sql`] ask this engine.
pub(crate) fn name_engine(server: &TestServer, url: &str) {
    let endpoint = serde_json::json!({ "url": url, "user": "default", "password": TestClickHouse::PASSWORD });
    std::fs::write(server.data_dir().join("engine.json"), endpoint.to_string()).unwrap();
}

fn numbered(number: u64) -> v1::Event {
    v1::Event {
        session_id: format!("s{}", number % 1_000),
        user_id: Some(format!("u{}", number % 1_000)),
        properties_kind: Some(v1::event::PropertiesKind::PropertiesJson(format!(r#"{{"n":{number}}}"#))),
        ..event("page_view")
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn inserts_that_move_between_replicas_count_once() {
    let events: u64 = std::env::var("REPLICA_EVENTS").map_or(20_000, |text| text.parse().unwrap());
    let folder = tempfile::tempdir().unwrap();
    let address = free_address();
    let engine = format!("http://{address}");
    let _clickhouse = TestClickHouse::start(&address, folder.path());
    let (replicas, urls) = FaultyReplicas::start(&engine, 3).await;
    let server = TestServer::start_with(&[("CLICKHOUSE_URL", &urls), PASSWORD, ("MILLRACE_LOG", "info")]);
    name_engine(&server, &engine);
    let producer = ProducerConfig::new(server.url()).connect().await.unwrap();
    // At least so many batches, of two inserts each.
    const BATCHES: u64 = 12;
    for batch in 0..BATCHES {
        for number in batch * events / BATCHES..(batch + 1) * events / BATCHES {
            producer.send(numbered(number)).await.unwrap();
        }
        producer.flush().await.unwrap();
        server.wait_until_landed().await;
    }
    let totals = producer.close().await.unwrap();
    assert_eq!((totals.accepted, totals.rejected), (events, 0));
    let lost = replicas.lost();
    assert!(lost >= BATCHES / 2, "{lost} responses were lost");
    let moves = server.log().matches("another replica of ClickHouse is used").count() as u64;
    assert!(moves >= lost - 1, "{moves} moves between the replicas after {lost} lost responses");
    let counts = "SELECT count(), uniqExact(JSONExtractUInt(properties, 'n')) FROM events";
    assert_eq!(server.sql_numbers(counts).await, [events, events]);
    assert_rollup_matches_events(&server).await;
    // Both are there again.
    replicas.down.store(usize::MAX, Relaxed);
    let health = server.wait_for_health("both replicas", |health| health.status() == v1::Status::Ok).await;
    let clickhouse = health.clickhouse.unwrap();
    assert_eq!(clickhouse.replicas.len(), 2, "{clickhouse:?}");
    assert_eq!(clickhouse.replicas.iter().filter(|replica| replica.used).count(), 1, "{clickhouse:?}");
    assert!(clickhouse.replicas.iter().all(|replica| replica.error.is_empty()), "{clickhouse:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_in_a_file_may_change() {
    let folder = tempfile::tempdir().unwrap();
    let address = free_address();
    let _clickhouse = TestClickHouse::start(&address, folder.path());
    let file = folder.path().join("password");
    std::fs::write(&file, format!("{}\n", TestClickHouse::PASSWORD)).unwrap();
    let url = format!("http://{address}");
    let server = TestServer::start_with(&[
        ("CLICKHOUSE_URL", &url),
        ("CLICKHOUSE_PASSWORD", ""),
        ("CLICKHOUSE_PASSWORD_FILE", file.to_str().unwrap()),
    ]);
    server.wait_for_health("ok", |health| health.status() == v1::Status::Ok).await;
    std::fs::write(&file, "an old password\n").unwrap();
    server.ingest().await.send_events(events_request(vec![event("kept")])).await.unwrap();
    let is_refused = |health: &v1::Health| health.status() == v1::Status::Degraded;
    let health = server.wait_for_health("a refused password", is_refused).await;
    assert!(health.summary.contains("password"), "{}", health.summary);
    std::fs::write(&file, format!("{}\n", TestClickHouse::PASSWORD)).unwrap();
    server.wait_for_health("the new password", |health| health.status() == v1::Status::Ok).await;
    server.wait_until_landed().await;
    name_engine(&server, &url);
    assert_eq!(server.sql_numbers("SELECT count() FROM events").await, [1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_forgets_tokens_is_told_with_the_way_out() {
    let folder = tempfile::tempdir().unwrap();
    let address = free_address();
    let url = format!("http://{address}");
    let _clickhouse = TestClickHouse::start(&address, folder.path());
    let client = TestClickHouse::client(&url);
    let start = || TestServer::start_with(&[("CLICKHOUSE_URL", &url), PASSWORD]);
    let server = start();
    server.wait_for_health("the tables", |health| health.status() == v1::Status::Ok).await;
    assert!(server.stop().0.success());
    let change = "ALTER TABLE events MODIFY SETTING non_replicated_deduplication_window = 3";
    client.query(change).execute().await.unwrap();
    let server = start();
    let has_problem = |health: &v1::Health| health.status() == v1::Status::Degraded;
    let health = server.wait_for_health("the short window", has_problem).await;
    let (_, way_out) = health.summary.split_once("; run ").unwrap_or_else(|| panic!("{}", health.summary));
    assert_eq!(way_out, "ALTER TABLE events MODIFY SETTING non_replicated_deduplication_window = 10000");
    assert_eq!(health.clickhouse.unwrap().problems.len(), 1);
    assert!(server.stop().0.success());
    client.query(way_out).execute().await.unwrap();
    let server = start();
    let health = server.wait_for_health("the window", |health| health.status() == v1::Status::Ok).await;
    assert!(health.clickhouse.unwrap().problems.is_empty());
}

/// Runs `millrace recover` into a ClickHouse. Returns whether it succeeded, and what it printed.
fn recover(from: &std::path::Path, url: &str) -> (bool, String) {
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_millrace"))
        .args(["recover", "--from"])
        .arg(from)
        .env("CLICKHOUSE_URL", url)
        .env("CLICKHOUSE_PASSWORD", TestClickHouse::PASSWORD)
        .output()
        .unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8(text).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_lost_server_had_accepted_is_recovered_from_its_folder() {
    let folder = tempfile::tempdir().unwrap();
    let address = free_address();
    let url = format!("http://{address}");
    let clickhouse = TestClickHouse::start(&address, folder.path());
    let env = [("CLICKHOUSE_URL", url.as_str()), PASSWORD];
    let lost = TestServer::start_with(&env);
    let other = TestServer::start_with(&env);
    name_engine(&other, &url);
    let send = async |server: &TestServer, first: u64| {
        let events = (first..first + 100).map(numbered).collect();
        server.ingest().await.send_events(events_request(events)).await.unwrap();
    };
    send(&lost, 0).await;
    lost.wait_until_landed().await;
    drop(clickhouse);
    send(&lost, 100).await;
    send(&lost, 200).await;
    let data = lost.shared_data_dir();
    let (running, text) = recover(data.path(), &url);
    assert!(!running && text.contains("another millrace uses"), "{text}");
    drop(lost); // kill -9
    let _clickhouse = TestClickHouse::start(&address, folder.path());
    other.wait_for_health("ok", |health| health.status() == v1::Status::Ok).await;
    send(&other, 300).await;
    other.wait_until_landed().await;
    assert_eq!(other.sql_numbers("SELECT count() FROM events").await, [200]);
    let (succeeded, text) = recover(data.path(), &url);
    assert!(succeeded && text.starts_with("200 events in the journal"), "{text}");
    let (succeeded, text) = recover(data.path(), &url);
    assert!(succeeded && text.starts_with("0 events"), "{text}");
    let counts = "SELECT count(), uniqExact(JSONExtractUInt(properties, 'n')) FROM events";
    assert_eq!(other.sql_numbers(counts).await, [400, 400]);
    assert_rollup_matches_events(&other).await;

    // Each server adds its own events to the tables of people, the command those of the lost one.
    let people = "SELECT uniqExact(id) FROM people WHERE is_user";
    let deadline = Instant::now() + TIMEOUT;
    while other.sql_numbers(people).await != [400] {
        assert!(Instant::now() < deadline, "people are missing\n{}", other.log());
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let (succeeded, text) = recover(folder.path(), &url);
    assert!(!succeeded && text.contains("is not a data folder"), "{text}");
    let (succeeded, text) = recover(data.path(), "");
    assert!(!succeeded && text.contains("CLICKHOUSE_URL (--clickhouse-url) is empty"), "{text}");
}

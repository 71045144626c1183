//! Several servers on one ClickHouse.
//!
//! `make servers-test ROUNDS=20` kills more often.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use millrace_client::{Producer, ProducerConfig, proto::v1};
use tempfile::TempDir;

use crate::common::{
    TIMEOUT, TestClickHouse, TestServer, event, events_request, free_address, http_request_with, now,
};
use crate::replicas::{FaultyReplicas, PASSWORD, name_engine};
use crate::rollup_assertions::assert_rollup_matches_events;

fn rounds() -> usize {
    std::env::var("SERVERS_ROUNDS").map_or(4, |text| text.parse().expect("SERVERS_ROUNDS is a number"))
}

/// A server with a fixed address and a data folder of its own.
pub(crate) struct Member {
    pub(crate) name: &'static str,
    settings: Vec<(&'static str, String)>,
    pub(crate) folder: Arc<TempDir>,
    pub(crate) server: Option<TestServer>,
}

impl Member {
    /// Starts it on the ClickHouse at `urls`, with further settings.
    pub(crate) fn start(name: &'static str, urls: &str, settings: &[(&'static str, &str)]) -> Self {
        let mut settings: Vec<_> =
            settings.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
        settings.push(("MILLRACE_LISTEN", free_address()));
        settings.push(("CLICKHOUSE_URL", urls.to_owned()));
        let folder = Arc::new(tempfile::tempdir().unwrap());
        let mut member = Self { name, settings, folder, server: None };
        member.start_again();
        member
    }

    pub(crate) fn start_again(&mut self) {
        let mut env: Vec<_> = self.settings.iter().map(|(name, value)| (*name, value.as_str())).collect();
        env.push(PASSWORD);
        self.server = Some(TestServer::start_on(Arc::clone(&self.folder), &env));
    }

    pub(crate) fn server(&self) -> &TestServer {
        self.server.as_ref().unwrap()
    }
}

/// Sends events with numbers until `stop`, then waits until all are acknowledged. Returns how many there are.
///
/// Every two seconds they are of another quarter of an hour: a later repair of the same one would mend what an earlier one breaks.
pub(crate) async fn send_until_stopped(
    member: &'static str,
    producer: Producer,
    started_at: Instant,
    stop: Arc<AtomicBool>,
) -> u64 {
    let mut tick = tokio::time::interval(Duration::from_millis(5));
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
    let mut next = 0_u64;
    while !stop.load(Relaxed) {
        tick.tick().await;
        for _ in 0..5 {
            let properties = format!(r#"{{"n":{next},"{member}":true}}"#);
            let quarter_hours = i64::try_from(started_at.elapsed().as_secs() / 2).unwrap();
            let timestamp = prost_types::Timestamp { seconds: now().seconds - quarter_hours * 900, nanos: 0 };
            let event = v1::Event {
                timestamp: Some(timestamp),
                session_id: format!("{member}/{}", next / 7),
                user_id: (!next.is_multiple_of(3)).then(|| format!("user {}", next / 21)),
                properties_kind: Some(v1::event::PropertiesKind::PropertiesJson(properties)),
                ..event("page_view")
            };
            producer.send(event).await.unwrap();
            next += 1;
        }
    }
    assert_eq!(producer.close().await.unwrap().acknowledged, next);
    next
}

/// Both lose every fifth response to an insert, and repair what they do not know; one or the other is killed meanwhile.
#[tokio::test(flavor = "multi_thread")]
async fn servers_that_share_a_clickhouse_repair_without_harm_to_each_other() {
    let folder = tempfile::tempdir().unwrap();
    let address = free_address();
    let engine = format!("http://{address}");
    let _clickhouse = TestClickHouse::start(&address, folder.path());
    let (mut members, mut replicas) = (Vec::new(), Vec::new());
    for name in ["east", "west"] {
        let (faulty, urls) = FaultyReplicas::start(&engine, 5).await;
        members.push(Member::start(name, &urls, &[]));
        replicas.push(faulty);
    }
    let (started_at, stop) = (Instant::now(), Arc::new(AtomicBool::new(false)));
    let mut sending = Vec::new();
    for member in &members {
        let config = ProducerConfig::new(member.server().url()).producer_id(member.name);
        let producer = config.connect().await.unwrap();
        let task = send_until_stopped(member.name, producer, started_at, Arc::clone(&stop));
        sending.push((member.name, tokio::spawn(task)));
    }
    for round in 0..rounds() {
        let lost = |replicas: &[FaultyReplicas]| replicas.iter().map(FaultyReplicas::lost).sum::<u64>();
        let before = lost(&replicas);
        let deadline = Instant::now() + TIMEOUT;
        while lost(&replicas) < before + 2 {
            assert!(Instant::now() < deadline, "no responses are lost any more");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let killed = &mut members[round % 2];
        tokio::task::block_in_place(|| {
            killed.server = None; // kill -9
            killed.start_again();
        });
    }
    stop.store(true, Relaxed);
    let mut sent = Vec::new();
    for (name, task) in sending {
        sent.push((name, task.await.unwrap()));
    }
    for member in &members {
        member.server().wait_until_landed().await;
    }
    let server = members[0].server();
    name_engine(server, &engine);
    for (name, events) in &sent {
        let counts = format!(
            "SELECT count(), uniqExact(JSONExtractUInt(properties, 'n')) FROM events WHERE session_id LIKE '{name}/%'"
        );
        assert_eq!(server.sql_numbers(&counts).await, [*events, *events], "{name}");
    }
    assert_rollup_matches_events(server).await;
    let constraints = "SELECT countIf(create_table_query LIKE '%inserts_wait%') FROM system.tables";
    assert_eq!(server.sql_numbers(constraints).await, [0]);

    // The tables that tasks keep, by the marks of both.
    let users: u64 = sent.iter().map(|(_, events)| events.div_ceil(21)).max().unwrap();
    let wait_for = async |statement: &str, expected: &[u64]| {
        let deadline = Instant::now() + 2 * TIMEOUT;
        loop {
            let found = server.sql_numbers(statement).await;
            if found == expected {
                return;
            }
            assert!(Instant::now() < deadline, "{statement}: {found:?} instead of {expected:?}");
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    };
    wait_for("SELECT uniqExact(id) FROM people WHERE is_user", &[users]).await;
    for (name, events) in sent {
        // Of many events a sample is counted.
        let counted = format!(
            "SELECT sum(events) BETWEEN {} AND {} FROM event_properties WHERE name = '{name}'",
            events * 9 / 10,
            events * 11 / 10
        );
        wait_for(&counted, &[1]).await;
    }
}

/// Events, their ids, and the repairs that have not ended.
pub(crate) const COUNTS: &str = "SELECT count(), uniqExact(given_event_id), \
    (SELECT countIf(create_table_query LIKE '%inserts_wait%') FROM system.tables) FROM events";

/// Events with ids, from the first number on.
fn with_ids(first: u64, sent_to_another_server: bool) -> v1::SendEventsRequest {
    let events = (first..first + 100).map(|number| v1::Event {
        timestamp: Some(prost_types::Timestamp { seconds: now().seconds / 3_600 * 3_600, nanos: 0 }),
        session_id: format!("s{number}"),
        event_id: Some(uuid::Uuid::from_u128(u128::from(number) + 1).to_string()),
        ..event("page_view")
    });
    v1::SendEventsRequest { sent_to_another_server, ..events_request(events.collect()) }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_with_an_id_that_two_servers_have_accepted_counts_once() {
    let folder = tempfile::tempdir().unwrap();
    let address = free_address();
    let url = format!("http://{address}");
    let clickhouse = TestClickHouse::start(&address, folder.path());
    let mut first = Member::start("first", &url, &[]);
    let second = Member::start("second", &url, &[]);
    name_engine(second.server(), &url);
    let wait_for = async |[events, ids]: [u64; 2]| {
        let deadline = Instant::now() + TIMEOUT;
        while second.server().sql_numbers(COUNTS).await != [events, ids, 0] {
            assert!(Instant::now() < deadline, "{}", second.server().log());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let send = async |member: &Member, request: v1::SendEventsRequest| {
        let response = member.server().ingest().await.send_events(request).await.unwrap();
        assert_eq!(response.into_inner().accepted, 100);
    };

    // The first server has inserted them, and its response was lost.
    send(&first, with_ids(0, false)).await;
    first.server().wait_until_landed().await;
    send(&second, with_ids(0, true)).await;
    second.server().wait_until_landed().await;
    wait_for([100, 100]).await;
    assert_rollup_matches_events(second.server()).await;

    // It has not inserted them yet, and is killed.
    assert!(clickhouse.stop().success());
    send(&first, with_ids(100, false)).await;
    first.server = None;
    let _clickhouse = TestClickHouse::start(&address, folder.path());
    send(&second, with_ids(100, true)).await;
    second.server().wait_until_landed().await;
    wait_for([200, 200]).await;
    tokio::task::block_in_place(|| first.start_again());
    first.server().wait_until_landed().await;
    // It was sealed before or after the kill.
    let log = first.server().log();
    assert!(
        log.contains("batch landed") || log.contains("repaired a batch"),
        "the second copy was not inserted\n{log}"
    );
    wait_for([200, 200]).await;
    assert_rollup_matches_events(second.server()).await;

    // Nobody has said that the first server may have them.
    send(&first, with_ids(200, false)).await;
    send(&second, with_ids(200, false)).await;
    wait_for([400, 300]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_over_http_that_moved_to_another_server_counts_once() {
    let folder = tempfile::tempdir().unwrap();
    let address = free_address();
    let url = format!("http://{address}");
    let _clickhouse = TestClickHouse::start(&address, folder.path());
    let env = [("CLICKHOUSE_URL", url.as_str()), PASSWORD];
    let (first, second) = (TestServer::start_with(&env), TestServer::start_with(&env));
    name_engine(&second, &url);
    let now = jiff::Timestamp::now().to_string();
    let body = format!(r#"[{0}, {0}]"#, format_args!(r#"{{"event_name":"page_view","timestamp":"{now}"}}"#));
    let send = async |server: &TestServer, key: &str, moved: &str| {
        let headers = format!(
            "Content-Type: application/json\r\nIdempotency-Key: {key}\r\nMillrace-Sent-To-Another-Server: {moved}\r\n"
        );
        let (head, response) = http_request_with(server, "POST", "/events", &headers, body.as_bytes());
        assert!(head.starts_with("HTTP/1.1 200"), "{head}\n{}", String::from_utf8_lossy(&response));
        server.wait_until_landed().await;
    };
    let wait_for = async |[events, ids]: [u64; 2]| {
        let deadline = Instant::now() + TIMEOUT;
        while second.sql_numbers(COUNTS).await != [events, ids, 0] {
            assert!(Instant::now() < deadline, "{}", second.log());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    // Without the header nobody has said that the first server may have them.
    send(&first, "a", "false").await;
    send(&second, "a", "false").await;
    wait_for([4, 2]).await;
    send(&first, "b", "false").await;
    send(&second, "b", "true").await;
    wait_for([6, 4]).await;
    assert_rollup_matches_events(&second).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn servers_that_start_together_apply_the_schema_once() {
    let folder = tempfile::tempdir().unwrap();
    let address = free_address();
    let url = format!("http://{address}");
    let _clickhouse = TestClickHouse::start(&address, folder.path());
    let env = [("CLICKHOUSE_URL", url.as_str()), PASSWORD];
    let program = std::path::Path::new(env!("CARGO_BIN_EXE_millrace"));
    let spawn = |_| TestServer::spawn(program, Arc::new(tempfile::tempdir().unwrap()), &env);
    let mut servers: Vec<TestServer> = (0..3).map(spawn).collect();
    for server in &mut servers {
        tokio::task::block_in_place(|| server.wait_until_ready());
    }
    for server in &servers {
        server.wait_for_health("ok", |health| health.status() == v1::Status::Ok).await;
    }
    name_engine(&servers[0], &url);
    let files = "SELECT count(), uniqExact(name) FROM schema_migrations";
    let counts = servers[0].sql_numbers(files).await;
    assert_eq!(counts[0], counts[1], "a file was applied twice");
    let locks = "SELECT count() FROM system.tables WHERE name = 'schema_lock'";
    assert_eq!(servers[0].sql_numbers(locks).await, [0]);

    // What a server has left that was killed meanwhile is dropped after half a minute without a sign of it.
    let lock = "CREATE TABLE schema_lock (nothing UInt8) ENGINE = MergeTree ORDER BY nothing COMMENT 'gone'";
    servers[0].sql(lock).await;
    let late = tokio::task::block_in_place(|| TestServer::start_with(&env));
    late.wait_for_health("ok", |health| health.status() == v1::Status::Ok).await;
    assert_eq!(servers[0].sql_numbers(locks).await, [0]);
}

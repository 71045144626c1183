//! Starts, stops, crashes and invalid settings.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::common::{TIMEOUT, TestClickHouse, TestServer, event, events_request, free_address, send_signal};
use millrace::internals::journal::{Journal, JournalConfig};
use millrace_client::ProducerConfig;
use millrace_client::proto::v1;
use v1::Status;

/// Every event has one row without a breakdown at the level of minutes.
const ROLLUP_EVENTS: &str =
    "SELECT sum(events) FROM rollup WHERE step = 1 AND event_name = '' AND dimension = ''";

/// Runs the program until it exits. Returns the exit code and standard error.
fn run_millrace(args: &[&str], variables: &[(&str, &str)]) -> (i32, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_millrace"))
        .args(args)
        .envs(variables.iter().copied())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    (output.status.code().unwrap_or(-1), String::from_utf8_lossy(&output.stderr).trim_end().to_owned())
}

#[tokio::test]
async fn acknowledged_events_survive_sigkill() {
    let server = TestServer::start_with(&[("FLUSH_INTERVAL_MS", "600000"), ("FLUSH_SIZE", "1000000")]);
    let named = v1::Event { event_id: Some(uuid::Uuid::new_v4().to_string()), ..event("named") };
    let request = |sequence, event: &v1::Event| v1::SendEventsRequest {
        producer_id: "p".into(),
        sequence,
        events: vec![event.clone(), crate::common::event("other")],
        ..Default::default()
    };
    let mut ingest = server.ingest().await;
    assert_eq!(ingest.send_events(request(1, &named)).await.unwrap().into_inner().accepted, 2);
    assert_eq!(server.health().await.buffer_size, 2, "flushed too early");
    let folder = server.shared_data_dir();
    drop(server); // kill -9

    let server = TestServer::start_on(folder, &[]);
    let mut ingest = server.ingest().await;
    let producer =
        ingest.get_producer(v1::GetProducerRequest { producer_id: "p".into() }).await.unwrap().into_inner();
    assert_eq!(producer.last_durable_sequence, 1);
    let again = ingest.send_events(request(1, &named)).await.unwrap().into_inner();
    assert_eq!((again.accepted, again.duplicates), (0, 2));
    let next = ingest.send_events(request(2, &named)).await.unwrap().into_inner();
    assert_eq!((next.accepted, next.duplicates), (1, 1), "the event id is still known");
    server.wait_until_landed().await;
    assert_eq!(server.sql("SELECT count() FROM events").await, "3");
    assert_eq!(server.sql(ROLLUP_EVENTS).await, "3");
}

#[tokio::test]
async fn engine_kills_under_load_lose_no_events() {
    let server = TestServer::start();
    let producer = ProducerConfig::new(server.url()).batch_events(100).connect().await.unwrap();
    let mut sent = 0;
    for round in 0..3 {
        for _ in 0..2_000 {
            producer.send(event("load")).await.unwrap();
            sent += 1;
        }
        if round < 2 {
            send_signal(server.engine_pid().unwrap(), "KILL");
            server.wait_for_health("degraded", |health| health.status() == Status::Degraded).await;
            server.wait_for_health("ok", |health| health.status() == Status::Ok).await;
        }
    }
    let totals = producer.close().await.unwrap();
    assert_eq!((totals.accepted, totals.rejected), (sent, 0));
    let health = server.wait_for_health("ok again", |h| h.status() == Status::Ok && h.buffer_size == 0).await;
    assert!(health.clickhouse.unwrap().engine_restarts >= 1);
    assert_eq!(
        server.sql("SELECT count(), uniqExact(event_id) FROM events").await,
        format!("{sent}\t{sent}")
    );
    assert_eq!(server.sql(ROLLUP_EVENTS).await, sent.to_string());
}

#[tokio::test]
async fn sigterm_flushes_everything_and_exits_0() {
    let server = TestServer::start_with(&[("FLUSH_INTERVAL_MS", "600000"), ("FLUSH_SIZE", "1000000")]);
    server.ingest().await.send_events(events_request(vec![event("a"); 10])).await.unwrap();
    let (folder, engine) = (server.shared_data_dir(), server.engine_pid().unwrap());
    let (status, log) = server.stop();
    assert_eq!(status.code(), Some(0));
    assert!(log.contains("stopped") && !log.contains("grace period"), "{log}");
    assert!(
        !std::path::Path::new(&format!("/proc/{engine}")).exists(),
        "the engine is still running:\n{log}"
    );
    let server = TestServer::start_on(folder, &[]);
    assert_eq!(server.sql("SELECT count() FROM events").await, "10");
    assert_eq!(server.health().await.buffer_size, 0);
}

#[tokio::test]
async fn a_second_signal_exits_immediately() {
    let mut server = TestServer::start();
    // With a frozen engine the orderly stop cannot finish.
    send_signal(server.engine_pid().unwrap(), "STOP");
    server.ingest().await.send_events(events_request(vec![event("a")])).await.unwrap();
    server.signal("TERM");
    server.wait_for_log_line("a second signal exits immediately");
    let engine = server.engine_pid().unwrap();
    server.signal("TERM");
    let status = server.wait();
    send_signal(engine, "CONT");
    assert_eq!(status.code(), Some(0));
    assert!(server.log().contains("stopped by a second signal"), "{}", server.log());
    let server = TestServer::start_on(server.shared_data_dir(), &[]);
    server.wait_until_landed().await;
    assert_eq!(server.sql("SELECT count() FROM events").await, "1");
}

#[tokio::test]
async fn the_engine_exits_when_the_server_is_killed() {
    let server = TestServer::start();
    let engine = server.engine_pid().unwrap();
    send_signal(server.pid(), "KILL");
    let deadline = Instant::now() + TIMEOUT;
    while std::path::Path::new(&format!("/proc/{engine}")).exists() {
        assert!(Instant::now() < deadline, "the engine {engine} is still running");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[tokio::test]
async fn a_start_right_after_sigkill_waits_for_the_earlier_engine() {
    let mut server = TestServer::start();
    server.ingest().await.send_events(events_request(vec![event("a")])).await.unwrap();
    let engine = server.engine_pid().unwrap();
    // A frozen engine cannot exit with its parent.
    send_signal(engine, "STOP");
    server.signal("KILL");
    server.wait();
    let program = std::path::Path::new(env!("CARGO_BIN_EXE_millrace"));
    let mut next = TestServer::spawn(program, server.shared_data_dir(), &[]);
    let line = next.wait_for_log_line("waiting for the engine of an earlier server to exit");
    assert!(line.contains(&format!("PID: {engine}")), "{line}");
    send_signal(engine, "CONT");
    next.wait_until_ready();
    assert_eq!(next.log().matches("waiting for the engine").count(), 1, "{}", next.log());
    next.wait_until_landed().await;
    assert_eq!(next.sql("SELECT count() FROM events").await, "1");
}

#[test]
fn a_failed_start_prints_one_line() {
    let folder = tempfile::tempdir().unwrap();
    let data_dir = folder.path().to_str().unwrap();
    let bound = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = bound.local_addr().unwrap().to_string();
    let cases: [(&[(&str, &str)], &str); 6] = [
        (
            &[("MILLRACE_MAX_BUFFER_BYTES", "16777216"), ("MILLRACE_MAX_MESSAGE_BYTES", "8388608")],
            "MILLRACE_MAX_BUFFER_BYTES (--max-buffer-bytes): 16777216 is less than 4 times",
        ),
        (&[("FLUSH_SIZE", "many")], "FLUSH_SIZE (--flush-size): \"many\" is invalid"),
        (&[("MILLRACE_LISTEN", &port)], "cannot listen on"),
        (&[("MILLRACE_ENGINE_LIB", "/nonexistent/libchdb.so")], "`make engine`"),
        (&[("CLICKHOUSE_URL", "ftp://x")], "CLICKHOUSE_URL (--clickhouse-url): \"ftp://x\" is invalid"),
        (
            &[("MILLRACE_DATA_DIR", "/proc/nothing")],
            "MILLRACE_DATA_DIR (--data-dir): /proc/nothing could not be created",
        ),
    ];
    for (variables, part) in cases {
        let mut all = vec![
            ("MILLRACE_DATA_DIR", data_dir),
            ("MILLRACE_LISTEN", "127.0.0.1:0"),
            ("MILLRACE_LOG", "off"),
        ];
        all.extend(variables);
        let (code, stderr) = run_millrace(&["serve"], &all);
        assert_ne!(code, 0);
        assert!(stderr.contains(part), "{stderr:?} does not contain {part:?}");
        assert_eq!(stderr.lines().count(), 1, "{stderr:?}");
    }
}

#[tokio::test]
async fn a_journal_of_a_newer_version_fails_the_start_and_is_untouched() {
    let folder = tempfile::tempdir().unwrap();
    let journal_dir = folder.path().join("journal");
    let (journal, recovery) = Journal::open(&journal_dir, JournalConfig::default()).unwrap();
    assert_eq!(recovery.count(), 0);
    journal.submit(99, vec![bytes::Bytes::from_static(b"from a newer version")]).unwrap().await.unwrap();
    journal.close().await.unwrap();
    let files = || {
        let entries = std::fs::read_dir(&journal_dir).unwrap().map(|entry| entry.unwrap().path());
        entries.map(|path| (std::fs::read(&path).unwrap(), path)).collect::<Vec<_>>()
    };
    let before = files();
    let data_dir = folder.path().to_str().unwrap();
    let (code, stderr) =
        run_millrace(&["serve", "--listen", "127.0.0.1:0", "--data-dir", data_dir, "--log", "off"], &[]);
    assert_eq!(code, 1);
    assert!(stderr.contains("record 1 cannot be read") && stderr.contains("kind 99"), "{stderr}");
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
    assert_eq!(files(), before, "the journal was changed");
    assert!(!folder.path().join("clickhouse").exists(), "the database was touched");
}

#[tokio::test]
async fn a_data_directory_is_locked_by_one_server() {
    let server = TestServer::start();
    let data_dir = server.data_dir().to_str().unwrap();
    let (code, stderr) =
        run_millrace(&["serve", "--listen", "127.0.0.1:0", "--data-dir", data_dir, "--log", "off"], &[]);
    assert_eq!(code, 1);
    assert!(stderr.contains("another millrace uses") && stderr.contains(data_dir), "{stderr}");
    let (code, stderr) = run_millrace(
        &["engine", "--listen", "127.0.0.1:0", "--data-dir", &format!("{data_dir}/clickhouse")],
        &[],
    );
    assert_eq!(code, 1);
    assert!(stderr.contains("another engine may hold the folder"), "{stderr}");
}

#[tokio::test]
async fn events_accepted_without_clickhouse_are_inserted_later() {
    // A second engine acts as the server of CLICKHOUSE_URL. At first nothing listens there.
    let address = free_address();
    let url = format!("http://{address}");
    let server =
        TestServer::start_with(&[("CLICKHOUSE_URL", &url), ("FLUSH_INTERVAL_MS", "50"), ("FLUSH_SIZE", "1")]);
    server.ingest().await.send_events(events_request(vec![event("early"); 5])).await.unwrap();
    let health =
        server.wait_for_health("aware of the outage", |health| health.status() == Status::Degraded).await;
    // Nothing is sent before the schema is applied: the events wait in the journal.
    assert_eq!((health.buffer_size, health.dead_letters.unwrap().batches), (5, 0));
    assert!(health.summary.contains("ClickHouse is unreachable"), "{}", health.summary);
    let listed = server.dashboard().await.list_panels(v1::ListPanelsRequest {}).await;
    assert!(listed.is_ok(), "listing panels does not need ClickHouse");
    let error =
        server.dashboard().await.get_error_rate(v1::GetErrorRateRequest::default()).await.unwrap_err();
    assert_eq!(error.code(), tonic::Code::Unavailable);

    let folder = tempfile::tempdir().unwrap();
    let engine = TestClickHouse::start(&address, folder.path());
    server
        .wait_for_health("ok once ClickHouse is reachable", |h| {
            h.status() == Status::Ok && h.buffer_size == 0
        })
        .await;
    let client = TestClickHouse::client(&url);
    let count: u64 = client.query("SELECT count() FROM events").fetch_one().await.unwrap();
    assert_eq!(count, 5);
    assert!(engine.stop().success());
}

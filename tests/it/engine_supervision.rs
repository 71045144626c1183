//! Restarts of an engine that runs but does not work.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::common::{TIMEOUT, TestServer, event, events_request, send_signal};
use crate::crash::kill_engine;

#[tokio::test(flavor = "multi_thread")]
async fn a_hung_engine_is_killed_and_restarted() {
    let mut server = TestServer::start_with(&[("FLUSH_INTERVAL_MS", "20"), ("FLUSH_SIZE", "1")]);
    server.ingest().await.send_events(events_request(vec![event("before"); 5])).await.unwrap();
    server.wait_until_landed().await;
    let hung = server.engine_pid().unwrap();
    send_signal(hung, "STOP");
    // These events are in an insert without a response, or in the journal.
    server.ingest().await.send_events(events_request(vec![event("during"); 7])).await.unwrap();
    server.wait_for_log_line("did not answer 3 probes in a row and was killed");
    let health = server.wait_until_landed().await;
    assert_eq!(health.clickhouse.unwrap().engine_restarts, 1);
    assert_ne!(server.engine_pid(), Some(hung));
    server.ingest().await.send_events(events_request(vec![event("after"); 9])).await.unwrap();
    server.wait_until_landed().await;
    let counts = "SELECT count(), uniqExact(event_id), (SELECT sum(events) FROM rollup WHERE step = 1 AND event_name = '') FROM events";
    assert_eq!(server.sql(counts).await, "21\t21\t21");
}

/// ClickHouse/ClickHouse#118350: after a failed write of the deduplication log, every INSERT fails with this message until
/// a restart. The test cannot make the write fail, so a view fails with the same message.
#[tokio::test(flavor = "multi_thread")]
async fn an_engine_with_broken_inserts_is_restarted_once() {
    let mut server = TestServer::start_with(&[("FLUSH_INTERVAL_MS", "20"), ("FLUSH_SIZE", "1")]);
    let mut ingest = server.ingest().await;
    ingest.send_events(events_request(vec![event("before"); 5])).await.unwrap();
    server.wait_until_landed().await;
    server.sql("CREATE TABLE nothing (a UInt8) ENGINE = Null").await;
    let message = "Cannot write to canceled buffer";
    server
        .sql(&format!(
            "CREATE MATERIALIZED VIEW broken TO nothing AS SELECT throwIf(1, '{message}') AS a FROM events"
        ))
        .await;
    ingest.send_events(events_request(vec![event("during"); 7])).await.unwrap();
    server.wait_for_log_line("was killed, since it needs a restart");
    let restarted = |health: &millrace_client::proto::v1::Health| {
        health.clickhouse.as_ref().is_some_and(|engine| engine.reachable && engine.engine_restarts == 1)
    };
    server.wait_for_health("restarted", restarted).await;
    // The restart did not fix the cause, and must not be repeated immediately. The batch that failed may have been stored all the
    // same, before the view was reached: then its retry is a duplicate, which no view sees. Each further batch fails at first.
    let mut sent = 12;
    let deadline = Instant::now() + TIMEOUT;
    while !server.health().await.summary.contains(message) {
        assert!(Instant::now() < deadline, "no insert fails\n{}", server.log());
        ingest.send_events(events_request(vec![event("after")])).await.unwrap();
        sent += 1;
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    server.sql("DROP VIEW broken").await;
    let health = server.wait_until_landed().await;
    assert_eq!(health.clickhouse.unwrap().engine_restarts, 1);
    let counts = "SELECT count(), uniqExact(event_id), (SELECT sum(events) FROM rollup WHERE step = 1 AND event_name = '') FROM events";
    assert_eq!(server.sql(counts).await, format!("{sent}\t{sent}\t{sent}"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_engine_is_restarted_after_an_upgrade_replaced_the_binary() {
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("millrace");
    std::fs::copy(env!("CARGO_BIN_EXE_millrace"), &program).unwrap();
    let server = TestServer::start_program(&program, Arc::new(tempfile::tempdir().unwrap()), &[]);
    std::fs::remove_file(&program).unwrap();
    kill_engine(&server);
    let restarted = |health: &millrace_client::proto::v1::Health| {
        health.clickhouse.as_ref().is_some_and(|engine| engine.reachable && engine.engine_restarts == 1)
    };
    server.wait_for_health("restarted", restarted).await;
    server.ingest().await.send_events(events_request(vec![event("after"); 3])).await.unwrap();
    server.wait_until_landed().await;
    assert_eq!(server.sql("SELECT count() FROM events").await, "3");
}

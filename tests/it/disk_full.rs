//! A full disk: only durable events are acknowledged, and the server recovers once there is free space.

use std::fs;

use millrace_client::proto::v1;
use tonic::Code;
use tonic_types::StatusExt;
use v1::Status;

use crate::common::{
    SmallDisk, TestClickHouse, TestServer, event, events_request, free_address, send_signal,
};

#[tokio::test]
async fn a_full_disk_stops_acks_until_space_is_freed() {
    let Some(disk) = SmallDisk::mount(200) else {
        return;
    };
    let address = free_address();
    let url = format!("http://{address}");
    // Without ClickHouse everything stays on the disk.
    let server = TestServer::start_on(std::sync::Arc::clone(&disk.folder), &[("CLICKHOUSE_URL", &url)]);
    let mut ingest = server.ingest().await;
    let mut acknowledged = 0;
    let batch = || events_request(vec![v1::Event { session_id: "x".repeat(256), ..event("x") }; 500]);
    ingest.send_events(batch()).await.unwrap();
    acknowledged += 500;
    disk.fill();
    // The journal uses up the space that it has reserved. Then nothing is accepted.
    let error = loop {
        match ingest.send_events(batch()).await {
            Ok(response) => acknowledged += response.into_inner().accepted,
            Err(error) => break error,
        }
        assert!(acknowledged < 2_000_000, "the disk never became full");
    };
    assert!(matches!(error.code(), Code::Unavailable | Code::ResourceExhausted), "{error:?}");
    assert!(error.get_error_details().retry_info().is_some(), "the error has a retry delay");
    let health = server.wait_for_health("down", |health| health.status() == Status::Down).await;
    assert!(health.summary.contains("no events are accepted"), "{}", health.summary);
    disk.free_space();
    server.wait_for_health("accepting events", |health| health.status() != Status::Down).await;
    acknowledged += ingest.send_events(batch()).await.unwrap().into_inner().accepted;

    // ClickHouse starts, on another disk, and gets exactly what was acknowledged.
    let folder = tempfile::tempdir().unwrap();
    let clickhouse = TestClickHouse::start(&address, folder.path());
    server.wait_until_landed().await;
    let client = TestClickHouse::client(&url);
    let query = "SELECT count(), uniqExact(event_id) FROM events";
    let figures: (u64, u64) = client.query(query).fetch_one().await.unwrap();
    assert_eq!(figures, (acknowledged, acknowledged));
    assert!(clickhouse.stop().success());
}

/// The embedded ClickHouse has its files on another disk, so that only the journal fills this one.
#[tokio::test]
async fn a_disk_filled_during_an_outage_drains_when_clickhouse_returns() {
    // Two segments of the journal fit, a third does not.
    let Some(disk) = SmallDisk::mount(180) else {
        return;
    };
    let other_disk = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink(other_disk.path(), disk.folder.path().join("clickhouse")).unwrap();
    // Without its library the engine cannot restart.
    let library = other_disk.path().join("library.so");
    let configured = std::env::var_os("MILLRACE_ENGINE_LIB").filter(|path| !path.is_empty());
    let real_library =
        configured.map_or_else(millrace::internals::config::default_engine_library, Into::into);
    std::os::unix::fs::symlink(&real_library, &library).unwrap();
    let variables = [("MILLRACE_ENGINE_LIB", library.to_str().unwrap())];
    let server = TestServer::start_on(std::sync::Arc::clone(&disk.folder), &variables);
    let mut ingest = server.ingest().await;
    let batch = || events_request(vec![v1::Event { session_id: "x".repeat(256), ..event("x") }; 500]);
    let mut acknowledged = ingest.send_events(batch()).await.unwrap().into_inner().accepted;
    server.wait_until_landed().await;

    fs::remove_file(&library).unwrap();
    send_signal(server.engine_pid().unwrap(), "KILL");
    server.wait_for_health("without ClickHouse", |health| health.status() == Status::Degraded).await;
    let error = loop {
        match ingest.send_events(batch()).await {
            Ok(response) => acknowledged += response.into_inner().accepted,
            Err(error) => break error,
        }
        assert!(acknowledged < 2_000_000, "the disk never became full");
    };
    assert!(error.message().contains("No space left on device"), "{error:?}");
    let full = server.wait_for_health("down", |health| health.status() == Status::Down).await;

    std::os::unix::fs::symlink(&real_library, &library).unwrap();
    server.wait_until_landed().await;
    let health = server.wait_for_health("ok", |health| health.status() == Status::Ok).await;
    assert!(health.journal.unwrap().bytes < full.journal.unwrap().bytes, "nothing was released");
    acknowledged += ingest.send_events(batch()).await.unwrap().into_inner().accepted;
    server.wait_until_landed().await;

    // A restart inserts nothing twice.
    let (status, log) = tokio::task::spawn_blocking(|| server.stop()).await.unwrap();
    assert_eq!(status.code(), Some(0), "{log}");
    let server = TestServer::start_on(std::sync::Arc::clone(&disk.folder), &variables);
    server.wait_until_landed().await;
    let figures = server.sql("SELECT count(), uniqExact(event_id) FROM events").await;
    assert_eq!(figures, format!("{acknowledged}\t{acknowledged}"));
}

//! Operations: retention, schema, dead letters, health, rebuilds, load balancers and gRPC-Web.

use std::process::{Command, Output, Stdio};
use std::time::Instant;

use crate::common::{TIMEOUT, TestServer, event, events_request, http_request, now};
use crate::rollup_assertions::assert_rollups_match_events;
use millrace_client::proto::v1;
use prost::Message;
use v1::Status;
use v1::health_service_client::HealthServiceClient;

fn run_millrace(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_millrace")).args(args).stdin(Stdio::null()).output().unwrap()
}

fn output_text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[tokio::test]
async fn changing_the_retention_alters_every_table() {
    let server = TestServer::start_with(&[("RETENTION_DAYS", "30")]);
    let ttls = "SELECT name FROM system.tables WHERE database = 'millrace' AND engine_full LIKE '%toIntervalDay(DAYS)%' \
                ORDER BY name";
    let all = "country_minutes\ncountry_steps\nevents\nfeature_minutes\nfeature_steps\nminutes\npage_minutes\npage_steps\n\
               session_steps";
    assert_eq!(server.sql(&ttls.replace("DAYS", "30")).await, all);
    // One event younger than the retention, one older.
    let aged_event = |days: i64| v1::Event {
        timestamp: Some(prost_types::Timestamp { seconds: now().seconds - days * 86_400, nanos: 0 }),
        ..event("old")
    };
    let response = server
        .ingest()
        .await
        .send_events(events_request(vec![aged_event(29), aged_event(31)]))
        .await
        .unwrap()
        .into_inner();
    assert_eq!((response.accepted, response.rejections[0].field.as_str()), (1, "timestamp"));
    let folder = server.shared_data_dir();
    server.stop();
    let server = TestServer::start_on(folder, &[("RETENTION_DAYS", "7")]);
    assert_eq!(server.sql(&ttls.replace("DAYS", "7")).await, all);
    assert_eq!(server.sql(&ttls.replace("DAYS", "30")).await, "");
    assert_eq!(server.sql("SELECT count() FROM schema_migrations").await, "6", "each file is applied once");
}

const TABLES: [&str; 9] = [
    "events",
    "minutes",
    "session_steps",
    "feature_minutes",
    "feature_steps",
    "page_minutes",
    "page_steps",
    "country_minutes",
    "country_steps",
];

#[tokio::test]
async fn a_longer_retention_keeps_rows_about_to_expire() {
    let server = TestServer::start_with(&[("RETENTION_DAYS", "1")]);
    for table in TABLES {
        // Prevents expiry before the retention is changed.
        server
            .sql(&format!("ALTER TABLE {table} MODIFY SETTING max_number_of_merges_with_ttl_in_pool = 0"))
            .await;
    }
    server
        .sql(
            "INSERT INTO events (event_name, timestamp, session_id, properties) \
             SELECT ['page_view', 'feature_used'][1 + number % 2], now64(3) - toIntervalHour(30) - number, \
             toString(number % 7), '{\"page_url\":\"/\",\"feature\":\"f\"}' FROM numbers(1000)",
        )
        .await;
    let figures = async |server: &TestServer| {
        let mut figures = Vec::new();
        for table in TABLES {
            let sum = match table {
                "events" => "count()",
                "page_minutes" | "page_steps" | "country_minutes" | "country_steps" => "sum(views)",
                _ => "sum(events)",
            };
            figures.push(server.sql(&format!("SELECT {sum} FROM {table}")).await);
        }
        figures
    };
    let before = figures(&server).await;
    assert_eq!(before, ["1000", "1000", "2000", "500", "1500", "500", "1500", "500", "1000"]);
    // As if an earlier start had been killed after changing the definition.
    server
        .sql("ALTER TABLE minutes MODIFY TTL minute + toIntervalDay(90) SETTINGS materialize_ttl_after_modify = 0")
        .await;
    let folder = server.shared_data_dir();
    server.stop();
    let server = TestServer::start_on(folder, &[("RETENTION_DAYS", "90")]);
    for table in TABLES {
        server.sql(&format!("OPTIMIZE TABLE {table} FINAL")).await;
    }
    assert_eq!(figures(&server).await, before);
    assert_eq!(
        server.sql("SELECT count(), uniqExact(table_name) FROM schema_retention WHERE days = 90").await,
        "9\t9"
    );
    // A shorter retention applies to stored rows too: ClickHouse drops them in the background.
    let folder = server.shared_data_dir();
    server.stop();
    let server = TestServer::start_on(folder, &[("RETENTION_DAYS", "1")]);
    assert_eq!(server.sql("SELECT count() FROM schema_retention WHERE days = 1").await, "18");
    let deadline = Instant::now() + TIMEOUT;
    for table in TABLES {
        server.sql(&format!("ALTER TABLE {table} RESET SETTING max_number_of_merges_with_ttl_in_pool")).await;
        while server.sql(&format!("SELECT count() FROM {table}")).await != "0" {
            assert!(Instant::now() < deadline, "{table} still has expired rows");
            server.sql(&format!("OPTIMIZE TABLE {table} FINAL")).await;
        }
    }
}

#[tokio::test]
async fn schema_migrations_are_idempotent() {
    let server = TestServer::start();
    server.ingest().await.send_events(events_request(vec![event("page_view")])).await.unwrap();
    server.wait_until_landed().await;
    for statement in output_text(&run_millrace(&["migrate", "--print"])).split(";\n") {
        if !statement.trim().is_empty() {
            server.sql(statement).await;
        }
    }
    // A start that was killed before it recorded a file applies the file again.
    server.sql("TRUNCATE TABLE schema_migrations").await;
    let folder = server.shared_data_dir();
    server.stop();
    let server = TestServer::start_on(folder, &[]);
    assert_eq!(server.sql("SELECT count() FROM schema_migrations").await, "6");
    server.ingest().await.send_events(events_request(vec![event("page_view")])).await.unwrap();
    server.wait_until_landed().await;
    assert_eq!(server.sql("SELECT count() FROM events").await, "2");
}

#[test]
fn the_schema_can_be_printed_and_applied_without_a_server() {
    let printed = run_millrace(&["migrate", "--print", "--retention-days", "12"]);
    assert!(
        output_text(&printed).contains("CREATE TABLE IF NOT EXISTS events")
            && output_text(&printed).contains("toIntervalDay(12)")
    );
    let folder = tempfile::tempdir().unwrap();
    let data_dir = folder.path().to_str().unwrap();
    let first = run_millrace(&["migrate", "--data-dir", data_dir]);
    assert!(
        first.status.success() && output_text(&first).contains("applied 0006_one_rollup"),
        "{}",
        output_text(&first)
    );
    let second = run_millrace(&["migrate", "--data-dir", data_dir]);
    assert_eq!(output_text(&second).trim(), "the schema is up to date");
}

#[tokio::test]
async fn a_batch_rejected_by_clickhouse_waits_for_a_replay() {
    let server = TestServer::start();
    // A schema that does not fit the batch, as after a mistake by a person.
    server.sql("ALTER TABLE events DROP COLUMN device_type").await;
    server.ingest().await.send_events(events_request(vec![event("a"), event("b")])).await.unwrap();
    let health = server
        .wait_for_health("aware of the rejected batch", |health| {
            health.dead_letters.as_ref().unwrap().refused_batches == 1
        })
        .await;
    assert_eq!((health.status(), health.buffer_size), (Status::Degraded, 2));
    assert!(health.summary.contains("millrace dead-letters list"), "{}", health.summary);
    let data_dir = server.data_dir().to_str().unwrap();
    let listed = output_text(&run_millrace(&["dead-letters", "list", "--data-dir", data_dir]));
    assert!(listed.contains("refused  2 events") && listed.contains("NO_SUCH_COLUMN"), "{listed}");
    // Replayed before the fix, it is rejected again.
    let early = run_millrace(&["dead-letters", "replay", "--data-dir", data_dir]);
    assert!(
        !early.status.success() && output_text(&early).contains("refused again"),
        "{}",
        output_text(&early)
    );
    server.sql("ALTER TABLE events ADD COLUMN device_type LowCardinality(String)").await;
    let replayed = run_millrace(&["dead-letters", "replay", "--data-dir", data_dir]);
    assert!(
        replayed.status.success() && output_text(&replayed).contains("replayed  2 events"),
        "{}",
        output_text(&replayed)
    );
    server.wait_for_health("ok", |health| health.status() == Status::Ok && health.buffer_size == 0).await;
    assert_eq!(server.sql("SELECT count() FROM events").await, "2");
    let none = run_millrace(&["dead-letters", "replay", "--data-dir", data_dir]);
    assert!(output_text(&none).contains("there are no dead letters"), "{}", output_text(&none));
}

#[tokio::test]
async fn health_watch_streams_changes() {
    let server = TestServer::start();
    let mut client = HealthServiceClient::new(server.channel().await);
    let mut changes = client.watch(v1::WatchRequest {}).await.unwrap().into_inner();
    let first = changes.message().await.unwrap().unwrap().health.unwrap();
    assert_eq!((first.status(), first.events_accepted), (Status::Ok, 0));
    server.ingest().await.send_events(events_request(vec![event("a")])).await.unwrap();
    loop {
        let health = changes.message().await.unwrap().unwrap().health.unwrap();
        if health.events_inserted == 1 {
            assert!(health.last_flush.is_some() && health.journal.unwrap().durable);
            break;
        }
    }
}

#[test]
fn one_port_serves_http_and_grpc_web() {
    let server = TestServer::start();
    assert!(http_request(&server, "GET", "/livez", "text/plain", b"").0.starts_with("HTTP/1.1 200"));
    let (head, body) = http_request(&server, "GET", "/readyz", "text/plain", b"");
    assert!(head.starts_with("HTTP/1.1 200") && body.ends_with(b"ok\n"), "{head}");
    let request = events_request(vec![event("web"), v1::Event::default()]).encode_to_vec();
    let mut framed = vec![0];
    framed.extend_from_slice(&u32::try_from(request.len()).unwrap().to_be_bytes());
    framed.extend_from_slice(&request);
    let path = "/millrace.v1.IngestService/SendEvents";
    let (head, body) = http_request(&server, "POST", path, "application/grpc-web+proto", &framed);
    assert!(
        head.starts_with("HTTP/1.1 200") && head.to_lowercase().contains("application/grpc-web"),
        "{head}"
    );
    let text = String::from_utf8_lossy(&body);
    assert!(text.contains("event_name") && text.contains("grpc-status:0"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn rollups_are_rebuilt_exactly_during_ingestion() {
    let server = TestServer::start();
    let generate = |more: &[&str]| {
        tokio::process::Command::new(env!("CARGO_BIN_EXE_millrace"))
            .args(["generate", "--target", &server.url()])
            .args(more)
            .output()
    };
    let backfill = generate(&["--rate", "2", "--backfill", "48h"]).await.unwrap();
    assert!(backfill.status.success(), "{backfill:?}");
    server.wait_until_landed().await;
    let live = tokio::spawn(generate(&["--rate", "2000", "--duration", "12s", "--producer-id", "live"]));
    let migrate = |rollup: &str| {
        let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_millrace"));
        command.arg("migrate").args(["--rebuild", rollup, "--data-dir"]).arg(server.data_dir());
        command.env("RUST_BACKTRACE", "0");
        async move { command.output().await.unwrap() }
    };
    let unknown = migrate("nothing").await;
    assert!(String::from_utf8_lossy(&unknown.stderr).contains("minutes, feature_minutes"), "{unknown:?}");
    // One rollup with missing rows, one with duplicate rows.
    server.sql("DELETE FROM minutes WHERE minute < now() - 86400").await;
    server.sql("INSERT INTO page_minutes SELECT * FROM page_minutes").await;
    for rollup in ["minutes", "page_minutes", "feature_minutes", "country_minutes"] {
        let rebuilt = migrate(rollup).await;
        let output_text = String::from_utf8_lossy(&rebuilt.stdout).into_owned();
        assert!(
            rebuilt.status.success() && output_text.starts_with(&format!("rebuilt {rollup} from ")),
            "{rebuilt:?}"
        );
    }
    let live = live.await.unwrap().unwrap();
    let output_text = String::from_utf8_lossy(&live.stdout).into_owned();
    assert!(live.status.success() && output_text.contains("rejected 0"), "{live:?}");
    server.wait_until_landed().await;
    assert_rollups_match_events(&server).await;
    assert_eq!(server.sql("SELECT count() - uniqExact(event_id) FROM events").await, "0");
    // The new tables are kept until the next start has compared them.
    let rebuild_tables = "SELECT count() FROM system.tables WHERE endsWith(name, '_rebuilt')";
    assert_eq!(server.sql(rebuild_tables).await, "8");
    let folder = server.shared_data_dir();
    server.stop();
    let server = TestServer::start_on(folder, &[]);
    assert_eq!(server.sql(rebuild_tables).await, "0");
}

#[tokio::test]
async fn an_interrupted_rebuild_is_recovered_at_the_next_start() {
    let server = TestServer::start();
    let folder = server.shared_data_dir();
    server.ingest().await.send_events(events_request(vec![event("x")])).await.unwrap();
    server.wait_until_landed().await;
    server.sql("ALTER TABLE events ADD CONSTRAINT inserts_wait_for_a_rebuild CHECK 0").await;
    server.sql("CREATE TABLE minutes_rebuilt AS minutes").await;
    // Events accepted meanwhile wait in the journal, and then as a dead letter.
    server.ingest().await.send_events(events_request(vec![event("y")])).await.unwrap();
    server
        .wait_for_health("with a dead letter", |health| {
            health.dead_letters.as_ref().is_some_and(|letters| letters.batches > 0)
        })
        .await;
    server.signal("KILL");
    drop(server);
    let server = TestServer::start_on(folder, &[]);
    assert_eq!(server.health().await.buffer_size, 1, "a dead letter has not landed");
    server.wait_until_landed().await;
    assert_eq!(server.sql("SELECT count(), uniqExact(event_id) FROM events").await, "2\t2");
    assert_eq!(server.sql("SELECT sum(events) FROM minutes").await, "2");
    assert_eq!(server.sql("SELECT count() FROM system.tables WHERE endsWith(name, '_rebuilt')").await, "0");
}

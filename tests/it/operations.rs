//! Operations: retention, schema, dead letters, health, rebuilds, load balancers and gRPC-Web.

use std::process::{Command, Output, Stdio};
use std::time::Instant;

use crate::common::{TIMEOUT, TestServer, event, events_request, http_request, now};
use crate::rollup_assertions::assert_rollup_matches_events;
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
    let ttls = "SELECT name FROM system.tables WHERE database = 'millrace' AND engine_full LIKE '%toIntervalDay(DAYS)%' ORDER BY name";
    assert_eq!(server.sql(&ttls.replace("DAYS", "30")).await, "events");
    assert_eq!(server.sql(&ttls.replace("DAYS", "400")).await, "event_properties\nrollup");
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
    let days = [("RETENTION_DAYS", "7"), ("ROLLUP_RETENTION_DAYS", "8")];
    let server = TestServer::start_on(folder, &days);
    assert_eq!(server.sql(&ttls.replace("DAYS", "7")).await, "events");
    assert_eq!(server.sql(&ttls.replace("DAYS", "8")).await, "event_properties\nrollup");
    assert_eq!(server.sql("SELECT count() FROM schema_migrations").await, "10", "each file is applied once");
}

const TABLES: [&str; 2] = ["events", "rollup"];

/// One event per hour and kind, aged from `first` hours on.
async fn insert_aged_events(server: &TestServer, count: u32, first: u32) {
    let insert = format!(
        "INSERT INTO events (event_name, timestamp, session_id, properties) \
         SELECT ['page_view', 'feature_used'][1 + number % 2], now64(3) - toIntervalHour({first} + intDiv(number, 2)), \
         toString(number % 7), '{{\"page_url\":\"/\",\"feature\":\"f\"}}' FROM numbers({count})"
    );
    server.sql(&insert).await;
}

fn rebuild_rollup(server: &TestServer) {
    let rebuilt =
        run_millrace(&["migrate", "--rebuild", "rollup", "--data-dir", server.data_dir().to_str().unwrap()]);
    assert!(rebuilt.status.success(), "{}", output_text(&rebuilt));
}

#[tokio::test]
async fn a_longer_retention_keeps_rows_about_to_expire() {
    let server = TestServer::start_with(&[("RETENTION_DAYS", "60")]);
    // Prevents expiry before the retention is changed.
    for table in TABLES {
        server
            .sql(&format!("ALTER TABLE {table} MODIFY SETTING max_number_of_merges_with_ttl_in_pool = 0"))
            .await;
    }
    insert_aged_events(&server, 1_000, 480).await;
    rebuild_rollup(&server);
    let figures = async |server: &TestServer| {
        server.sql("SELECT (SELECT count() FROM events), sum(events) FROM rollup").await
    };
    let before = figures(&server).await;
    // Five levels of: all events, each event, pages, features.
    assert_eq!(before, format!("1000\t{}", 5 * (1_000 + 1_000 + 500 + 500)));
    let folder = server.shared_data_dir();
    server.stop();
    let short = [("RETENTION_DAYS", "1"), ("ROLLUP_RETENTION_DAYS", "1")];
    let server = TestServer::start_on(folder, &short);
    // As if this start had been killed before it changed a definition.
    server
        .sql("ALTER TABLE rollup MODIFY TTL start + toIntervalDay(90) SETTINGS materialize_ttl_after_modify = 0")
        .await;
    let folder = server.shared_data_dir();
    server.stop();
    let long = [("RETENTION_DAYS", "90"), ("ROLLUP_RETENTION_DAYS", "90")];
    let server = TestServer::start_on(folder, &long);
    for table in TABLES {
        server.sql(&format!("OPTIMIZE TABLE {table} FINAL")).await;
    }
    assert_eq!(figures(&server).await, before);
    // A shorter retention applies to stored rows too: ClickHouse drops them in the background.
    let folder = server.shared_data_dir();
    server.stop();
    let server = TestServer::start_on(folder, &short);
    let recorded = "SELECT table_name, groupArray(days) FROM (SELECT * FROM schema_retention ORDER BY applied_at) \
                    GROUP BY table_name ORDER BY table_name";
    let rollup = "[400,1,90,1]";
    assert_eq!(
        server.sql(recorded).await,
        format!("event_properties\t{rollup}\nevents\t[60,1,90,1]\nrollup\t{rollup}")
    );
    for table in TABLES {
        server.sql(&format!("ALTER TABLE {table} RESET SETTING max_number_of_merges_with_ttl_in_pool")).await;
        wait_until_expired(&server, table, "1").await;
    }
}

/// Waits until ClickHouse has dropped the rows that match.
async fn wait_until_expired(server: &TestServer, table: &str, filter: &str) {
    let deadline = Instant::now() + TIMEOUT;
    while server.sql(&format!("SELECT count() FROM {table} WHERE {filter}")).await != "0" {
        assert!(Instant::now() < deadline, "{table} still has expired rows");
        server.sql(&format!("OPTIMIZE TABLE {table} FINAL")).await;
    }
}

#[tokio::test]
async fn the_rollup_outlives_its_events_and_every_rebuild() {
    let server = TestServer::start_with(&[("RETENTION_DAYS", "90")]);
    // Two days about 42 days ago, and the last two days.
    insert_aged_events(&server, 96, 1_000).await;
    insert_aged_events(&server, 96, 1).await;
    rebuild_rollup(&server);
    assert_rollup_matches_events(&server).await;
    let rows = "SELECT step, event_name, dimension, value, start, sum(events), groupBitmapMerge(visitors) FROM rollup \
                GROUP BY ALL ORDER BY ALL";
    let before = server.sql(rows).await;
    let folder = server.shared_data_dir();
    server.stop();
    let server = TestServer::start_on(folder, &[("RETENTION_DAYS", "30")]);
    wait_until_expired(&server, "events", "timestamp < now() - 2592000").await;
    assert_eq!(server.sql("SELECT count() FROM events").await, "96");
    assert_eq!(server.sql(rows).await, before);
    // A rebuild leaves them, and repairs the others.
    server.sql("DELETE FROM rollup WHERE start > now() - 864000 AND step IN (1, 60)").await;
    rebuild_rollup(&server);
    assert_eq!(server.sql(rows).await, before);
    // So does a rebuild after the retention was raised again: the events do not come back.
    let folder = server.shared_data_dir();
    server.stop();
    let server = TestServer::start_on(folder, &[("RETENTION_DAYS", "90")]);
    rebuild_rollup(&server);
    assert_eq!(server.sql(rows).await, before);
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
    assert_eq!(server.sql("SELECT count() FROM schema_migrations").await, "10");
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
    assert!(
        listed.contains("refused  2 events") && listed.contains("Unknown column with name device_type"),
        "{listed}"
    );
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

#[tokio::test]
async fn the_rollup_distinguishes_a_bounded_number_of_values() {
    let server = TestServer::start();
    // Two days; on each, page b is the most frequent one, then c.
    server
        .sql(
            "INSERT INTO events (event_name, timestamp, session_id, properties) \
             SELECT 'page_view', toDateTime64(today() - 2 - number % 2, 3, 'UTC') + number, toString(number), \
             concat('{\"page_url\":\"/', ['b', 'b', 'b', 'c', 'c', 'a', 'd'][1 + intDiv(number, 2) % 7], '\"}') \
             FROM numbers(14000)",
        )
        .await;
    let data_dir = server.data_dir().to_str().unwrap();
    let rebuild = ["migrate", "--rebuild", "rollup", "--rollup-values", "2", "--data-dir", data_dir];
    let rebuilt = run_millrace(&rebuild);
    assert!(rebuilt.status.success(), "{}", output_text(&rebuilt));
    let pages = "SELECT value, sum(events), groupBitmapMerge(visitors), countDistinct(toDate(start)) FROM rollup \
                 WHERE dimension = 'page_url' AND step = STEP GROUP BY value ORDER BY value";
    for step in ["1", "15", "60", "360", "1440"] {
        let found = server.sql(&pages.replace("STEP", step)).await;
        let rows: Vec<Vec<&str>> = found.lines().map(|line| line.split('\t').collect()).collect();
        let counts: Vec<(&str, &str, &str)> = rows.iter().map(|row| (row[0], row[1], row[3])).collect();
        assert_eq!(counts, [("(other)", "4000", "2"), ("/b", "6000", "2"), ("/c", "4000", "2")], "{found}");
        // Distinct visitors, less those that share a bit.
        assert!(rows[0][2].parse::<u64>().unwrap().abs_diff(4_000) < 40, "{found}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_rollup_is_rebuilt_exactly_during_ingestion() {
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
    let migrate = |table: &str| {
        let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_millrace"));
        command.arg("migrate").args(["--rebuild", table, "--data-dir"]).arg(server.data_dir());
        command.env("RUST_BACKTRACE", "0");
        async move { command.output().await.unwrap() }
    };
    let unknown = migrate("nothing").await;
    assert!(String::from_utf8_lossy(&unknown.stderr).contains("must be one of rollup"), "{unknown:?}");
    // Missing and duplicate rows.
    server.sql("DELETE FROM rollup WHERE start < now() - 86400").await;
    server.sql("INSERT INTO rollup SELECT * FROM rollup WHERE dimension = 'page_url'").await;
    for _ in 0..2 {
        let rebuilt = migrate("rollup").await;
        let output_text = String::from_utf8_lossy(&rebuilt.stdout).into_owned();
        assert!(
            rebuilt.status.success() && output_text.starts_with("rebuilt the rollup from "),
            "{rebuilt:?}"
        );
    }
    let live = live.await.unwrap().unwrap();
    let output_text = String::from_utf8_lossy(&live.stdout).into_owned();
    assert!(live.status.success() && output_text.contains("rejected 0"), "{live:?}");
    server.wait_until_landed().await;
    assert_rollup_matches_events(&server).await;
    assert_eq!(server.sql("SELECT count() - uniqExact(event_id) FROM events").await, "0");
    // The new table is kept until the next start has compared them.
    let rebuild_tables = "SELECT count() FROM system.tables WHERE endsWith(name, '_rebuilt')";
    assert_eq!(server.sql(rebuild_tables).await, "1");
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
    for table in TABLES {
        server.sql(&format!("ALTER TABLE {table} ADD CONSTRAINT inserts_wait_for_a_rebuild CHECK 0")).await;
    }
    server.sql("CREATE TABLE rollup_rebuilt AS rollup").await;
    // Events accepted meanwhile wait in the journal, and then as a dead letter.
    server.ingest().await.send_events(events_request(vec![event("y")])).await.unwrap();
    let health = server
        .wait_for_health("with a dead letter", |health| {
            health.dead_letters.as_ref().is_some_and(|letters| letters.batches > 0)
        })
        .await;
    assert_eq!(health.buffer_size, 1, "the event of a dead letter is not in ClickHouse");
    server.signal("KILL");
    drop(server);
    let server = TestServer::start_on(folder, &[]);
    server.wait_until_landed().await;
    assert_eq!(server.sql("SELECT count(), uniqExact(event_id) FROM events").await, "2\t2");
    assert_eq!(server.sql("SELECT sum(events) FROM rollup WHERE step = 1 AND event_name = ''").await, "2");
    assert_eq!(server.sql("SELECT count() FROM system.tables WHERE endsWith(name, '_rebuilt')").await, "0");
}

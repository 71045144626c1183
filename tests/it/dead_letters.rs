//! Dead letters: each is replayed automatically, and none hides or blocks another.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::time::Duration;

use millrace::internals::event::{ValidationRules, validate};
use millrace::internals::project::Project;
use millrace::internals::properties::Properties;
use millrace::internals::writer::columns::EventColumns;
use millrace_client::proto::v1;
use tempfile::TempDir;
use tonic::Code;
use uuid::Uuid;
use v1::Status;

use crate::common::{TestServer, event, events_request};

fn run_millrace(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_millrace")).args(args).stdin(Stdio::null()).output().unwrap()
}

fn output_text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

fn dead_letters_dir(data_dir: &Path) -> PathBuf {
    data_dir.join("dead-letters")
}

/// A batch with one event, in the Native format.
fn native_body(name: &str, batch_id: Uuid) -> Vec<u8> {
    let now_ms = jiff::Timestamp::now().as_millisecond();
    let rules =
        ValidationRules { retention: Duration::from_secs(86_400), max_clock_skew: Duration::from_secs(60) };
    let (properties, event) = (Properties::built_in(), event(name));
    let mut columns = EventColumns::new(&properties);
    columns.push(&validate(&event, &rules, &properties, now_ms).unwrap(), &Project::default(), now_ms);
    columns.into_native(batch_id).concat()
}

/// Writes a dead letter as a server does. `dead_lettered_at` determines its position in the order.
fn put_dead_letter(data_dir: &Path, dead_lettered_at: &str, name: &str, more: serde_json::Value) -> Uuid {
    let batch_id = Uuid::new_v4();
    let body = native_body(name, batch_id);
    fs::create_dir_all(dead_letters_dir(data_dir)).unwrap();
    let mut letter = serde_json::json!({
        "batch_id": batch_id, "set_aside_at": dead_lettered_at, "reason": "no answer", "code": null, "events": 1,
        "bytes": body.len(), "refused": false,
    });
    letter.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    fs::write(dead_letters_dir(data_dir).join(format!("{batch_id}.native")), body).unwrap();
    fs::write(dead_letters_dir(data_dir).join(format!("{batch_id}.json")), letter.to_string()).unwrap();
    batch_id
}

/// A `dead_lettered_at` so recent that the letter is replayed under its token.
fn recent_time() -> String {
    jiff::Timestamp::now().to_string()
}

/// Makes ClickHouse reject events of this name, with an error code that counts as transient.
async fn reject_events_named(server: &TestServer, name: &str) {
    server.sql(&format!("ALTER TABLE events ADD CONSTRAINT no_poison CHECK event_name != '{name}'")).await;
}

fn listed_dead_letter(data_dir: &Path, batch_id: Uuid) -> serde_json::Value {
    let output = run_millrace(&["dead-letters", "list", "--json", "--data-dir", data_dir.to_str().unwrap()]);
    let lines = String::from_utf8_lossy(&output.stdout).into_owned();
    let line = lines.lines().find(|line| line.contains(&batch_id.to_string()));
    serde_json::from_str(line.unwrap_or_else(|| panic!("{batch_id} is missing in {output:?}"))).unwrap()
}

fn dead_letter_health(health: &v1::Health) -> &v1::DeadLetterHealth {
    health.dead_letters.as_ref().unwrap()
}

fn temp_data_dir() -> Arc<TempDir> {
    Arc::new(tempfile::tempdir().unwrap())
}

#[tokio::test]
async fn a_failing_batch_does_not_block_others() {
    let folder = temp_data_dir();
    let server = TestServer::start_on(Arc::clone(&folder), &[]);
    reject_events_named(&server, "poison").await;
    let poison = put_dead_letter(folder.path(), &recent_time(), "poison", serde_json::json!({}));
    put_dead_letter(folder.path(), &recent_time(), "good", serde_json::json!({}));
    let health = server
        .wait_for_health("done with the good batch", |health| {
            dead_letter_health(health).batches == 1 && health.events_inserted == 1
        })
        .await;
    assert_eq!((health.status(), dead_letter_health(&health).refused_batches), (Status::Degraded, 0));
    assert_eq!(server.sql("SELECT groupArray(event_name) FROM events").await, "['good']");
    let letter = listed_dead_letter(folder.path(), poison);
    assert!(letter["reason"].as_str().unwrap().contains("no_poison"), "{letter}");
}

#[tokio::test]
async fn a_batch_is_rejected_after_too_many_attempts() {
    let folder = temp_data_dir();
    let server = TestServer::start_on(Arc::clone(&folder), &[]);
    reject_events_named(&server, "poison").await;
    // All attempts but the last: they would take hours.
    let poison = put_dead_letter(folder.path(), &recent_time(), "poison", serde_json::json!({"tries": 23}));
    let health =
        server.wait_for_health("rejected", |health| dead_letter_health(health).refused_batches == 1).await;
    assert!(health.summary.contains("millrace dead-letters list"), "{}", health.summary);
    let letter = listed_dead_letter(folder.path(), poison);
    assert_eq!((&letter["tries"], &letter["code"]), (&24.into(), &469.into()));
    let data_dir = folder.path().to_str().unwrap();
    let shown = output_text(&run_millrace(&["dead-letters", "list", "--data-dir", data_dir]));
    assert!(shown.contains("refused") && shown.contains("24 tries"), "{shown}");
    // A replay by hand resets the attempts. It fails again, and reports why.
    let replayed = run_millrace(&["dead-letters", "replay", "--data-dir", data_dir]);
    assert!(
        !replayed.status.success() && output_text(&replayed).contains("no_poison"),
        "{}",
        output_text(&replayed)
    );
    let letter = listed_dead_letter(folder.path(), poison);
    assert_eq!((&letter["tries"], &letter["refused"]), (&1.into(), &false.into()));
}

#[tokio::test]
async fn errors_of_the_table_do_not_count_as_attempts() {
    let folder = temp_data_dir();
    let mut server = TestServer::start_on(Arc::clone(&folder), &[]);
    // The table is missing.
    server.sql("RENAME TABLE events TO events_away").await;
    let batches = [("a", "2026-01-02T00:00:00Z"), ("b", "2026-01-03T00:00:00Z")]
        .map(|(name, at)| put_dead_letter(folder.path(), at, name, serde_json::json!({"tries": 23})));
    server.wait_for_log_line("UNKNOWN_TABLE");
    server.wait_for_health("naming the error", |health| health.summary.contains("UNKNOWN_TABLE")).await;
    for batch in batches {
        let letter = listed_dead_letter(folder.path(), batch);
        assert_eq!((&letter["tries"], &letter["refused"]), (&23.into(), &false.into()), "{letter}");
    }
    server.sql("RENAME TABLE events_away TO events").await;
    server.wait_for_health("done with both", |health| health.events_inserted == 2).await;
    assert_eq!(server.sql("SELECT groupArraySorted(5)(event_name) FROM events").await, "['a','b']");
}

#[tokio::test]
async fn an_unreadable_dead_letter_is_reported_and_does_not_hide_others() {
    let dir = temp_data_dir();
    fs::create_dir_all(dead_letters_dir(dir.path())).unwrap();
    let broken = dead_letters_dir(dir.path()).join(format!("{}.json", Uuid::new_v4()));
    fs::write(&broken, "{").unwrap();
    put_dead_letter(dir.path(), "2026-01-02T00:00:00Z", "good", serde_json::json!({}));
    let server = TestServer::start_on(Arc::clone(&dir), &[]);
    let name = broken.file_name().unwrap().to_str().unwrap().to_owned();
    let health = server
        .wait_for_health("naming the file", |health| {
            health.events_inserted == 1 && health.summary.contains(&name)
        })
        .await;
    assert_eq!(health.status(), Status::Degraded);
    let shown = run_millrace(&["dead-letters", "list", "--data-dir", dir.path().to_str().unwrap()]);
    assert!(!shown.status.success() && output_text(&shown).contains(&name), "{}", output_text(&shown));
    fs::remove_file(&broken).unwrap();
    server.wait_for_health("ok", |health| health.status() == Status::Ok).await;
}

#[tokio::test]
async fn partial_files_of_a_crash_are_removed_at_startup() {
    let dir = temp_data_dir();
    fs::create_dir_all(dead_letters_dir(dir.path())).unwrap();
    // One interrupted removal, two interrupted writes.
    for suffix in ["native", "draft", "4711-1.draft"] {
        fs::write(dead_letters_dir(dir.path()).join(format!("{}.{suffix}", Uuid::new_v4())), "x").unwrap();
    }
    let good =
        put_dead_letter(dir.path(), "2026-01-02T00:00:00Z", "good", serde_json::json!({"refused": true}));
    let mut server = TestServer::start_on(Arc::clone(&dir), &[]);
    let line = server.wait_for_log_line("swept");
    assert!(line.contains("files=3"), "{line}");
    let mut files: Vec<_> =
        fs::read_dir(dead_letters_dir(dir.path())).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    files.sort();
    assert_eq!(
        files,
        [format!("{good}.json"), format!("{good}.native")].map(Into::<std::ffi::OsString>::into)
    );
}

#[tokio::test]
async fn dead_letters_count_toward_the_journal_limit_from_startup() {
    let dir = temp_data_dir();
    let large = put_dead_letter(
        dir.path(),
        "2026-01-02T00:00:00Z",
        "large",
        serde_json::json!({"refused": true, "bytes": 400 << 20}),
    );
    let body = fs::File::create(dead_letters_dir(dir.path()).join(format!("{large}.native"))).unwrap();
    body.set_len(400 << 20).unwrap();
    let server = TestServer::start_on(Arc::clone(&dir), &[("MILLRACE_JOURNAL_MAX_BYTES", "268435456")]);
    let error = server.ingest().await.send_events(events_request(vec![event("a")])).await.unwrap_err();
    assert_eq!(error.code(), Code::ResourceExhausted, "{error:?}");
}

/// A body as the version before projects and dictionaries wrote it.
fn body_of_version_1(name: &str, id: Uuid) -> Vec<u8> {
    let now_ms = jiff::Timestamp::now().as_millisecond().to_le_bytes();
    let (high, low) = id.as_u64_pair();
    let id = [high.to_le_bytes(), low.to_le_bytes()].concat();
    let string = |text: &str| [&[text.len() as u8], text.as_bytes()].concat();
    let columns: [(&str, &str, Vec<u8>); 10] = [
        ("event_name", "String", string(name)),
        ("timestamp", "DateTime64(3)", now_ms.to_vec()),
        ("session_id", "String", string("s")),
        ("user_id", "Nullable(String)", vec![1, 0]),
        ("device_type", "String", string("mobile")),
        ("country_code", "FixedString(2)", b"ES".to_vec()),
        ("properties", "String", string(r#"{"page_url":"/orders/7"}"#)),
        ("event_id", "UUID", id.clone()),
        ("received_at", "DateTime64(3)", now_ms.to_vec()),
        ("batch", "UUID", id),
    ];
    let mut body = vec![10, 1];
    for (column, kind, value) in columns {
        body.extend([string(column), string(kind), value].concat());
    }
    body
}

#[tokio::test]
async fn a_letter_of_an_earlier_version_is_replayed_into_the_new_tables() {
    let folder = temp_data_dir();
    let batch = put_dead_letter(folder.path(), &recent_time(), "any", serde_json::json!({}));
    let body = dead_letters_dir(folder.path()).join(format!("{batch}.native"));
    fs::write(body, body_of_version_1("page_view", batch)).unwrap();
    let server = TestServer::start_on(Arc::clone(&folder), &[]);
    server.wait_for_health("done", |health| health.events_inserted == 1).await;
    let stored = "SELECT project, event_name, event_id, device_type, country_code, page_url FROM events";
    let expected = format!("default\tpage_view\t{batch}\tmobile\tES\t/orders/:id");
    assert_eq!(server.sql(stored).await, expected);
    let pages = "SELECT sum(events), groupBitmapMerge(visitors) FROM rollup WHERE value = '/orders/:id' AND step = 60";
    assert_eq!(server.sql(pages).await, "1\t1");
}

#[tokio::test]
async fn an_operator_lists_and_replays_dead_letters_over_grpc() {
    let data_dir = temp_data_dir();
    let refused =
        put_dead_letter(data_dir.path(), &recent_time(), "ok", serde_json::json!({ "refused": true }));
    let server = TestServer::start_on(Arc::clone(&data_dir), &[]);
    let mut operations = v1::operations_service_client::OperationsServiceClient::new(server.channel().await);
    let listed = operations.list_dead_letters(v1::ListDeadLettersRequest {}).await.unwrap().into_inner();
    let [letter] = &listed.dead_letters[..] else { panic!("{listed:?}") };
    assert_eq!((letter.batch_id.parse(), letter.events, letter.refused), (Ok(refused), 1, true));
    let health = server.health().await;
    let oldest = health.oldest_unlanded.expect("the letter is not in ClickHouse");
    assert!(
        (prost_types::Timestamp::from(std::time::SystemTime::now()).seconds - oldest.seconds).abs() < 600
    );

    for (id, code, expected) in [
        ("x", Code::InvalidArgument, "batch_ids: \"x\" is not a UUID"),
        ("00000000-0000-4000-8000-000000000000", Code::NotFound, "batch_ids: there is no dead letter"),
    ] {
        let request = v1::ReplayDeadLettersRequest { batch_ids: vec![id.to_owned()] };
        let status = operations.replay_dead_letters(request).await.unwrap_err();
        assert!(status.code() == code && status.message().starts_with(expected), "{status}");
    }
    let request = v1::ReplayDeadLettersRequest { batch_ids: vec![letter.batch_id.clone()] };
    assert_eq!(operations.replay_dead_letters(request).await.unwrap().into_inner().batches, 1);
    server.wait_until_landed().await;
    assert_eq!(server.sql("SELECT count() FROM events WHERE event_name = 'ok'").await, "1");
    let listed = operations.list_dead_letters(v1::ListDeadLettersRequest {}).await.unwrap().into_inner();
    assert_eq!(listed, v1::ListDeadLettersResponse::default());

    server.ingest().await.send_events(events_request(vec![event("ok")])).await.unwrap();
    let health = server
        .wait_for_health("with sizes", |health| health.storage.is_some() && health.freshness.is_some())
        .await;
    let storage = health.storage.unwrap();
    assert!(storage.stored_bytes > 0 && storage.free_bytes < storage.total_bytes, "{storage:?}");
    assert_eq!(
        (server.wait_until_landed().await.oldest_unlanded, storage.growth_bytes_per_day),
        (None, None)
    );

    let panels = operations.list_panel_statistics(v1::ListPanelStatisticsRequest {}).await.unwrap();
    assert_eq!(panels.into_inner().panels, [], "none has been computed");
    let request = v1::QueryPanelRequest { panel: "top_pages".to_owned(), ..Default::default() };
    server.dashboard().await.query_panel(request).await.unwrap();
    let panels =
        operations.list_panel_statistics(v1::ListPanelStatisticsRequest {}).await.unwrap().into_inner();
    let [panel] = &panels.panels[..] else { panic!("{panels:?}") };
    assert_eq!((&*panel.panel, panel.statements, panel.failures), ("top_pages", 1, 0));
    let settings = operations.list_settings(v1::ListSettingsRequest {}).await.unwrap().into_inner().settings;
    let find = |name: &str| settings.iter().find(|setting| setting.name == name).unwrap();
    assert_eq!(find("MILLRACE_DATA_DIR").value, data_dir.path().to_str().unwrap());
    assert!(find("CLICKHOUSE_PASSWORD").secret && find("RETENTION_DAYS").is_default);
}

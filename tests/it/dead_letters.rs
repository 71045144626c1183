//! Batches that were set aside: each is brought back by itself, and none hides or holds up another.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::time::Duration;

use millrace::event::{Rules, validate};
use millrace::proto::v1;
use millrace::writer::columns::EventColumns;
use tempfile::TempDir;
use tonic::Code;
use uuid::Uuid;
use v1::Status;

use crate::common::{Server, event, send};

fn millrace(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_millrace")).args(args).stdin(Stdio::null()).output().unwrap()
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

fn folder(data_dir: &Path) -> PathBuf {
    data_dir.join("dead-letters")
}

/// The bytes of a batch with one event.
fn body(name: &str, batch_id: Uuid) -> Vec<u8> {
    let now_ms = jiff::Timestamp::now().as_millisecond();
    let rules = Rules { retention: Duration::from_secs(86_400), max_clock_skew: Duration::from_secs(60) };
    let mut columns = EventColumns::default();
    columns.push(&validate(&event(name), &rules, now_ms).unwrap(), now_ms, Uuid::new_v4);
    columns.into_native(batch_id).concat()
}

/// A letter as a server leaves it behind; `set_aside_at` is its place in the order.
fn put(data_dir: &Path, set_aside_at: &str, name: &str, more: serde_json::Value) -> Uuid {
    let batch_id = Uuid::new_v4();
    let body = body(name, batch_id);
    fs::create_dir_all(folder(data_dir)).unwrap();
    let mut letter = serde_json::json!({
        "batch_id": batch_id, "set_aside_at": set_aside_at, "reason": "no answer", "code": null, "events": 1,
        "bytes": body.len(), "refused": false,
    });
    letter.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    fs::write(folder(data_dir).join(format!("{batch_id}.native")), body).unwrap();
    fs::write(folder(data_dir).join(format!("{batch_id}.json")), letter.to_string()).unwrap();
    batch_id
}

/// A time at which a letter is set aside that is sent again under its token.
fn lately() -> String {
    jiff::Timestamp::now().to_string()
}

/// Has ClickHouse refuse the events of this name, with an answer that says that it might take them later.
async fn refuse(server: &Server, name: &str) {
    server.sql(&format!("ALTER TABLE events ADD CONSTRAINT no_poison CHECK event_name != '{name}'")).await;
}

fn listed(data_dir: &Path, batch_id: Uuid) -> serde_json::Value {
    let output = millrace(&["dead-letters", "list", "--json", "--data-dir", data_dir.to_str().unwrap()]);
    let lines = String::from_utf8_lossy(&output.stdout).into_owned();
    let line = lines.lines().find(|line| line.contains(&batch_id.to_string()));
    serde_json::from_str(line.unwrap_or_else(|| panic!("{batch_id} is not in {output:?}"))).unwrap()
}

fn letters(health: &v1::Health) -> &v1::DeadLetterHealth {
    health.dead_letters.as_ref().unwrap()
}

fn data_dir() -> Arc<TempDir> {
    Arc::new(tempfile::tempdir().unwrap())
}

#[tokio::test]
async fn a_batch_that_always_fails_holds_up_no_other() {
    let folder = data_dir();
    let server = Server::start_on(Arc::clone(&folder), &[]);
    refuse(&server, "poison").await;
    let poison = put(folder.path(), &lately(), "poison", serde_json::json!({}));
    put(folder.path(), &lately(), "good", serde_json::json!({}));
    let health = server
        .wait_for_health("without the good one", |health| {
            letters(health).batches == 1 && health.events_inserted == 1
        })
        .await;
    assert_eq!((health.status(), letters(&health).refused_batches), (Status::Degraded, 0));
    assert_eq!(server.sql("SELECT groupArray(event_name) FROM events").await, "['good']");
    let letter = listed(folder.path(), poison);
    assert!(letter["reason"].as_str().unwrap().contains("no_poison"), "{letter}");
}

#[tokio::test]
async fn a_batch_that_fails_too_often_waits_for_a_person() {
    let folder = data_dir();
    let server = Server::start_on(Arc::clone(&folder), &[]);
    refuse(&server, "poison").await;
    // All tries but the last have been made: they take hours.
    let poison = put(folder.path(), &lately(), "poison", serde_json::json!({"tries": 23}));
    let health = server.wait_for_health("refused", |health| letters(health).refused_batches == 1).await;
    assert!(health.summary.contains("millrace dead-letters list"), "{}", health.summary);
    let letter = listed(folder.path(), poison);
    assert_eq!((&letter["tries"], &letter["code"]), (&24.into(), &469.into()));
    let data_dir = folder.path().to_str().unwrap();
    let shown = said(&millrace(&["dead-letters", "list", "--data-dir", data_dir]));
    assert!(shown.contains("refused") && shown.contains("24 tries"), "{shown}");
    // A person gives it all its tries again; it still does not go in, and says so.
    let replayed = millrace(&["dead-letters", "replay", "--data-dir", data_dir]);
    assert!(!replayed.status.success() && said(&replayed).contains("no_poison"), "{}", said(&replayed));
    let letter = listed(folder.path(), poison);
    assert_eq!((&letter["tries"], &letter["refused"]), (&1.into(), &false.into()));
}

#[tokio::test]
async fn what_is_not_the_fault_of_a_batch_costs_it_no_try() {
    let folder = data_dir();
    let mut server = Server::start_on(Arc::clone(&folder), &[]);
    // The table is away, as in the middle of a rebuild.
    server.sql("RENAME TABLE events TO events_away").await;
    let batches = [("a", "2026-01-02T00:00:00Z"), ("b", "2026-01-03T00:00:00Z")]
        .map(|(name, at)| put(folder.path(), at, name, serde_json::json!({"tries": 23})));
    server.wait_for_line("UNKNOWN_TABLE");
    server.wait_for_health("saying why", |health| health.summary.contains("UNKNOWN_TABLE")).await;
    for batch in batches {
        let letter = listed(folder.path(), batch);
        assert_eq!((&letter["tries"], &letter["refused"]), (&23.into(), &false.into()), "{letter}");
    }
    server.sql("RENAME TABLE events_away TO events").await;
    server.wait_for_health("bringing them in", |health| health.events_inserted == 2).await;
    assert_eq!(server.sql("SELECT groupArraySorted(5)(event_name) FROM events").await, "['a','b']");
}

#[tokio::test]
async fn a_letter_that_cannot_be_read_is_named_and_hides_no_other() {
    let dir = data_dir();
    fs::create_dir_all(folder(dir.path())).unwrap();
    let broken = folder(dir.path()).join(format!("{}.json", Uuid::new_v4()));
    fs::write(&broken, "{").unwrap();
    put(dir.path(), "2026-01-02T00:00:00Z", "good", serde_json::json!({}));
    let server = Server::start_on(Arc::clone(&dir), &[]);
    let name = broken.file_name().unwrap().to_str().unwrap().to_owned();
    let health = server
        .wait_for_health("naming the file", |health| {
            health.events_inserted == 1 && health.summary.contains(&name)
        })
        .await;
    assert_eq!(health.status(), Status::Degraded);
    let shown = millrace(&["dead-letters", "list", "--data-dir", dir.path().to_str().unwrap()]);
    assert!(!shown.status.success() && said(&shown).contains(&name), "{}", said(&shown));
    fs::remove_file(&broken).unwrap();
    server.wait_for_health("ok", |health| health.status() == Status::Ok).await;
}

#[tokio::test]
async fn what_a_crash_left_half_written_is_swept_at_the_start() {
    let dir = data_dir();
    fs::create_dir_all(folder(dir.path())).unwrap();
    // A letter whose removal was cut short, and two whose writing was.
    for left in ["native", "draft", "4711-1.draft"] {
        fs::write(folder(dir.path()).join(format!("{}.{left}", Uuid::new_v4())), "left").unwrap();
    }
    let good = put(dir.path(), "2026-01-02T00:00:00Z", "good", serde_json::json!({"refused": true}));
    let mut server = Server::start_on(Arc::clone(&dir), &[]);
    let line = server.wait_for_line("swept");
    assert!(line.contains("files=3"), "{line}");
    let mut left: Vec<_> =
        fs::read_dir(folder(dir.path())).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    left.sort();
    assert_eq!(
        left,
        [format!("{good}.json"), format!("{good}.native")].map(Into::<std::ffi::OsString>::into)
    );
}

#[tokio::test]
async fn dead_letters_count_against_the_bound_from_the_first_request_on() {
    let dir = data_dir();
    let large = put(
        dir.path(),
        "2026-01-02T00:00:00Z",
        "large",
        serde_json::json!({"refused": true, "bytes": 400 << 20}),
    );
    let body = fs::File::create(folder(dir.path()).join(format!("{large}.native"))).unwrap();
    body.set_len(400 << 20).unwrap();
    let server = Server::start_on(Arc::clone(&dir), &[("MILLRACE_JOURNAL_MAX_BYTES", "268435456")]);
    let refused = server.ingest().await.send_events(send(vec![event("a")])).await.unwrap_err();
    assert_eq!(refused.code(), Code::ResourceExhausted, "{refused:?}");
}

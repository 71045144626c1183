//! The upgrade of a data folder of the schema files 0001 to 0005.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use clickhouse::Client;
use millrace_client::proto::v1;
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use tempfile::TempDir;
use v1::Status;

use crate::common::{SmallDisk, TIMEOUT, TestClickHouse, TestServer, event, events_request, free_address};
use crate::people::assert_people_match_events;
use crate::rollup_assertions::assert_rollup_matches_events;

/// The settings of every table in that version.
const TABLE_SETTINGS: &str = "non_replicated_deduplication_window = 10000, ttl_only_drop_parts = 1, \
    materialize_ttl_recalculate_only = 1, min_rows_to_fsync_after_merge = 1, max_suspicious_broken_parts = 1000000, \
    max_suspicious_broken_parts_bytes = 1000000000000";

const EVENTS: u64 = 10_000;

/// 40 batches over five weeks, with and without users and properties.
const INSERT_EVENTS: &str = "\
    INSERT INTO events (event_name, timestamp, session_id, user_id, device_type, country_code, properties, event_id, \
    received_at, batch)
    SELECT
        ['page_view', 'feature_used', 'signup_started', 'error_occurred'][1 + rand(1) % 4],
        now64(3) - toIntervalSecond(rand(2) % (35 * 86400)) - toIntervalMillisecond(rand(3) % 1000),
        'session-' || toString(rand(4) % 30000),
        if(rand(5) % 2 = 0, NULL, 'user-' || toString(rand(6) % 9000)),
        ['desktop', 'mobile', ''][1 + rand(7) % 3],
        ['ES', 'DE', ''][1 + rand(8) % 3],
        concat('{\"page_url\":\"https://example.com/shop/', toString(rand(9) % 50), '?q=1\",\"duration_ms\":',
            toString(rand(10) % 9000), ',\"feature\":\"f', toString(rand(11) % 9), '\",\"browser\":\"Firefox\"}'),
        generateUUIDv7(number),
        now64(3),
        toUUID(concat('0192f3a4-5b6c-7def-8123-4567890000', leftPad(toString(number % 40), 2, '0')))
    FROM numbers(EVENTS)";

/// What must be the same before and after: all that the old table stored.
const CONTENTS: &str = "SELECT count(), uniqExact(event_id), sum(sipHash64(event_name, timestamp, session_id, user_id, \
                        device_type, country_code, properties, event_id, received_at, batch)) FROM events";

/// The statements of a schema file of that version.
fn old_statements() -> Vec<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("queries/schema");
    let read = |name: &str| std::fs::read_to_string(folder.join(name)).unwrap();
    let mut schema: String =
        ["0001_events", "0002_minutes", "0003_feature_minutes", "0004_page_minutes", "0005_country_minutes"]
            .iter()
            .map(|name| read(&format!("{name}.sql")))
            .collect();
    for (view, source) in [
        ("minutes", "events"),
        ("session_steps", "minutes"),
        ("feature_minutes", "events"),
        ("feature_steps", "feature_minutes"),
        ("page_minutes", "events"),
        ("page_steps", "page_minutes"),
        ("country_minutes", "events"),
        ("country_steps", "country_minutes"),
    ] {
        let select = read(&format!("views/{view}.sql")).replace("{{source}}", source);
        schema = schema.replace(&format!("{{{{rollups/{view}.sql}}}}"), select.trim_end());
    }
    let schema = schema.replace("{{retention_days}}", "90").replace("{{table_settings}}", TABLE_SETTINGS);
    assert!(!schema.contains("{{"), "{schema}");
    schema.split(";\n").map(str::trim).filter(|text| !text.is_empty()).map(str::to_owned).collect()
}

async fn execute(client: &Client, statement: &str) {
    client.query_raw(statement).execute().await.unwrap_or_else(|error| panic!("{statement}: {error}"));
}

async fn query(client: &Client, statement: &str) -> String {
    let response = client.query_raw(statement).fetch_bytes("TabSeparated").unwrap().collect().await.unwrap();
    String::from_utf8(response.to_vec()).unwrap().trim_end().to_owned()
}

/// A data folder with the database of that version. Returns it and its [`CONTENTS`].
async fn old_data_folder() -> (Arc<TempDir>, String) {
    let folder = Arc::new(tempfile::tempdir().unwrap());
    let contents = write_old_database(folder.path(), EVENTS, async |_: &Client| {}).await;
    (folder, contents)
}

/// Writes the database of that version into a data folder, with `events` events and what `more` writes. Returns the
/// [`CONTENTS`] without that.
async fn write_old_database(folder: &Path, events: u64, more: impl AsyncFnOnce(&Client)) -> String {
    let address = free_address();
    let engine = TestClickHouse::start(&address, &folder.join("clickhouse"));
    let client = TestClickHouse::client(&format!("http://{address}"));
    let server = client.clone().with_database("default");
    let started = async {
        while server.query_raw("CREATE DATABASE IF NOT EXISTS millrace").execute().await.is_err() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(TIMEOUT, started).await.unwrap();
    let maintenance = Path::new(env!("CARGO_MANIFEST_DIR")).join("queries/maintenance");
    for name in ["schema_migrations.sql", "schema_retention.sql"] {
        execute(&client, &std::fs::read_to_string(maintenance.join(name)).unwrap()).await;
    }
    for statement in old_statements() {
        execute(&client, &statement).await;
    }
    for name in
        ["0001_events", "0002_minutes", "0003_feature_minutes", "0004_page_minutes", "0005_country_minutes"]
    {
        execute(&client, &format!("INSERT INTO schema_migrations (name, checksum) VALUES ('{name}', 7)"))
            .await;
    }
    execute(
        &client,
        "INSERT INTO schema_retention (table_name, days) SELECT name, 90 FROM system.tables \
         WHERE database = currentDatabase() AND engine LIKE '%MergeTree' AND name NOT LIKE 'schema%'",
    )
    .await;
    execute(&client, &INSERT_EVENTS.replace("EVENTS", &events.to_string())).await;
    // Left by an interrupted rebuild and an interrupted repair.
    execute(&client, "CREATE TABLE minutes_rebuilt AS minutes").await;
    execute(&client, "CREATE TABLE events_repaired AS events").await;
    let contents = query(&client, CONTENTS).await;
    assert!(contents.starts_with(&format!("{events}\t{events}\t")), "{contents}");
    more(&client).await;
    engine.stop();
    contents
}

async fn assert_upgraded(server: &TestServer, contents: &str) {
    assert_eq!(server.sql(CONTENTS).await, contents);
    assert_rollup_matches_events(server).await;
    let tables = "SELECT name FROM system.tables WHERE database = 'millrace' ORDER BY name";
    assert_eq!(
        server.sql(tables).await,
        "catalogue_marks\nevent_properties\nevents\nfirst_events\npeople\npeople_marks\nrollup\nschema_migrations\nschema_retention\nsession_users\ntraits"
    );
    assert_eq!(
        server.sql("SELECT name, checksum > 0 FROM schema_migrations ORDER BY name").await,
        "0001_events\t0\n0002_minutes\t0\n0003_feature_minutes\t0\n0004_page_minutes\t0\n0005_country_minutes\t0\n\
         0006_one_rollup\t1\n0007_whole_weeks\t1\n0008_people\t1\n0009_catalogue\t1\n0010_several_servers\t1"
    );
    assert_eq!(
        server.sql("SELECT DISTINCT project, page_url FROM events WHERE event_name = 'page_view'").await,
        "default\t/shop/:id"
    );
    // Both tables are as in a new database.
    let settings = "SELECT count() FROM system.tables WHERE database = 'millrace' AND name IN ('events', 'rollup') \
                    AND position(engine_full, 'fsync_after_insert') = 0 AND position(engine_full, 'TTL') > 0";
    assert_eq!(server.sql(settings).await, "2");
    let merged = "SELECT position(engine_full, 'min_age_to_force_merge_on_partition_only = 1') > 0 FROM system.tables \
                  WHERE database = 'millrace' AND name = 'rollup'";
    assert_eq!(server.sql(merged).await, "1");
    assert_people_match_events(server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_old_data_folder_is_upgraded_despite_kills() {
    let (folder, contents) = old_data_folder().await;
    let seed: u64 = rand::random();
    println!("seed {seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let mut accepted = 0;
    for kill in 0..5 {
        let server = TestServer::start_on(Arc::clone(&folder), &[]);
        // Events are accepted meanwhile, and inserted afterwards.
        server
            .ingest()
            .await
            .send_events(events_request(vec![event("sent during the upgrade")]))
            .await
            .unwrap();
        accepted += 1;
        tokio::time::sleep(Duration::from_millis(random.random_range(0..2_500))).await;
        println!("kill {kill}: {}", server.health().await.summary);
        drop(server); // kill -9
    }
    // Health is degraded until the upgrade is done, which an earlier start may have achieved.
    let server = TestServer::start_on(folder, &[]);
    let is_done = |health: &v1::Health| health.status() == Status::Ok && health.buffer_size == 0;
    server.wait_for_health("upgraded, with the events inserted", is_done).await;
    let sent = "event_name = 'sent during the upgrade'";
    assert_eq!(server.sql(&format!("SELECT count() FROM events WHERE {sent}")).await, accepted.to_string());
    assert_eq!(server.sql(&format!("{CONTENTS} WHERE NOT {sent}")).await, contents);
    assert_rollup_matches_events(&server).await;
    assert_people_match_events(&server).await;
}

#[tokio::test]
async fn health_and_the_log_tell_how_far_an_upgrade_is() {
    let (folder, contents) = old_data_folder().await;
    let mut server = TestServer::start_on(folder, &[]);
    let health = server.health().await;
    if health.status() == Status::Degraded {
        assert!(health.summary.starts_with("the stored events are being upgraded ("), "{}", health.summary);
    }
    server.wait_for_health("upgraded", |health| health.status() == Status::Ok).await;
    server.wait_for_log_line(&format!(" weeks, {EVENTS} of {EVENTS} events"));
    assert_upgraded(&server, &contents).await;
    // The next start has nothing to do.
    let folder = server.shared_data_dir();
    server.stop();
    let server = TestServer::start_on(folder, &[]);
    assert_eq!(server.health().await.status(), Status::Ok);
    assert_upgraded(&server, &contents).await;
}

/// A journal and dead letters that a server of that version wrote; see the README in the folder.
fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/fixtures/upgrade").join(name)
}

/// The batches of the fixture, by the name of their events.
const LANDED: (&str, &str) = ("landed", "01a20111-c1cd-70e5-8f6f-fe3d3d02a472");
const SEALED: (&str, &str) = ("sealed", "01a20111-dc96-7415-9d03-bab33bb10ce8");
/// A dead letter whose insert failed, but left its events in `events`.
const PARTLY_STORED: (&str, &str) = ("partly stored", "01a20111-c334-72b9-980b-7539b9068e63");
const DEAD_LETTERED: (&str, &str) = ("dead-lettered", "01a20111-d0b9-725c-98ef-76e3fcf2641f");
/// The events of the fixture in the order of their names, each with its number and that of distinct ids.
const FIXTURE_EVENTS: &str =
    "dead-lettered\t4\t4\nlanded\t4\t4\npartly stored\t4\t4\nsealed\t4\t4\nunsealed\t2\t2";
/// The events of the fixture must not expire as it ages.
const LONG_RETENTION: [(&str, &str); 2] = [("RETENTION_DAYS", "3650"), ("ROLLUP_RETENTION_DAYS", "3650")];

/// Copies the fixture into a data folder. `dead_lettered_at` replaces the time of its dead letters.
fn copy_fixture(folder: &Path, dead_lettered_at: &str) {
    for part in ["journal", "dead-letters"] {
        fs::create_dir_all(folder.join(part)).unwrap();
        for entry in fs::read_dir(fixture(part)).unwrap() {
            let path = entry.unwrap().path();
            fs::copy(&path, folder.join(part).join(path.file_name().unwrap())).unwrap();
        }
    }
    for (_, batch) in [PARTLY_STORED, DEAD_LETTERED] {
        let path = folder.join(format!("dead-letters/{batch}.json"));
        let mut letter: serde_json::Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        letter["set_aside_at"] = dead_lettered_at.into();
        letter.as_object_mut().unwrap().remove("next_try_at");
        fs::write(&path, letter.to_string()).unwrap();
    }
}

/// Stores a batch of the fixture in the old database, with ids of its own: batches are compared by their number of events.
async fn insert_batch(client: &Client, (name, batch): (&str, &str)) {
    let insert = format!(
        "INSERT INTO events (event_name, timestamp, session_id, properties, event_id, received_at, batch) \
         SELECT '{name}', now64(3), 's', '{{}}', generateUUIDv4(number), now64(3), '{batch}' FROM numbers(4)"
    );
    execute(client, &insert).await;
}

async fn assert_fixture_counts_once(server: &TestServer, contents: &str) {
    let is_done = |health: &v1::Health| {
        health.status() == Status::Ok
            && health.buffer_size == 0
            && health.dead_letters.as_ref().is_some_and(|letters| letters.batches == 0)
    };
    server.wait_for_health("upgraded, with the events of the journal and the letters", is_done).await;
    let names = FIXTURE_EVENTS.lines().map(|line| format!("'{}'", line.split('\t').next().unwrap()));
    let is_fixture = format!("event_name IN ({})", names.collect::<Vec<_>>().join(", "));
    let counts = format!(
        "SELECT event_name, count(), uniqExact(event_id) FROM events WHERE {is_fixture} GROUP BY event_name \
         ORDER BY event_name"
    );
    assert_eq!(server.sql(&counts).await, FIXTURE_EVENTS);
    assert_eq!(server.sql(&format!("{CONTENTS} WHERE NOT {is_fixture}")).await, contents);
    assert_rollup_matches_events(server).await;
    assert_people_match_events(server).await;
    // The producer of the fixture is known: its last request is a duplicate.
    let again = v1::SendEventsRequest {
        producer_id: "fixture".into(),
        sequence: 5,
        events: vec![event("unsealed"); 2],
        ..Default::default()
    };
    let again = server.ingest().await.send_events(again).await.unwrap().into_inner();
    assert_eq!((again.accepted, again.duplicates), (0, 2));
}

/// The old server was killed after an insert whose landed record is missing, and is upgraded at once.
#[tokio::test]
async fn a_journal_and_dead_letters_of_the_earlier_version_count_once() {
    let folder = Arc::new(tempfile::tempdir().unwrap());
    copy_fixture(folder.path(), &jiff::Timestamp::now().to_string());
    let boot_id = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
    let marker = serde_json::json!({"boot_id": boot_id.trim(), "clean": false});
    fs::write(folder.path().join("boot.json"), marker.to_string()).unwrap();
    let contents = write_old_database(folder.path(), EVENTS, async |client: &Client| {
        for batch in [LANDED, SEALED, PARTLY_STORED] {
            insert_batch(client, batch).await;
        }
    })
    .await;
    let server = TestServer::start_on(Arc::clone(&folder), &LONG_RETENTION);
    assert_fixture_counts_once(&server, &contents).await;
    // Neither a restart nor a kill repeats anything.
    drop(server);
    let server = TestServer::start_on(folder, &LONG_RETENTION);
    assert_fixture_counts_once(&server, &contents).await;
}

/// The old server lost power: its last batches are not in the database, although their inserts succeeded.
#[tokio::test]
async fn batches_that_the_earlier_version_lost_in_a_power_cut_are_inserted_by_the_upgrade() {
    let folder = Arc::new(tempfile::tempdir().unwrap());
    copy_fixture(folder.path(), "2026-11-22T00:00:00Z");
    let marker = serde_json::json!({"boot_id": "another boot", "clean": false});
    fs::write(folder.path().join("boot.json"), marker.to_string()).unwrap();
    let contents = write_old_database(folder.path(), EVENTS, async |client: &Client| {
        insert_batch(client, PARTLY_STORED).await
    })
    .await;
    let server = TestServer::start_on(folder, &LONG_RETENTION);
    assert_fixture_counts_once(&server, &contents).await;
}

/// A full disk in the middle of an upgrade would stop ingestion too: the start fails before anything is changed.
#[tokio::test]
async fn an_upgrade_without_enough_space_fails_the_start_with_one_line() {
    let Some(disk) = SmallDisk::mount(600) else {
        return;
    };
    let folder = disk.folder.path();
    let contents = write_old_database(folder, 200_000, async |_: &Client| {}).await;
    // Enough for the start, but not for a copy.
    disk.fill_except(8 << 20);
    let server = Command::new(env!("CARGO_BIN_EXE_millrace"))
        .args(["serve", "--listen", "127.0.0.1:0", "--log", "off", "--data-dir"])
        .arg(folder)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let stderr = String::from_utf8_lossy(&server.stderr);
    assert_eq!(server.status.code(), Some(1), "{stderr}");
    assert!(stderr.contains("bytes of free disk space"), "{stderr}");
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
    // With space, the same folder is upgraded.
    disk.free_space();
    let server = TestServer::start_on(Arc::clone(&disk.folder), &[]);
    server.wait_for_health("upgraded", |health| health.status() == Status::Ok).await;
    assert_eq!(server.sql(CONTENTS).await, contents);
}

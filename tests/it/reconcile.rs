//! Reconciliation: repairs every state in which a power cut can leave ClickHouse.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use millrace::internals::clickhouse::batches::{self, BatchPresence};
use millrace::internals::clickhouse::{ClickHouse, ClickHouseError, Endpoint};
use millrace::internals::event::{ValidationRules, validate};
use millrace::internals::project::Project;
use millrace::internals::properties::Properties;
use millrace::internals::writer::columns::EventColumns;
use millrace::internals::writer::durability::Durability;
use millrace::internals::writer::reconcile::{
    BatchBody, ExpectedBatch, ReconcileError, ReconcileReport, reconcile,
};
use millrace_client::proto::v1;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use rand::{Rng as _, SeedableRng as _};
use tokio::sync::watch;
use uuid::Uuid;
use v1::event::PropertiesKind;

use crate::common::{TIMEOUT, TestServer, event, now};
use crate::crash::kill_engine;
use crate::rollup_assertions::assert_rollup_matches_events;

const EVENTS: u64 = 600;

/// ClickHouse with batches inserted as by the writer, and the journal with the same batches.
struct ReconcileFixture {
    server: TestServer,
    clickhouse: ClickHouse,
    endpoint: watch::Sender<Option<Endpoint>>,
    journal: HashMap<Uuid, EventColumns>,
    batches: Vec<Uuid>,
}

impl ReconcileFixture {
    /// Even batches have events of a few minutes, odd ones of three months.
    async fn with_batches(count: usize) -> Self {
        let server = TestServer::start();
        let (endpoint, receiver) = watch::channel(engine_endpoint(&server));
        let clickhouse = ClickHouse::new(receiver, "millrace");
        let mut random = StdRng::seed_from_u64(7);
        let mut fixture = Self { server, clickhouse, endpoint, journal: HashMap::new(), batches: Vec::new() };
        for number in 0..count {
            let batch = Uuid::now_v7();
            fixture.journal.insert(batch, random_columns(&mut random, number % 2 == 1));
            fixture.batches.push(batch);
            fixture.insert(batch, &batch.to_string()).await;
        }
        // The writer inserts the rows of the rollup beside the events.
        fixture.reconcile().await;
        fixture
    }

    async fn insert(&self, batch: Uuid, token: &str) {
        let body = self.journal[&batch].clone().into_native(batch);
        self.clickhouse.insert_native("events", body, token).await.unwrap();
    }

    async fn sql(&self, statement: &str) -> String {
        self.server.sql(statement).await
    }

    async fn reconcile(&self) -> ReconcileReport {
        let started_at = Instant::now();
        let report = self.try_reconcile().await.unwrap();
        println!(
            "{} batches, {} quarter hours: {:?}",
            self.batches.len(),
            report.quarter_hours,
            started_at.elapsed()
        );
        report
    }

    async fn try_reconcile(&self) -> Result<ReconcileReport, ReconcileError> {
        let expected: Vec<ExpectedBatch> =
            self.batches.iter().map(|&batch_id| ExpectedBatch { batch_id, events: EVENTS }).collect();
        let durability = Durability::for_embedded(self.server.data_dir()).unwrap();
        let read = async |batch| Ok(BatchBody::from_columns(self.journal[&batch].clone(), batch));
        reconcile(&self.clickhouse, &durability, &expected, read).await
    }

    /// Waits for the engine that the server starts after a kill, and connects to it.
    async fn reconnect_to_engine(&self) {
        let is_reachable = async || {
            self.clickhouse
                .client()?
                .query_raw("SELECT 1")
                .fetch_one::<u8>()
                .await
                .map_err(ClickHouseError::from)
        };
        let deadline = Instant::now() + TIMEOUT;
        loop {
            self.endpoint.send_replace(engine_endpoint(&self.server));
            match is_reachable().await {
                Ok(_) => return,
                Err(error) => assert!(Instant::now() < deadline, "{error}"),
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    async fn assert_exact(&self) {
        let events = EVENTS * self.batches.len() as u64;
        let figures = self.sql("SELECT count(), uniqExact(event_id), uniqExact(batch) FROM events").await;
        assert_eq!(figures, format!("{events}\t{events}\t{}", self.batches.len()));
        assert_rollup_matches_events(&self.server).await;
    }
}

/// The endpoint of the server's engine, once it has started.
fn engine_endpoint(server: &TestServer) -> Option<Endpoint> {
    let file = std::fs::read(server.data_dir().join("engine.json")).ok()?;
    serde_json::from_slice(&file).ok()
}

fn random_columns(random: &mut StdRng, late: bool) -> EventColumns {
    let rules =
        ValidationRules { retention: Duration::from_secs(90 * 86_400), max_clock_skew: Duration::ZERO };
    let now = now();
    let (properties, project) = (Properties::built_in(), Project::default());
    let mut columns = EventColumns::new(&properties);
    for _ in 0..EVENTS {
        let name = *["page_view", "feature_used", "signup_started", "error_occurred"].choose(random).unwrap();
        let age_seconds = if late && random.random_bool(0.2) {
            random.random_range(0..88 * 86_400)
        } else {
            random.random_range(0..300)
        };
        let (key, duration) = (random.random_range(0..5), random.random_range(0..1_000));
        let page = ["a", "b", "c", "d", "e"][key];
        let event = v1::Event {
            timestamp: Some(prost_types::Timestamp { seconds: now.seconds - age_seconds, nanos: 0 }),
            session_id: format!("s{}", random.random_range(0..400)),
            user_id: random.random_bool(0.5).then(|| format!("u{}", random.random_range(0..300))),
            properties_kind: Some(PropertiesKind::PropertiesJson(format!(
                r#"{{"page_url":"/{page}","feature":"f{key}","duration_ms":{duration}}}"#
            ))),
            ..event(name)
        };
        let now_ms = now.seconds * 1_000;
        columns.push(&validate(&event, &rules, &properties, now_ms).unwrap(), &project, now_ms);
    }
    columns
}

#[tokio::test]
async fn batches_lost_or_duplicated_by_a_power_cut_are_repaired() {
    let mut fixture = ReconcileFixture::with_batches(8).await;
    fixture.assert_exact().await;
    let batches = fixture.batches.clone();
    // Missing in the events, but in the rollups and with a token.
    fixture.sql(&format!("DELETE FROM events WHERE batch = '{}'", batches[1])).await;
    // One batch without some of its events, another one without a whole partition.
    fixture
        .sql(&format!("DELETE FROM events WHERE batch = '{}' AND sipHash64(event_id) % 3 = 0", batches[2]))
        .await;
    let of_batch_3 = format!("FROM events WHERE batch = '{}'", batches[3]);
    let week = fixture.sql(&format!("SELECT min(toMonday(date)) {of_batch_3}")).await;
    fixture.sql(&format!("DELETE {of_batch_3} AND toMonday(date) = '{week}'")).await;
    // Inserted twice, because the part survived and its token did not.
    fixture.insert(batches[4], "another token").await;
    // Sealed, and never inserted.
    let sealed = Uuid::now_v7();
    fixture.journal.insert(sealed, random_columns(&mut StdRng::seed_from_u64(8), true));
    fixture.batches.push(sealed);
    // A rollup with missing and with duplicate rows.
    fixture.sql("INSERT INTO rollup SELECT * FROM rollup WHERE step = 60").await;
    fixture.sql("DELETE FROM rollup WHERE step = 1 AND toUnixTimestamp(start) % 120 = 0").await;
    fixture.sql("DELETE FROM rollup WHERE dimension = 'page_url' AND value = '/a'").await;
    fixture.sql("DELETE FROM rollup WHERE step IN (15, 1440)").await;
    for (batch, stored) in [
        (0, BatchPresence::Complete),
        (1, BatchPresence::Absent),
        (2, BatchPresence::Partial),
        (3, BatchPresence::Partial),
        (4, BatchPresence::Partial),
    ] {
        let found = batches::count_stored_events(&fixture.clickhouse, &[batches[batch]]).await.unwrap();
        let found = found.get(&batches[batch]).copied().unwrap_or(0);
        assert_eq!(BatchPresence::from_counts(EVENTS, found), stored, "batch {batch}");
    }

    let report = fixture.reconcile().await;
    assert_eq!(report.complete, 4, "{report:?}");
    assert_eq!(report.repaired, [batches[1], batches[2], batches[3], batches[4], sealed]);
    assert!(report.rejected.is_empty() && report.incomplete.is_empty(), "{report:?}");
    fixture.assert_exact().await;

    // A second run has nothing to repair.
    let report = fixture.reconcile().await;
    assert_eq!((report.complete, report.repaired.len()), (9, 0));
    fixture.assert_exact().await;

    // Repaired batches can be repaired again.
    fixture.sql(&format!("DELETE FROM events WHERE batch IN ('{}', '{sealed}')", batches[1])).await;
    let report = fixture.reconcile().await;
    assert_eq!(report.repaired, [batches[1], sealed]);
    fixture.assert_exact().await;
}

#[tokio::test]
async fn an_interrupted_repair_is_completed_by_the_next_one() {
    let fixture = ReconcileFixture::with_batches(4).await;
    fixture.sql("TRUNCATE TABLE events").await;
    fixture.sql("TRUNCATE TABLE rollup").await;
    let expected: Vec<ExpectedBatch> =
        fixture.batches.iter().map(|&batch_id| ExpectedBatch { batch_id, events: EVENTS }).collect();
    let last = fixture.batches[3];
    // Reading the last batch from the journal fails.
    let durability = Durability::for_server();
    let interrupted = reconcile(&fixture.clickhouse, &durability, &expected, async |batch| {
        if batch == last {
            Err(std::io::Error::other("the journal is closed"))
        } else {
            Ok(BatchBody::from_columns(fixture.journal[&batch].clone(), batch))
        }
    });
    assert!(interrupted.await.is_err());
    let report = fixture.reconcile().await;
    // Nothing had been attached before the failure.
    assert_eq!((report.complete, report.repaired.as_slice()), (0, fixture.batches.as_slice()));
    fixture.assert_exact().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn repairs_are_exact_despite_engine_crashes() {
    let fixture = ReconcileFixture::with_batches(4).await;
    let seed: u64 = rand::random();
    println!("seed {seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let mut interrupted = 0;
    for _ in 0..5 {
        let batch = fixture.batches[random.random_range(0..fixture.batches.len())];
        fixture
            .sql(&format!("DELETE FROM events WHERE batch = '{batch}' AND sipHash64(event_id) % 2 = 0"))
            .await;
        fixture.sql("DELETE FROM rollup WHERE step = 1 AND toUnixTimestamp(start) % 120 = 0").await;
        let wait = Duration::from_millis(random.random_range(0..1_500));
        let (repaired, ()) = tokio::join!(fixture.try_reconcile(), async {
            tokio::time::sleep(wait).await;
            kill_engine(&fixture.server);
        });
        fixture.reconnect_to_engine().await;
        if let Err(error) = repaired {
            println!("after {wait:?}: {error}");
            interrupted += 1;
            fixture.reconcile().await;
        }
        fixture.assert_exact().await;
    }
    println!("{interrupted} repairs were interrupted");
}

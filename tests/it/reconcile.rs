//! Repairs what a power cut can leave in ClickHouse, state by state.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use millrace::clickhouse::batches::{self, Stored};
use millrace::clickhouse::{ClickHouse, ClickHouseError, Endpoint};
use millrace::event::{Rules, validate};
use millrace::proto::v1;
use millrace::writer::checkpoint::Durability;
use millrace::writer::columns::{COLUMN_NAMES, EventColumns};
use millrace::writer::reconcile::{Body, Expected, ReconcileError, Report, reconcile};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use rand::{Rng as _, SeedableRng as _};
use tokio::sync::watch;
use uuid::Uuid;
use v1::event::PropertiesKind;

use crate::common::{PATIENCE, Server, event, now};
use crate::crash::kill_engine;
use crate::exact::assert_rollups_match_events;

const EVENTS: u64 = 600;

/// ClickHouse with batches that were inserted as the writer does, and the journal that has them.
struct Stage {
    server: Server,
    clickhouse: ClickHouse,
    endpoint: watch::Sender<Option<Endpoint>>,
    journal: HashMap<Uuid, EventColumns>,
    batches: Vec<Uuid>,
}

impl Stage {
    /// Even batches have events of some minutes, odd ones of three months.
    async fn with_batches(count: usize) -> Self {
        let server = Server::start();
        let (endpoint, receiver) = watch::channel(engine_of(&server));
        let clickhouse = ClickHouse::new(receiver, "millrace");
        let mut random = StdRng::seed_from_u64(7);
        let mut stage = Self { server, clickhouse, endpoint, journal: HashMap::new(), batches: Vec::new() };
        for number in 0..count {
            let batch = Uuid::now_v7();
            stage.journal.insert(batch, columns(&mut random, number % 2 == 1));
            stage.batches.push(batch);
            stage.insert(batch, &batch.to_string()).await;
        }
        stage
    }

    async fn insert(&self, batch: Uuid, token: &str) {
        let body = self.journal[&batch].clone().into_native(batch);
        self.clickhouse.insert_native("events", COLUMN_NAMES, body, token).await.unwrap();
    }

    async fn sql(&self, statement: &str) -> String {
        self.server.sql(statement).await
    }

    async fn reconcile(&self) -> Report {
        let begun = Instant::now();
        let report = self.try_reconcile().await.unwrap();
        println!("{} batches, {} quarters: {:?}", self.batches.len(), report.quarters, begun.elapsed());
        report
    }

    async fn try_reconcile(&self) -> Result<Report, ReconcileError> {
        let expected: Vec<Expected> =
            self.batches.iter().map(|&batch_id| Expected { batch_id, events: EVENTS }).collect();
        let durability = Durability::of_folder(self.server.data_dir()).unwrap();
        let read = async |batch| Ok(Body::of_columns(self.journal[&batch].clone(), batch));
        reconcile(&self.clickhouse, &durability, &expected, read).await
    }

    /// Goes on with the engine that the server has started instead of a dead one.
    async fn follow_engine(&self) {
        let answers = async || {
            self.clickhouse
                .client()?
                .query_raw("SELECT 1")
                .fetch_one::<u8>()
                .await
                .map_err(ClickHouseError::from)
        };
        let deadline = Instant::now() + PATIENCE;
        loop {
            self.endpoint.send_replace(engine_of(&self.server));
            match answers().await {
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
        assert_rollups_match_events(&self.server).await;
    }
}

/// Where the server's engine is, once it has started.
fn engine_of(server: &Server) -> Option<Endpoint> {
    let file = std::fs::read(server.data_dir().join("engine.json")).ok()?;
    serde_json::from_slice(&file).ok()
}

fn columns(random: &mut StdRng, late: bool) -> EventColumns {
    let rules = Rules { retention: Duration::from_secs(90 * 86_400), max_clock_skew: Duration::ZERO };
    let now = now();
    let mut columns = EventColumns::default();
    for _ in 0..EVENTS {
        let name = *["page_view", "feature_used", "signup_started", "error_occurred"].choose(random).unwrap();
        let back = if late && random.random_bool(0.2) {
            random.random_range(0..88 * 86_400)
        } else {
            random.random_range(0..300)
        };
        let (key, duration) = (random.random_range(0..5), random.random_range(0..1_000));
        let event = v1::Event {
            timestamp: Some(prost_types::Timestamp { seconds: now.seconds - back, nanos: 0 }),
            session_id: format!("s{}", random.random_range(0..400)),
            user_id: random.random_bool(0.5).then(|| format!("u{}", random.random_range(0..300))),
            properties_kind: Some(PropertiesKind::PropertiesJson(format!(
                r#"{{"page_url":"/{key}","feature":"f{key}","duration_ms":{duration}}}"#
            ))),
            ..event(name)
        };
        let now_ms = now.seconds * 1_000;
        columns.push(&validate(&event, &rules, now_ms).unwrap(), now_ms, Uuid::now_v7);
    }
    columns
}

#[tokio::test]
async fn what_a_power_cut_took_or_doubled_is_repaired_exactly() {
    let mut stage = Stage::with_batches(8).await;
    stage.assert_exact().await;
    let batches = stage.batches.clone();
    // Gone from the events, while the rollups and the token have it.
    stage.sql(&format!("DELETE FROM events WHERE batch = '{}'", batches[1])).await;
    // Some of its events are gone, and of another one a whole partition.
    stage
        .sql(&format!("DELETE FROM events WHERE batch = '{}' AND sipHash64(event_id) % 3 = 0", batches[2]))
        .await;
    let of_third = format!("FROM events WHERE batch = '{}'", batches[3]);
    let week = stage.sql(&format!("SELECT min(toMonday(date)) {of_third}")).await;
    stage.sql(&format!("DELETE {of_third} AND toMonday(date) = '{week}'")).await;
    // The part survived and its token did not, so that it was inserted twice.
    stage.insert(batches[4], "another token").await;
    // Sealed, and never inserted.
    let sealed = Uuid::now_v7();
    stage.journal.insert(sealed, columns(&mut StdRng::seed_from_u64(8), true));
    stage.batches.push(sealed);
    // Parts of the rollups are gone.
    stage.sql("DELETE FROM minutes WHERE toUnixTimestamp(minute) % 120 = 0").await;
    stage.sql("DELETE FROM page_minutes WHERE page_url = '/1'").await;
    stage.sql("DELETE FROM country_steps WHERE step = 15").await;
    stage.sql("TRUNCATE TABLE feature_steps").await;
    for (batch, stored) in [
        (0, Stored::Complete),
        (1, Stored::None),
        (2, Stored::Partial),
        (3, Stored::Partial),
        (4, Stored::Partial),
    ] {
        let found = batches::stored_events(&stage.clickhouse, &[batches[batch]]).await.unwrap();
        let found = found.get(&batches[batch]).copied().unwrap_or(0);
        assert_eq!(Stored::of(EVENTS, found), stored, "batch {batch}");
    }

    let report = stage.reconcile().await;
    assert_eq!(report.complete, 4, "{report:?}");
    assert_eq!(report.repaired, [batches[1], batches[2], batches[3], batches[4], sealed]);
    assert!(report.refused.is_empty() && report.incomplete.is_empty(), "{report:?}");
    stage.assert_exact().await;

    // Once more there is nothing to do.
    let report = stage.reconcile().await;
    assert_eq!((report.complete, report.repaired.len()), (9, 0));
    stage.assert_exact().await;

    // What was repaired is lost again.
    stage.sql(&format!("DELETE FROM events WHERE batch IN ('{}', '{sealed}')", batches[1])).await;
    let report = stage.reconcile().await;
    assert_eq!(report.repaired, [batches[1], sealed]);
    stage.assert_exact().await;
}

#[tokio::test]
async fn a_repair_that_was_cut_off_is_finished_by_the_next_one() {
    let stage = Stage::with_batches(4).await;
    stage.sql("TRUNCATE TABLE events").await;
    stage.sql("TRUNCATE TABLE session_steps").await;
    let expected: Vec<Expected> =
        stage.batches.iter().map(|&batch_id| Expected { batch_id, events: EVENTS }).collect();
    let last = stage.batches[3];
    // The journal's disk fails at the last one.
    let durability = Durability::of_server();
    let cut_off = reconcile(&stage.clickhouse, &durability, &expected, async |batch| {
        if batch == last {
            Err(std::io::Error::other("the journal is closed"))
        } else {
            Ok(Body::of_columns(stage.journal[&batch].clone(), batch))
        }
    });
    assert!(cut_off.await.is_err());
    let report = stage.reconcile().await;
    // Nothing had been attached yet.
    assert_eq!((report.complete, report.repaired.as_slice()), (0, stage.batches.as_slice()));
    stage.assert_exact().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repair_is_exact_however_often_the_engine_dies_in_its_middle() {
    let stage = Stage::with_batches(4).await;
    let seed: u64 = rand::random();
    println!("seed {seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let mut cut_off = 0;
    for _ in 0..5 {
        let batch = stage.batches[random.random_range(0..stage.batches.len())];
        stage
            .sql(&format!("DELETE FROM events WHERE batch = '{batch}' AND sipHash64(event_id) % 2 = 0"))
            .await;
        stage.sql("DELETE FROM minutes WHERE toUnixTimestamp(minute) % 120 = 0").await;
        let wait = Duration::from_millis(random.random_range(0..1_500));
        let (repaired, ()) = tokio::join!(stage.try_reconcile(), async {
            tokio::time::sleep(wait).await;
            kill_engine(&stage.server);
        });
        stage.follow_engine().await;
        if let Err(error) = repaired {
            println!("after {wait:?}: {error}");
            cut_off += 1;
            stage.reconcile().await;
        }
        stage.assert_exact().await;
    }
    println!("{cut_off} repairs were cut off");
}

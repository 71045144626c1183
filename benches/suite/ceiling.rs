//! The ceiling: what the engine itself does with batches that are already encoded, as the server sends them.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use bytes::Bytes;

use crate::common::TestServer;
use crate::figures::Figures;
use crate::process::CpuSeconds;
use crate::traffic::{engine_client, generate, start_server};

const BATCH_EVENTS: u64 = 100_000;
/// Different batches, which are inserted in turn.
const BATCHES: u64 = 5;
const CONNECTIONS: usize = 2;
/// Inserts of which the cost of a small one is the average.
const SMALL_INSERTS: u64 = 50;

/// Where a batch goes.
#[derive(Clone, Copy)]
enum Target {
    /// A table like `events` that nothing else is derived from.
    EventsAlone,
    /// The tables of the product, all rollups included.
    EventsAndRollups,
}

/// A batch as the server inserted it: the rows of each table that it writes to, in the format Native.
struct EncodedBatch {
    events: u64,
    bodies: Vec<(String, Bytes)>,
}

/// The tables that the server inserts into, `events` first. Materialized views fill the others.
async fn written_tables(server: &TestServer) -> Vec<String> {
    let rollup = server
        .sql("SELECT count() FROM system.tables WHERE database = 'millrace' AND name = 'rollup' AND engine LIKE '%MergeTree'")
        .await;
    let mut tables = vec!["events".to_owned()];
    if rollup == "1" {
        tables.push("rollup".to_owned());
    }
    tables
}

async fn truncate_all(server: &TestServer) {
    let tables = server
        .sql("SELECT name FROM system.tables WHERE database = 'millrace' AND engine LIKE '%MergeTree' AND total_rows > 0 AND name NOT LIKE '%migrations%'")
        .await;
    for table in tables.lines() {
        server.sql(&format!("TRUNCATE TABLE `{table}`")).await;
    }
}

/// Lets the server store about this many events of the last `minutes`, and reads back what it has inserted as one batch.
async fn encode_batch(server: &TestServer, events: u64, minutes: u64, seed: u64) -> EncodedBatch {
    truncate_all(server).await;
    let rate = (events as f64 / (minutes * 60) as f64).to_string();
    let arguments = ["--backfill", &format!("{minutes}m"), "--rate", &rate, "--seed", &seed.to_string()];
    generate(server, &arguments).await;
    server.wait_until_landed().await;
    let mut bodies = Vec::new();
    for table in written_tables(server).await {
        // In the order in which they arrived. Rollup rows of several inserts are merged, as those of one batch are.
        let select = if table == "events" {
            "SELECT * FROM events ORDER BY received_at, timestamp".to_owned()
        } else {
            format!("SELECT * FROM {table} FINAL")
        };
        let select = engine_client(server).with_setting("max_block_size", "10000000").query_raw(&select);
        bodies.push((table, select.fetch_bytes("Native").unwrap().collect().await.unwrap()));
    }
    let events = server.sql_numbers("SELECT count() FROM events").await[0];
    assert!(events > 0, "no event of the batch is stored");
    EncodedBatch { events, bodies }
}

/// Inserts a batch under a token. With a materialized view or with a table that the server fills, this is the one place that
/// knows what belongs to a batch.
async fn insert(client: &clickhouse::Client, batch: &EncodedBatch, target: Target, token: usize) {
    for (table, body) in &batch.bodies {
        let statement = match target {
            Target::EventsAndRollups => format!("INSERT INTO {table} FORMAT Native"),
            Target::EventsAlone if table == "events" => "INSERT INTO events_alone FORMAT Native".to_owned(),
            Target::EventsAlone => continue,
        };
        let client = client.clone().with_setting("insert_deduplication_token", format!("bench-{token}"));
        let mut insert = client.insert_formatted_with(statement);
        for chunk in body.chunks(1 << 20) {
            insert.send(body.slice_ref(chunk)).await.unwrap();
        }
        insert.end().await.unwrap();
    }
}

static NEXT_TOKEN: AtomicUsize = AtomicUsize::new(0);

/// Inserts about `events` events over two connections. Returns events per second and CPU seconds per million events.
async fn insert_all(
    server: &TestServer,
    batches: &Arc<Vec<EncodedBatch>>,
    target: Target,
    events: u64,
) -> (f64, f64) {
    let (cpu, started_at) = (CpuSeconds::now(server), Instant::now());
    let client = engine_client(server);
    let inserts = events.div_ceil(BATCH_EVENTS) as usize;
    let next = Arc::new(AtomicUsize::new(0));
    let mut connections = tokio::task::JoinSet::new();
    for _ in 0..CONNECTIONS {
        let (client, batches, next) = (client.clone(), Arc::clone(batches), Arc::clone(&next));
        connections.spawn(async move {
            let mut inserted = 0;
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= inserts {
                    return inserted;
                }
                let batch = &batches[number % batches.len()];
                insert(&client, batch, target, NEXT_TOKEN.fetch_add(1, Ordering::Relaxed)).await;
                inserted += batch.events;
            }
        });
    }
    let inserted: u64 = connections.join_all().await.into_iter().sum();
    let rate = inserted as f64 / started_at.elapsed().as_secs_f64();
    let cpu = CpuSeconds::now(server).since(cpu);
    (rate, cpu.engine / (inserted as f64 / 1e6))
}

/// Batches of 100,000 rows over two connections, with and without rollups. Each run has empty tables.
#[derive(Default)]
pub(crate) struct Ceiling {
    batches: Arc<Vec<EncodedBatch>>,
    alone: [Vec<f64>; 2],
    with_rollups: [Vec<f64>; 2],
}

impl Ceiling {
    pub(crate) async fn prepare() -> Self {
        let server = start_server();
        let mut batches = Vec::new();
        for seed in 1..=BATCHES {
            // Six minutes, like a batch of a million events within an hour.
            batches.push(encode_batch(&server, BATCH_EVENTS, 6, seed).await);
        }
        Self { batches: Arc::new(batches), ..Self::default() }
    }

    pub(crate) async fn run(&mut self, events: u64) {
        for (target, runs) in
            [(Target::EventsAlone, &mut self.alone), (Target::EventsAndRollups, &mut self.with_rollups)]
        {
            let server = start_server();
            server.sql("CREATE TABLE events_alone AS events").await;
            let (rate, cpu) = insert_all(&server, &self.batches, target, events).await;
            runs[0].push(rate);
            runs[1].push(cpu);
        }
    }

    pub(crate) fn report(self, figures: &mut Figures) {
        let ([alone_rate, alone_cpu], [rate, cpu]) = (self.alone, self.with_rollups);
        figures.add("ceiling without rollups", "events/s", alone_rate);
        figures.add("ceiling without rollups: engine", "CPU-s/M", alone_cpu);
        figures.add("ceiling", "events/s", rate);
        figures.add("ceiling: engine", "CPU-s/M", cpu);
        figures.add_ratio("ceiling over ceiling without rollups", "ceiling", "ceiling without rollups");
    }
}

/// The engine's CPU time of one small insert with all rollups. Merges are stopped meanwhile.
pub(crate) async fn cost_of_small_inserts(figures: &mut Figures) {
    let server = start_server();
    for rows in [10, 1_000, 10_000] {
        let batch = encode_batch(&server, rows, 1, 1).await;
        truncate_all(&server).await;
        server.sql("SYSTEM STOP MERGES").await;
        let client = engine_client(&server);
        let (cpu, started_at) = (CpuSeconds::now(&server), Instant::now());
        for _ in 0..SMALL_INSERTS {
            let token = NEXT_TOKEN.fetch_add(1, Ordering::Relaxed);
            insert(&client, &batch, Target::EventsAndRollups, token).await;
        }
        let millis = |seconds: f64| vec![seconds * 1_000.0 / SMALL_INSERTS as f64];
        let elapsed = started_at.elapsed().as_secs_f64();
        let cpu = CpuSeconds::now(&server).since(cpu);
        figures.add(format!("insert of {rows} rows: engine"), "CPU-ms", millis(cpu.engine));
        figures.add(format!("insert of {rows} rows: time"), "ms", millis(elapsed));
        server.sql("SYSTEM START MERGES").await;
    }
}

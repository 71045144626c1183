//! Measures insert latency during heavy ad-hoc and panel queries: `make bench-contention`.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use millrace_client::proto::v1;

use crate::common::{TestServer, event, events_request};
use crate::engine_isolation::default_user_client;

/// Inserts measured per part.
const INSERTS: u64 = 100;
/// Events per insert.
const EVENTS: usize = 500;
const HEAVY_QUERIES: usize = 8;

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement: `make bench-contention`"]
async fn insert_latency_under_heavy_queries() {
    let server = TestServer::start_with(&[
        ("FLUSH_SIZE", "500"),
        ("FLUSH_MIN_INTERVAL_MS", "0"),
        ("PANEL_CACHE_MS", "0"),
    ]);
    measure(&server, "warm-up").await;
    let alone = measure(&server, "alone").await;
    let stop = Arc::new(AtomicBool::new(false));
    let (queries, panels) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let mut load = Vec::new();
    for _ in 0..HEAVY_QUERIES {
        let (client, stop, queries) =
            (default_user_client(&server).1, Arc::clone(&stop), Arc::clone(&queries));
        load.push(tokio::spawn(async move {
            while !stop.load(Relaxed) {
                let query = "SELECT sum(cityHash64(number, toString(number))) FROM numbers(50000000)";
                client.query(query).fetch_one::<u64>().await.unwrap();
                queries.fetch_add(1, Relaxed);
            }
        }));
    }
    let with_queries = measure(&server, "during 8 heavy queries").await;
    println!("  {} queries completed", queries.swap(0, Relaxed));
    for _ in 0..4 {
        let (mut dashboard, stop, panels) =
            (server.dashboard().await, Arc::clone(&stop), Arc::clone(&panels));
        load.push(tokio::spawn(async move {
            while !stop.load(Relaxed) {
                dashboard.get_active_users(v1::GetActiveUsersRequest::default()).await.unwrap();
                panels.fetch_add(1, Relaxed);
            }
        }));
    }
    let with_queries_and_panels =
        measure(&server, "during 8 heavy queries and 4 panels without a pause").await;
    println!("  {} queries and {} panels completed", queries.load(Relaxed), panels.load(Relaxed));
    stop.store(true, Relaxed);
    for (name, latency) in [("queries", with_queries), ("queries and panels", with_queries_and_panels)] {
        println!("during {name}: p50 x {:.2}, p99 x {:.2}", latency.0 / alone.0, latency.1 / alone.1);
    }
    for task in load {
        task.abort();
    }
}

/// Time from the acknowledgement of a batch to its landing in milliseconds: p50 and p99.
async fn measure(server: &TestServer, name: &str) -> (f64, f64) {
    let mut ingest = server.ingest().await;
    let mut times = Vec::new();
    for _ in 0..INSERTS {
        ingest.send_events(events_request(vec![event("x"); EVENTS])).await.unwrap();
        let started_at = Instant::now();
        while server.health().await.buffer_size > 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        times.push(started_at.elapsed().as_secs_f64() * 1_000.0);
    }
    times.sort_by(f64::total_cmp);
    let (p50, p99) = (times[times.len() / 2], times[times.len() * 99 / 100]);
    println!("insert of {EVENTS} events, {name}: p50 {p50:.0} ms, p99 {p99:.0} ms");
    (p50, p99)
}

//! The latency of panels at 1, 10 and 100 million events over 24 hours: p50 and p99 of QueryPanel with caching disabled,
//! next to the median of an equivalent query on the raw events.
//!
//! `cargo bench --bench panels`, or with fewer events `BENCH_EVENTS=1000000,10000000 cargo bench --bench panels`. For each
//! size, `millrace generate` fills a new temporary folder; 100 million events take 4 GB.
#![expect(clippy::unwrap_used, reason = "a benchmark panics if it cannot continue")]

#[path = "../tests/it/common.rs"]
#[expect(dead_code, reason = "shared with the tests")]
mod common;

use std::time::{Duration, Instant};

use common::TestServer;
use millrace_client::proto::v1;
use v1::TimeRange;

const SAMPLES: usize = 60;
const RAW_SAMPLES: usize = 3;
const RANGES: [(TimeRange, &str, u64); 2] =
    [(TimeRange::TimeRange1h, "1h", 3_600), (TimeRange::TimeRange24h, "24h", 86_400)];

/// Each panel and its query on the raw events, of the last SECONDS seconds in buckets of STEP seconds.
const PANELS: [(&str, &str); 8] = [
    (
        "active_users",
        "SELECT toStartOfInterval(timestamp, toIntervalSecond(STEP)) AS bucket, uniqCombined64(session_id) FROM events \
         WHERE timestamp >= now() - SECONDS GROUP BY bucket ORDER BY bucket",
    ),
    (
        "error_rate",
        "SELECT toStartOfInterval(timestamp, toIntervalSecond(STEP)) AS bucket, countIf(event_name = 'error_occurred'), \
         count() FROM events WHERE timestamp >= now() - SECONDS GROUP BY bucket ORDER BY bucket",
    ),
    (
        "live_visitors",
        "SELECT uniqCombined64(ifNull(user_id, session_id)), count(), avg(JSONExtractFloat(properties, 'duration_ms')) \
         FROM events WHERE event_name = 'page_view' AND timestamp >= now() - 300",
    ),
    (
        "signup_funnel",
        "SELECT toStartOfHour(timestamp) AS bucket, countIf(event_name = 'signup_started'), countIf(event_name = \
         'signup_completed') FROM events WHERE event_name IN ('signup_started', 'signup_completed') AND timestamp >= \
         now() - SECONDS GROUP BY bucket ORDER BY bucket",
    ),
    (
        "top_features",
        "SELECT JSONExtractString(properties, 'feature') AS feature, uniqCombined64(ifNull(user_id, session_id)) AS \
         users, count() FROM events WHERE event_name = 'feature_used' AND timestamp >= now() - SECONDS GROUP BY \
         feature ORDER BY users DESC LIMIT 10",
    ),
    (
        "top_pages",
        "SELECT JSONExtractString(properties, 'page_url') AS page, count() AS views, uniqCombined64(ifNull(user_id, \
         session_id)), avg(JSONExtractFloat(properties, 'duration_ms')) FROM events WHERE event_name = 'page_view' AND \
         timestamp >= now() - SECONDS GROUP BY page ORDER BY views DESC LIMIT 20",
    ),
    (
        "traffic_anomaly",
        "SELECT countIf(timestamp >= toStartOfHour(now())), countIf(timestamp < now() - 604800) FROM events WHERE \
         event_name = 'page_view' AND (timestamp >= toStartOfHour(now()) OR timestamp BETWEEN toStartOfHour(now()) - \
         604800 AND now() - 604800)",
    ),
    (
        "traffic_by_country",
        "SELECT toStartOfInterval(timestamp, toIntervalSecond(STEP)) AS bucket, country_code, count(), \
         uniqCombined64(ifNull(user_id, session_id)) FROM events WHERE event_name = 'page_view' AND timestamp >= now() - \
         SECONDS GROUP BY bucket, country_code ORDER BY bucket, country_code",
    ),
];

fn main() {
    if !std::env::args().any(|argument| argument == "--bench") {
        println!("skipped: run it with `cargo bench`");
        return;
    }
    let sizes = std::env::var("BENCH_EVENTS").unwrap_or_else(|_| "1000000,10000000,100000000".into());
    let sizes: Vec<u64> =
        sizes.split(',').map(|size| size.parse().expect("BENCH_EVENTS takes a list of numbers")).collect();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let mut first: Vec<Duration> = Vec::new();
    for size in sizes {
        let measured = runtime.block_on(measure(size));
        if first.is_empty() {
            first = measured;
        } else {
            let ratios =
                measured.iter().zip(&first).map(|(now, before)| now.as_secs_f64() / before.as_secs_f64());
            let ratios: Vec<String> = ratios.map(|ratio| format!("{ratio:.1}")).collect();
            println!("p50 relative to the first size, in the order above: {}\n", ratios.join(" "));
        }
    }
}

/// Fills a server with events, queries it, and returns the p50 of each panel and range.
async fn measure(events: u64) -> Vec<Duration> {
    let server = TestServer::start_with(&[("PANEL_CACHE_MS", "0"), ("MILLRACE_LOG", "info")]);
    let rate = events as f64 / 86_400.0;
    let filled = tokio::process::Command::new(env!("CARGO_BIN_EXE_millrace"))
        .args(["generate", "--target", &server.url(), "--rate", &rate.to_string()])
        .args(["--backfill", "24h", "--scenario", "steady"])
        .status();
    assert!(filled.await.unwrap().success());
    server.wait_until_landed().await;
    wait_for_merges(&server).await;
    let stored = server.sql("SELECT count() FROM events").await;
    println!("\n{stored} events over 24 hours");
    println!("{:<20}{:>6}{:>10}{:>10}{:>12}", "panel", "range", "p50 ms", "p99 ms", "events ms");
    let mut medians = Vec::new();
    for (panel, raw) in PANELS {
        for (range, name, seconds) in RANGES {
            let mut times = Vec::new();
            let mut dashboard = server.dashboard().await;
            for _ in 0..SAMPLES {
                let request = v1::QueryPanelRequest {
                    panel: panel.into(),
                    time_range: range.into(),
                    ..Default::default()
                };
                let started_at = Instant::now();
                dashboard.query_panel(request).await.unwrap();
                times.push(started_at.elapsed());
            }
            times.sort();
            let step = if seconds == 3_600 { 60 } else { 900 };
            let raw = raw.replace("SECONDS", &seconds.to_string()).replace("STEP", &step.to_string());
            let mut raw_times = Vec::new();
            for _ in 0..RAW_SAMPLES {
                let started_at = Instant::now();
                server.sql(&raw).await;
                raw_times.push(started_at.elapsed());
            }
            raw_times.sort();
            println!(
                "{panel:<20}{name:>6}{:>10.1}{:>10.1}{:>12.1}",
                millis(times[SAMPLES / 2]),
                millis(times[SAMPLES * 99 / 100]),
                millis(raw_times[RAW_SAMPLES / 2]),
            );
            medians.push(times[SAMPLES / 2]);
        }
    }
    medians
}

/// Waits until no merge has run for 5 seconds: merges would compete with the queries for cores.
async fn wait_for_merges(server: &TestServer) {
    let mut idle_seconds = 0;
    while idle_seconds < 5 {
        let merges = server.sql("SELECT count() FROM system.merges").await;
        idle_seconds = if merges == "0" { idle_seconds + 1 } else { 0 };
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1_000.0
}

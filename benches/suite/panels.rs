//! The latency of every panel over every range that the server offers, with caching disabled.

use std::time::{Duration, Instant};

use millrace_client::proto::v1;

use crate::common::TestServer;
use crate::figures::Figures;
use crate::traffic::generate;

pub(crate) const PANELS: [&str; 8] = [
    "active_users",
    "error_rate",
    "live_visitors",
    "signup_funnel",
    "top_features",
    "top_pages",
    "traffic_anomaly",
    "traffic_by_country",
];
const SAMPLES: usize = 30;
/// Below the default retention, so that no event is rejected.
const MAX_HISTORY_HOURS: u64 = 89 * 24;

/// Fills a server per size, and queries it.
pub(crate) async fn measure(sizes: &[u64], figures: &mut Figures) {
    for events in sizes {
        let server = TestServer::start_with(&[("PANEL_CACHE_MS", "0"), ("MILLRACE_LOG", "info")]);
        fill(&server, *events).await;
        for (range, name) in ranges() {
            let mut worst = (Duration::ZERO, "");
            for panel in PANELS {
                let times = query(&server, panel, range).await;
                figures.add(
                    format!("{panel}, {name}, {events} events"),
                    "ms",
                    times.iter().map(|time| time.as_secs_f64() * 1_000.0).collect(),
                );
                worst = worst.max((times[SAMPLES / 2], panel));
            }
            let millis = worst.0.as_secs_f64() * 1_000.0;
            figures.add(format!("worst panel, {name}, {events} events"), "ms", vec![millis]);
        }
    }
    if let (Some(small), Some(large)) = (sizes.iter().min(), sizes.iter().max())
        && small < large
    {
        for (_, name) in ranges() {
            let figure = |events: &u64| format!("worst panel, {name}, {events} events");
            if let (Some(large), Some(small)) =
                (figures.median(&figure(large)), figures.median(&figure(small)))
            {
                figures.add(
                    format!("worst panel, {name}: most over fewest events"),
                    "times",
                    vec![large / small],
                );
            }
        }
    }
}

/// Every range of the contract, with a short name.
fn ranges() -> impl Iterator<Item = (v1::TimeRange, String)> {
    (1..).map_while(|number| v1::TimeRange::try_from(number).ok()).map(|range| {
        let name = range.as_str_name();
        (range, name.trim_start_matches("TIME_RANGE_").to_ascii_lowercase())
    })
}

/// Sends events over the longest range, and waits until no merge has run for 5 seconds: merges compete with the queries.
async fn fill(server: &TestServer, events: u64) {
    let days =
        ranges().filter_map(|(_, name)| name.strip_suffix('d')?.parse::<u64>().ok()).max().unwrap_or(1);
    let hours = (days * 24).min(MAX_HISTORY_HOURS);
    let rate = (events as f64 / (hours * 3_600) as f64).to_string();
    generate(server, &["--backfill", &format!("{hours}h"), "--rate", &rate]).await;
    server.wait_until_landed().await;
    let mut idle_seconds = 0;
    while idle_seconds < 5 {
        let merges = server.sql("SELECT count() FROM system.merges").await;
        idle_seconds = if merges == "0" { idle_seconds + 1 } else { 0 };
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

async fn query(server: &TestServer, panel: &str, range: v1::TimeRange) -> Vec<Duration> {
    let mut dashboard = server.dashboard().await;
    let mut times = Vec::new();
    for _ in 0..SAMPLES {
        let request =
            v1::QueryPanelRequest { panel: panel.into(), time_range: range.into(), ..Default::default() };
        let started_at = Instant::now();
        dashboard.query_panel(request).await.unwrap();
        times.push(started_at.elapsed());
    }
    times.sort_unstable();
    times
}

//! `make bench`: measures the release binary with the embedded engine, prints one table, and compares it with the last
//! result in benches/results.
//!
//! Settings are environment variables: `ONLY` selects parts (`insert,ingest,tls,latency,idle,tail,explorers,panels,explore,soak`),
//! `RUNS` is the number of runs of which the median counts (5), `EVENTS` the number of events of a run (2,000,000), `PANEL_EVENTS` the
//! sizes at which panels are measured (1,000,000, 10,000,000 and 100,000,000), `EXPLORE_EVENTS` that of Explore (100,000,000), `SOAK_MINUTES` the length of the soak (10),
//! `KEEP=1` adds the result to benches/results, and `NOTE` is a text about the conditions that is kept with it.
//!
//! Client, server and engine share the cores, so only ratios within one run compare between machines.
#![expect(clippy::unwrap_used, reason = "a benchmark panics if it cannot continue")]

#[path = "../../tests/it/common.rs"]
#[expect(dead_code, reason = "shared with the tests")]
mod common;

mod beside;
mod ceiling;
mod explore;
mod figures;
mod ingest;
mod latency;
mod panels;
mod probe;
mod process;
mod tls;
mod traffic;

use figures::{Figures, Result};

const PARTS: [&str; 10] =
    ["insert", "ingest", "tls", "latency", "idle", "tail", "explorers", "panels", "explore", "soak"];

/// What is measured, and how often.
struct Settings {
    only: Vec<String>,
    runs: usize,
    events: u64,
    panel_events: Vec<u64>,
    explore_events: u64,
    soak_minutes: u64,
    keep: bool,
}

impl Settings {
    fn from_env() -> Self {
        let text = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let number = |name: &str, default: u64| {
            text(name).map_or(default, |value| {
                value.parse().unwrap_or_else(|_| panic!("{name}={value:?}: use a number"))
            })
        };
        let only: Vec<String> =
            text("ONLY").map_or_else(Vec::new, |list| list.split(',').map(str::to_owned).collect());
        for part in &only {
            assert!(PARTS.contains(&part.as_str()), "ONLY={part:?} is not a part; use {}", PARTS.join(","));
        }
        let sizes = text("PANEL_EVENTS").unwrap_or_else(|| "1000000,10000000,100000000".into());
        Self {
            only,
            runs: number("RUNS", 5).max(1) as usize,
            events: number("EVENTS", 2_000_000).max(100_000),
            panel_events: sizes
                .split(',')
                .map(|size| size.parse().expect("PANEL_EVENTS has numbers"))
                .collect(),
            explore_events: number("EXPLORE_EVENTS", 100_000_000),
            soak_minutes: number("SOAK_MINUTES", 10),
            keep: text("KEEP").is_some(),
        }
    }

    fn has(&self, part: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|only| only == part)
    }
}

fn main() {
    if !std::env::args().any(|argument| argument == "--bench") {
        println!("skipped: run it with `make bench`");
        return;
    }
    let settings = Settings::from_env();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let mut figures = Figures::default();
    for part in PARTS.into_iter().filter(|part| settings.has(part)) {
        eprintln!("measuring: {part}");
        runtime.block_on(async {
            match part {
                "insert" => ceiling::cost_of_small_inserts(&mut figures).await,
                "ingest" => ingest::measure(&settings, &mut figures).await,
                "tls" => tls::measure(&settings, &mut figures).await,
                "latency" => latency::measure(&mut figures).await,
                "idle" => latency::idle_cost(&mut figures).await,
                "tail" => beside::tail(&mut figures).await,
                "explorers" => beside::explorers(&mut figures).await,
                "panels" => panels::measure(&settings.panel_events, &mut figures).await,
                "explore" => explore::measure(settings.explore_events, &mut figures).await,
                _ => latency::soak(settings.soak_minutes, &mut figures).await,
            }
        });
        // After each part, so that an aborted run leaves what it has measured.
        Result::now(&settings, &figures).write_raw();
    }
    let result = Result::now(&settings, &figures);
    result.print();
    if settings.keep {
        println!("kept as {}", result.keep().display());
    }
}

//! The freshness of subscribed panels: the time from a call of SendEvents to the update that contains the event, at 10,
//! 1,000 and 20,000 events per second, with default settings and with FLUSH_INTERVAL_MS=200. Also the fan-out delay: the
//! time between the first and the last of 1,000 subscribers to get the same update.
//!
//! `cargo bench --bench freshness -- [--seconds N]`.
#![expect(clippy::unwrap_used, reason = "a benchmark panics if it cannot continue")]

#[path = "../tests/it/common.rs"]
#[expect(dead_code, reason = "shared with the tests")]
mod common;
#[path = "suite/probe.rs"]
mod probe;

use std::time::{Duration, Instant};

use common::{TestServer, event, events_request, next_update};
use millrace_client::ProducerConfig;
use millrace_client::proto::v1;
use probe::{measure_freshness, signups_started};
use tokio::task::JoinSet;

const SUBSCRIBERS: usize = 1_000;
/// Below the server's limit of 128 streams per connection.
const SUBSCRIBERS_PER_CONNECTION: usize = 100;

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    if !arguments.iter().any(|argument| argument == "--bench") {
        println!("skipped: run it with `cargo bench`");
        return;
    }
    let seconds = arguments.iter().position(|argument| argument == "--seconds");
    let seconds = seconds.map_or(30, |at| arguments[at + 1].parse().expect("--seconds takes a number"));
    let runtime = tokio::runtime::Runtime::new().unwrap();
    println!(
        "{:>9}  {:<22}{:>7}{:>9}{:>9}{:>9}",
        "events/s", "settings", "probes", "p50 ms", "p99 ms", "max ms"
    );
    for (rate, settings) in
        [(10, &[][..]), (10, &[("FLUSH_INTERVAL_MS", "200")][..]), (1_000, &[][..]), (20_000, &[][..])]
    {
        let mut times = runtime.block_on(measure(rate, settings, Duration::from_secs(seconds)));
        let settings =
            settings.first().map_or("default".to_owned(), |(name, value)| format!("{name}={value}"));
        report(&format!("{rate:>9}  {settings:<22}"), &mut times);
    }
    let mut delays = runtime.block_on(fan_out_delays());
    report(&format!("last of {SUBSCRIBERS} subscribers after the first:"), &mut delays);
}

fn report(label: &str, times: &mut [Duration]) {
    times.sort();
    let millis = |time: Duration| time.as_secs_f64() * 1_000.0;
    println!(
        "{label}{:>7}{:>9.0}{:>9.0}{:>9.0}",
        times.len(),
        millis(times[times.len() / 2]),
        millis(times[times.len() * 99 / 100]),
        millis(times[times.len() - 1])
    );
}

/// Sends sign-ups at random intervals, next to a load of other events, and measures the time until each is in the funnel.
async fn measure(rate: u64, settings: &[(&str, &str)], duration: Duration) -> Vec<Duration> {
    let server = TestServer::start_with(&[settings, &[("MILLRACE_LOG", "info")]].concat());
    let load_producer = ProducerConfig::new(server.url()).connect().await.unwrap();
    let load_task = tokio::spawn(async move {
        let started_at = Instant::now();
        let mut sent = 0;
        while started_at.elapsed() < duration {
            while sent < started_at.elapsed().as_micros() as u64 * rate / 1_000_000 {
                let mut event = event("page_view");
                event.session_id = format!("session-{}", sent % 10_000);
                load_producer.send(event).await.unwrap();
                sent += 1;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        load_producer.close().await.unwrap();
    });
    let times = measure_freshness(&server, duration, 50..500, v1::TimeRange::Unspecified).await;
    load_task.await.unwrap();
    times
}

/// For each update, the time between the first and the last subscriber to get it. Updates that all skipped are left out.
async fn fan_out_delays() -> Vec<Duration> {
    const UPDATES: u64 = 20;
    let server = TestServer::start_with(&[("MILLRACE_LOG", "info")]);
    let mut subscribers = JoinSet::new();
    let mut dashboard = server.dashboard().await;
    for number in 0..SUBSCRIBERS {
        if number % SUBSCRIBERS_PER_CONNECTION == 0 {
            dashboard = server.dashboard().await;
        }
        let query = v1::PanelQuery { panel: "signup_funnel".into(), ..Default::default() };
        let request = v1::WatchPanelsRequest { queries: vec![query], ..Default::default() };
        let mut stream = dashboard.watch_panels(request).await.unwrap().into_inner();
        subscribers.spawn(async move {
            let mut seen = Vec::new();
            loop {
                let update = next_update(&mut stream).await.unwrap().unwrap();
                let started = signups_started(&update);
                seen.push((started, Instant::now()));
                if started == UPDATES {
                    return seen;
                }
            }
        });
    }
    tokio::time::sleep(Duration::from_secs(2)).await;
    let mut producer = server.ingest().await;
    for _ in 0..UPDATES {
        producer.send_events(events_request(vec![event("signup_started")])).await.unwrap();
        tokio::time::sleep(Duration::from_millis(600)).await;
    }
    let seen = subscribers.join_all().await;
    let delay = |update: u64| {
        let times = seen.iter().flatten().filter(move |(started, _)| *started == update).map(|(_, at)| *at);
        let (first, last) = (times.clone().min()?, times.max()?);
        Some(last - first)
    };
    (1..=UPDATES).filter_map(delay).collect()
}

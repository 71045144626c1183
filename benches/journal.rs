//! Throughput and latency of acknowledgements: closed-loop with 1, 8 and 64 producers, and paced at 50,000 events/s.
//!
//! `cargo bench --bench journal -- [--seconds N] [--dir DIRECTORY]`. Measures the disk of DIRECTORY, so it must not be a
//! tmpfs. Exits with 1 if the paced p99 is above 50 ms.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use bytes::Bytes;
use millrace::internals::journal::{Journal, JournalConfig};
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;

const PRODUCERS: [usize; 3] = [1, 8, 64];
const PAYLOAD_BYTES: [usize; 2] = [4 << 10, 128 << 10];

/// The paced run: 8 producers, and requests of 100 events of 132 bytes each.
const PACED_PRODUCERS: usize = 8;
const PACED_EVENTS: usize = 100;
const EVENT_BYTES: usize = 132;
const PACED_EVENTS_PER_SECOND: usize = 50_000;
const MAX_PACED_P99: Duration = Duration::from_millis(50);

fn main() -> anyhow::Result<ExitCode> {
    let Some((seconds, dir)) = arguments()? else {
        println!("skipped: run it with `cargo bench`");
        return Ok(ExitCode::SUCCESS);
    };
    let runtime = tokio::runtime::Runtime::new()?;
    println!(
        "{:>9} {:>8} {:>10} {:>12} {:>9} {:>9}",
        "producers", "payload", "acks/s", "synced MB/s", "p50 ms", "p99 ms"
    );
    for payload_bytes in PAYLOAD_BYTES {
        for producers in PRODUCERS {
            let latencies = runtime.block_on(measure(&dir, producers, payload_bytes, seconds, None))?;
            report(producers, payload_bytes, seconds, &latencies);
        }
    }
    let interval =
        Duration::from_secs(1) * (PACED_PRODUCERS * PACED_EVENTS) as u32 / PACED_EVENTS_PER_SECOND as u32;
    let payload_bytes = PACED_EVENTS * EVENT_BYTES;
    let latencies =
        runtime.block_on(measure(&dir, PACED_PRODUCERS, payload_bytes, seconds, Some(interval)))?;
    println!("\npaced at {PACED_EVENTS_PER_SECOND} events/s, {PACED_EVENTS} per request:");
    report(PACED_PRODUCERS, payload_bytes, seconds, &latencies);
    let events_per_second = (latencies.len() * PACED_EVENTS) as f64 / seconds.as_secs_f64();
    println!("{events_per_second:.0} events/s acknowledged");
    ensure!(
        events_per_second > 0.98 * PACED_EVENTS_PER_SECOND as f64,
        "the journal did not keep up with {PACED_EVENTS_PER_SECOND} events/s"
    );
    if quantile(&latencies, 0.99) > MAX_PACED_P99 {
        println!("p99 is above {MAX_PACED_P99:?}");
        return Ok(ExitCode::FAILURE);
    }
    Ok(ExitCode::SUCCESS)
}

/// `None` under `cargo test --all-targets`, where other processes use the disk and the CPUs.
fn arguments() -> anyhow::Result<Option<(Duration, PathBuf)>> {
    let (mut seconds, mut dir) = (5, PathBuf::from(env!("CARGO_TARGET_TMPDIR")));
    let mut measure = false;
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--bench" => measure = true, // from `cargo bench`
            "--seconds" => seconds = arguments.next().context("--seconds needs a number")?.parse()?,
            "--dir" => dir = arguments.next().context("--dir needs a directory")?.into(),
            other => bail!("unknown argument {other}; expected --seconds N or --dir DIRECTORY"),
        }
    }
    ensure!(seconds > 0, "--seconds must be at least 1");
    Ok(measure.then(|| (Duration::from_secs(seconds), dir)))
}

/// Runs the producers, and returns the sorted latencies of the acknowledgements. With `interval`, each producer sends one
/// record per interval, and latency counts from when the record was due, which avoids coordinated omission.
async fn measure(
    dir: &Path,
    producers: usize,
    payload_bytes: usize,
    seconds: Duration,
    interval: Option<Duration>,
) -> anyhow::Result<Vec<Duration>> {
    let temp_dir = tempfile::tempdir_in(dir)?;
    let (journal, _) = Journal::open(temp_dir.path(), JournalConfig::default())?;
    let payload = Bytes::from(vec![0x5a; payload_bytes]);
    let start = Instant::now();
    let mut tasks = JoinSet::new();
    for producer in 0..producers {
        let (journal, payload) = (journal.clone(), payload.clone());
        tasks.spawn(async move {
            let mut latencies = Vec::new();
            let mut ticker = interval.map(|interval| {
                let offset = interval * producer as u32 / producers as u32;
                let mut ticker = tokio::time::interval_at((start + offset).into(), interval);
                ticker.set_missed_tick_behavior(MissedTickBehavior::Burst);
                ticker
            });
            while start.elapsed() < seconds {
                let due = match &mut ticker {
                    Some(ticker) => ticker.tick().await.into_std(),
                    None => Instant::now(),
                };
                let lsn = journal.append(1, vec![payload.clone()]).await?;
                latencies.push(due.elapsed());
                // As after landing in ClickHouse: segments are deleted about as fast as they are created.
                journal.release(lsn);
            }
            anyhow::Ok(latencies)
        });
    }
    let mut latencies = Vec::new();
    while let Some(producer_latencies) = tasks.join_next().await {
        latencies.extend(producer_latencies??);
    }
    journal.close().await?;
    latencies.sort_unstable();
    Ok(latencies)
}

fn report(producers: usize, payload_bytes: usize, seconds: Duration, latencies: &[Duration]) {
    let per_second = latencies.len() as f64 / seconds.as_secs_f64();
    println!(
        "{producers:>9} {payload_bytes:>8} {per_second:>10.0} {:>12.1} {:>9.2} {:>9.2}",
        per_second * payload_bytes as f64 / 1e6,
        quantile(latencies, 0.5).as_secs_f64() * 1e3,
        quantile(latencies, 0.99).as_secs_f64() * 1e3,
    );
}

fn quantile(sorted: &[Duration], quantile: f64) -> Duration {
    let index = (sorted.len() as f64 * quantile) as usize;
    sorted.get(index.min(sorted.len().saturating_sub(1))).copied().unwrap_or_default()
}

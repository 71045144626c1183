//! `millrace generate`: sends synthetic events to a server.

mod live;
mod load;
mod progress;
mod traffic;
mod upload;

use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use clap::Args;
use tonic::transport::Channel;

use crate::proto::{self, v1};
use crate::shutdown::ShutdownSignals;
use millrace_client::{ProducerConfig, Totals};
use progress::Reporter;
use traffic::{Scenario, Traffic};
use upload::Upload;

const HOUR_MS: i64 = 3_600_000;

/// Arguments of `millrace generate`.
#[derive(Args, Clone, Debug)]
pub(crate) struct GenerateArgs {
    /// URL of the server
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8080")]
    target: String,
    /// A key with the scope write or admin, for a server that requires keys
    #[arg(
        long,
        env = "MILLRACE_KEY",
        value_name = "KEY",
        default_value = "",
        hide_default_value = true,
        hide_env_values = true
    )]
    key: String,
    /// PEM file with the authority of the server's certificate, for an https URL. Without it, those of the system are trusted
    #[arg(long, env = "MILLRACE_CA", value_name = "FILE", default_value = "", hide_default_value = true)]
    ca: String,
    /// Events per second, on average over a week
    #[arg(long, value_name = "EVENTS", default_value = "100", value_parser = parse_rate)]
    rate: f64,
    /// How long to send live traffic: 90s, 10m, 2h, or forever
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    duration: Option<Duration>,
    /// Send this many events, spread over the last hour, as fast as possible
    #[arg(long, value_name = "EVENTS", conflicts_with_all = ["duration", "backfill"])]
    count: Option<u64>,
    /// Send the events of this much of the past, as fast as possible: 24h, 7d. With --duration, live traffic continues them and
    /// begins at once
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    backfill: Option<Duration>,
    /// Seed of the random generator; the same seed, scenario and rate generate the same events at the same time
    #[arg(long, value_name = "NUMBER", default_value = "1")]
    seed: u64,
    /// What the traffic simulates
    #[arg(long, value_enum, default_value = "everyday")]
    scenario: Scenario,
    /// Producer id; random by default. A further upload with it continues its sequence, so its events are stored too
    #[arg(long, value_name = "NAME")]
    producer_id: Option<String>,
}

fn parse_rate(text: &str) -> Result<f64, String> {
    text.parse()
        .ok()
        .filter(|rate| (0.001..=10_000_000.0).contains(rate))
        .ok_or_else(|| "use a rate of 0.001 to 10000000".into())
}

fn parse_duration(text: &str) -> Result<Duration, String> {
    if text == "forever" {
        return Ok(Duration::from_secs(u64::from(u32::MAX)));
    }
    let invalid = || "use a number followed by s, m, h or d, or forever".to_owned();
    let unit = text.chars().last().ok_or_else(invalid)?;
    let seconds = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3_600,
        'd' => 86_400,
        _ => return Err(invalid()),
    };
    let number: u32 = text[..text.len() - unit.len_utf8()].parse().map_err(|_| invalid())?;
    Ok(Duration::from_secs(u64::from(number) * seconds))
}

#[derive(Default)]
struct SendTotals {
    sent: u64,
    accepted: u64,
    rejected: u64,
    duplicates: u64,
    first_rejection: Option<v1::Rejection>,
}

impl SendTotals {
    /// Takes over what the producer of this many events reports.
    fn update(&mut self, sent: u64, totals: &Totals) {
        self.sent = sent;
        self.accepted = totals.accepted;
        self.rejected = totals.rejected;
        self.duplicates = totals.duplicates;
        self.first_rejection = totals.rejections.first().cloned();
    }

    fn plus(self, other: Self) -> Self {
        Self {
            sent: self.sent + other.sent,
            accepted: self.accepted + other.accepted,
            rejected: self.rejected + other.rejected,
            duplicates: self.duplicates + other.duplicates,
            first_rejection: self.first_rejection.or(other.first_rejection),
        }
    }
}

/// Sends events until the end or a signal, then prints the totals. Fails if an event was rejected.
///
/// A signal ends it immediately: events that were not acknowledged by then may be lost.
pub(crate) async fn run(args: GenerateArgs) -> anyhow::Result<()> {
    let mut signals = ShutdownSignals::install()?;
    let started = Instant::now();
    let (mut uploaded, mut live) = (SendTotals::default(), SendTotals::default());
    tokio::select! {
        result = send(&args, &mut uploaded, &mut live) => result?,
        () = signals.recv() => {}
    }
    let total = uploaded.plus(live);
    let seconds = started.elapsed().as_secs_f64();
    println!(
        "sent {}, accepted {}, rejected {}, duplicates {} in {seconds:.1} s: {:.0} events/s",
        total.sent,
        total.accepted,
        total.rejected,
        total.duplicates,
        total.accepted as f64 / seconds
    );
    if let Some(rejection) = total.first_rejection {
        bail!("{} events were rejected; the first: {} {}", total.rejected, rejection.field, rejection.reason);
    }
    Ok(())
}

async fn send(args: &GenerateArgs, uploaded: &mut SendTotals, live: &mut SendTotals) -> anyhow::Result<()> {
    let reporter = Reporter::stderr();
    let now_ms = jiff::Timestamp::now().as_millisecond();
    let traffic = Traffic { seed: args.seed, scenario: args.scenario, average_rate: args.rate };
    if let Some(count) = args.count {
        return send_count(args, count, traffic, now_ms, &reporter, uploaded).await;
    }
    let live_duration = args.duration.or_else(|| args.backfill.is_none().then_some(Duration::from_secs(60)));
    let backfill = async {
        let Some(past) = args.backfill else { return Ok(()) };
        let period = now_ms - i64::try_from(past.as_millis())?..now_ms;
        let upload = Upload {
            key: args.key.clone(),
            channel: connect(args).await?,
            producer: producer_config(args, "")?,
            progress: reporter.upload("history", traffic.expected_events(period.clone()) as u64),
            yield_to_live: live_duration.is_some(),
        };
        upload.run(upload::history(traffic, period), uploaded).await
    };
    let live = async {
        let Some(duration) = live_duration else { return Ok(()) };
        live::send(producer_config(args, "-live")?, traffic, now_ms, duration, &reporter, live).await
    };
    tokio::try_join!(live, backfill)?;
    Ok(())
}

/// Sends this many events, spread over the last hour.
async fn send_count(
    args: &GenerateArgs,
    count: u64,
    traffic: Traffic,
    now_ms: i64,
    reporter: &Reporter,
    totals: &mut SendTotals,
) -> anyhow::Result<()> {
    let last_hour = now_ms - HOUR_MS..now_ms;
    // The rate at which the last hour has about as many events.
    let average_rate = traffic.average_rate * count as f64 / traffic.expected_events(last_hour.clone());
    let traffic = Traffic { average_rate, ..traffic };
    let events = traffic.events_from(last_hour.start).take(usize::try_from(count)?).map(|(at_ms, event)| {
        // Few events are spread unevenly, so some would be in the future.
        let timestamp = Some(proto::timestamp_from_millis(at_ms.min(now_ms)));
        v1::Event { timestamp, ..event }
    });
    let upload = Upload {
        key: args.key.clone(),
        channel: connect(args).await?,
        producer: producer_config(args, "")?,
        progress: reporter.upload("upload", count),
        yield_to_live: false,
    };
    upload.run(events, totals).await
}

async fn connect(args: &GenerateArgs) -> anyhow::Result<Channel> {
    producer_config(args, "")?.endpoint()?.connect().await.with_context(|| {
        format!("cannot connect to {}; check that `millrace serve` is running there", args.target)
    })
}

/// The id of the producer is random unless it is given; `suffix` tells the producers of a command apart.
fn producer_config(args: &GenerateArgs, suffix: &str) -> anyhow::Result<ProducerConfig> {
    let mut config = ProducerConfig::new(&args.target);
    if !args.key.is_empty() {
        config = config.key(&args.key);
    }
    if !args.ca.is_empty() {
        let pem = std::fs::read(&args.ca).with_context(|| {
            format!("MILLRACE_CA (--ca): {} cannot be read; a PEM file is expected", args.ca)
        })?;
        config = config.ca_certificate(pem);
    }
    Ok(match &args.producer_id {
        Some(producer_id) => config.producer_id(format!("{producer_id}{suffix}")),
        None => config,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_need_a_unit() {
        assert_eq!(parse_duration("90s"), Ok(Duration::from_secs(90)));
        assert_eq!(parse_duration("24h"), Ok(Duration::from_secs(86_400)));
        assert!(
            parse_duration("10").is_err()
                && parse_duration("h").is_err()
                && parse_duration("").is_err()
                && parse_duration("1µ").is_err()
        );
        assert!(parse_duration("forever").unwrap() > Duration::from_secs(86_400 * 365));
    }
}

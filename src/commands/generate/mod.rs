//! `millrace generate`: sends synthetic events to a server.

mod traffic;

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use clap::Args;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Endpoint;

use crate::proto::{self, v1};
use crate::shutdown::ShutdownSignals;
use millrace_client::{ProducerConfig, Totals};
use traffic::{Scenario, Traffic};
use v1::ingest_service_client::IngestServiceClient;

/// Events per request of an upload: about 200 KB, far below the default limit of a message.
const EVENTS_PER_REQUEST: usize = 1_000;
/// How many generated requests may wait for the connection. At the limit the generator waits.
const MAX_QUEUED_REQUESTS: usize = 16;
const HOUR_MS: i64 = 3_600_000;
/// How long the server may acknowledge nothing before live traffic fails.
const STALL_TIMEOUT: Duration = Duration::from_secs(60);

/// Arguments of `millrace generate`.
#[derive(Args, Clone, Debug)]
pub(crate) struct GenerateArgs {
    /// URL of the server
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8080")]
    target: String,
    /// Events per second, on average over a day
    #[arg(long, value_name = "EVENTS", default_value = "100", value_parser = parse_rate)]
    rate: f64,
    /// How long to send live traffic: 90s, 10m, 2h, or forever
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    duration: Option<Duration>,
    /// Send this many events, spread over the last hour, as fast as possible in one upload
    #[arg(long, value_name = "EVENTS", conflicts_with_all = ["duration", "backfill"])]
    count: Option<u64>,
    /// First send the events of this much of the past, as fast as possible: 24h, 7d
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    backfill: Option<Duration>,
    /// Seed of the random generator; the same seed generates the same traffic
    #[arg(long, value_name = "NUMBER", default_value = "1")]
    seed: u64,
    /// What the traffic simulates
    #[arg(long, value_enum, default_value = "steady")]
    scenario: Scenario,
    /// Producer id; random by default
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

/// Sends events until the end or a signal, then prints the totals. Fails if an event was rejected.
///
/// A signal ends it immediately: events that were not acknowledged by then may be lost.
pub(crate) async fn run(args: GenerateArgs) -> anyhow::Result<()> {
    let mut signals = ShutdownSignals::install()?;
    let started = Instant::now();
    let mut total = SendTotals::default();
    tokio::select! {
        result = send(&args, &mut total) => result?,
        () = signals.recv() => {}
    }
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

async fn send(args: &GenerateArgs, total: &mut SendTotals) -> anyhow::Result<()> {
    let now_ms = jiff::Timestamp::now().as_millisecond();
    if let Some(count) = args.count {
        let rate = count as f64 / (HOUR_MS as f64 / 1_000.0);
        let traffic = Traffic::new(args.seed, args.scenario, now_ms - HOUR_MS, rate, false);
        // Few events are spread unevenly, so some would be in the future.
        let events = traffic.take(usize::try_from(count)?).map(move |(at_ms, event)| {
            let timestamp = Some(proto::timestamp_from_millis(at_ms.min(now_ms)));
            v1::Event { timestamp, ..event }
        });
        return upload(args, events, count, total).await;
    }
    if let Some(past) = args.backfill {
        let start_ms = now_ms - i64::try_from(past.as_millis())?;
        let expected = (args.rate * past.as_secs_f64()) as u64;
        let traffic = Traffic::new(args.seed, args.scenario, start_ms, args.rate, true);
        let events = traffic.take_while(move |(at_ms, _)| *at_ms <= now_ms).map(|(_, event)| event);
        upload(args, events, expected, total).await?;
    }
    let live = args.duration.or_else(|| args.backfill.is_none().then_some(Duration::from_secs(60)));
    match live {
        Some(duration) => live_traffic(args, duration, total).await,
        None => Ok(()),
    }
}

/// Sends events over one UploadEvents call, as fast as the server reads them.
async fn upload(
    args: &GenerateArgs,
    events: impl Iterator<Item = v1::Event> + Send + 'static,
    expected: u64,
    total: &mut SendTotals,
) -> anyhow::Result<()> {
    let channel = Endpoint::from_shared(args.target.clone())?.connect().await.with_context(|| {
        format!("cannot connect to {}; check that `millrace serve` is running there", args.target)
    })?;
    let bar = progress(expected);
    let (requests, outbound) = mpsc::channel(MAX_QUEUED_REQUESTS);
    let producer_id =
        args.producer_id.clone().unwrap_or_else(|| format!("generate-{}", uuid::Uuid::new_v4()));
    let generator_bar = bar.clone();
    // Generating events is CPU-bound, so it runs on a blocking thread. If this future is dropped, the thread ends at its
    // next send, and the runtime joins it.
    let generator = tokio::task::spawn_blocking(move || {
        let mut events = events.peekable();
        let (mut sequence, mut sent) = (0, 0);
        while events.peek().is_some() {
            let events: Vec<_> = events.by_ref().take(EVENTS_PER_REQUEST).collect();
            let count = events.len() as u64;
            sequence += 1;
            let request = v1::UploadEventsRequest {
                producer_id: producer_id.clone(),
                sequence,
                events,
                ..Default::default()
            };
            if requests.blocking_send(request).is_err() {
                break; // the call has ended; its status has the reason
            }
            sent += count;
            generator_bar.inc(count);
        }
        sent
    });
    let response = IngestServiceClient::new(channel).upload_events(ReceiverStream::new(outbound)).await;
    total.sent += generator.await?;
    bar.finish_and_clear();
    let response =
        response.map_err(|status| anyhow::anyhow!("the upload failed: {}", status.message()))?.into_inner();
    total.accepted += response.accepted;
    total.rejected += response.rejected;
    total.duplicates += response.duplicates;
    total.first_rejection = total.first_rejection.take().or_else(|| response.rejections.into_iter().next());
    Ok(())
}

/// Sends each event at its timestamp. Dropping the future detaches the producer's task, which ends with the runtime.
async fn live_traffic(args: &GenerateArgs, duration: Duration, total: &mut SendTotals) -> anyhow::Result<()> {
    let mut config = ProducerConfig::new(&args.target).stall_timeout(STALL_TIMEOUT);
    if let Some(producer_id) = &args.producer_id {
        config = config.producer_id(format!("{producer_id}-live"));
    }
    let producer = config.connect().await?;
    let uploaded = SendTotals {
        sent: total.sent,
        accepted: total.accepted,
        rejected: total.rejected,
        duplicates: total.duplicates,
        first_rejection: None,
    };
    let start = tokio::time::Instant::now();
    let start_ms = jiff::Timestamp::now().as_millisecond();
    let end_ms = start_ms.saturating_add(i64::try_from(duration.as_millis()).unwrap_or(i64::MAX));
    let bar = progress((args.rate * duration.as_secs_f64()) as u64);
    let mut update_totals = |sent: u64, totals: &Totals| {
        total.sent = uploaded.sent + sent;
        total.accepted = uploaded.accepted + totals.accepted;
        total.rejected = uploaded.rejected + totals.rejected;
        total.duplicates = uploaded.duplicates + totals.duplicates;
        total.first_rejection = totals.rejections.first().cloned();
    };
    let mut sent = 0;
    // Not the seed of the backfill, so that the sessions are different.
    for (at_ms, event) in Traffic::new(args.seed.wrapping_add(1), args.scenario, start_ms, args.rate, false) {
        if at_ms > end_ms {
            break;
        }
        let due = start + Duration::from_millis(u64::try_from(at_ms - start_ms).unwrap_or(0));
        if due > tokio::time::Instant::now() {
            tokio::time::sleep_until(due).await;
        }
        producer.send(event).await?;
        sent += 1;
        bar.inc(1);
        update_totals(sent, &producer.totals());
    }
    let totals = producer.close().await?;
    bar.finish_and_clear();
    update_totals(sent, &totals);
    Ok(())
}

/// A progress bar on stderr; hidden unless that is a terminal.
fn progress(expected: u64) -> ProgressBar {
    let bar = ProgressBar::new(expected);
    if !std::io::stderr().is_terminal() {
        bar.set_draw_target(ProgressDrawTarget::hidden());
    }
    let style = ProgressStyle::with_template("{bar:40} {human_pos}/{human_len} events  {per_sec}  {elapsed}");
    bar.with_style(style.expect("the template is valid"))
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

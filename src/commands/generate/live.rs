//! Sends each event at its timestamp.

use std::time::Duration;

use millrace_client::{ProducerConfig, Totals};

use super::SendTotals;
use super::progress::Reporter;
use super::traffic::Traffic;

/// How long the server may acknowledge nothing before live traffic fails.
const STALL_TIMEOUT: Duration = Duration::from_secs(60);

/// Sends the traffic from `start_ms` on, for a duration. Dropping the future detaches the producer's task, which ends with
/// the runtime.
pub(super) async fn send(
    config: ProducerConfig,
    traffic: Traffic,
    start_ms: i64,
    duration: Duration,
    reporter: &Reporter,
    total: &mut SendTotals,
) -> anyhow::Result<()> {
    let producer = config.stall_timeout(STALL_TIMEOUT).connect().await?;
    reporter.line(&format!(
        "live from now on, {:.1} events/s ({:.1} on average over a week)",
        traffic.rate_at(start_ms),
        traffic.average_rate
    ))?;
    let bar = reporter.live();
    let end_ms = start_ms.saturating_add(i64::try_from(duration.as_millis()).unwrap_or(i64::MAX));
    let mut update_totals = |sent: u64, totals: &Totals| {
        total.sent = sent;
        total.accepted = totals.accepted;
        total.rejected = totals.rejected;
        total.duplicates = totals.duplicates;
        total.first_rejection = totals.rejections.first().cloned();
    };
    let elapsed_ms = jiff::Timestamp::now().as_millisecond() - start_ms;
    let start = tokio::time::Instant::now() - Duration::from_millis(u64::try_from(elapsed_ms).unwrap_or(0));
    let mut sent = 0;
    for (at_ms, event) in traffic.events_from(start_ms) {
        let due = start + Duration::from_millis(u64::try_from(at_ms.min(end_ms) - start_ms).unwrap_or(0));
        if due > tokio::time::Instant::now() {
            tokio::time::sleep_until(due).await;
        }
        if at_ms > end_ms {
            break;
        }
        producer.send(event).await?;
        sent += 1;
        if let Some(bar) = &bar {
            bar.inc(1);
        }
        update_totals(sent, &producer.totals());
    }
    let totals = producer.close().await?;
    if let Some(bar) = &bar {
        bar.finish_and_clear();
    }
    update_totals(sent, &totals);
    Ok(())
}

//! Sends each event at its timestamp.

use std::time::{Duration, Instant};

use millrace_client::ProducerConfig;

use super::SendTotals;
use super::progress::Reporter;
use super::traffic::Traffic;

/// How long the server may acknowledge nothing before live traffic fails.
const STALL_TIMEOUT: Duration = Duration::from_secs(60);

/// How often the totals are updated, which an interrupted command prints.
const UPDATE_INTERVAL: Duration = Duration::from_millis(200);

/// The longest sleep. The clock of sleeps stops while the machine is suspended.
const MAX_SLEEP: Duration = Duration::from_secs(1);

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
    let (mut sent, mut updated_at) = (0, Instant::now());
    for (at_ms, event) in traffic.events_from(start_ms) {
        sleep_until(at_ms.min(end_ms), || jiff::Timestamp::now().as_millisecond()).await;
        if at_ms > end_ms {
            break;
        }
        producer.send(event).await?;
        sent += 1;
        if let Some(bar) = &bar {
            bar.inc(1);
        }
        if updated_at.elapsed() >= UPDATE_INTERVAL {
            total.update(sent, &producer.totals());
            updated_at = Instant::now();
        }
    }
    let totals = producer.close().await?;
    if let Some(bar) = &bar {
        bar.finish_and_clear();
    }
    total.update(sent, &totals);
    Ok(())
}

/// Sleeps until the system clock has reached a time in milliseconds. Unlike the clock of sleeps, it includes the time during
/// which the machine was suspended: the events of that time are sent when it resumes.
async fn sleep_until(due_ms: i64, now_ms: impl Fn() -> i64) {
    loop {
        match u64::try_from(due_ms - now_ms()) {
            Ok(remaining_ms) if remaining_ms > 0 => {
                tokio::time::sleep(MAX_SLEEP.min(Duration::from_millis(remaining_ms))).await;
            }
            _ => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::{Duration, sleep_until};

    #[tokio::test(start_paused = true)]
    async fn events_that_are_overdue_after_a_suspend_are_sent_at_once() {
        const HOUR_MS: i64 = 3_600_000;
        let started = Instant::now();
        // Suspended for two hours after 2.5 s.
        let now_ms = || {
            let suspended_ms = if started.elapsed() < Duration::from_millis(2_500) { 0 } else { 2 * HOUR_MS };
            i64::try_from(started.elapsed().as_millis()).unwrap() + suspended_ms
        };
        sleep_until(1_500, now_ms).await;
        assert_eq!(started.elapsed(), Duration::from_millis(1_500));
        sleep_until(HOUR_MS, now_ms).await;
        assert_eq!(started.elapsed(), Duration::from_millis(2_500));
        sleep_until(HOUR_MS + 500, now_ms).await;
        assert_eq!(started.elapsed(), Duration::from_millis(2_500), "overdue");
    }
}

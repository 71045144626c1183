//! Sends a bounded number of events as fast as the server acknowledges them.

use std::ops::Range;
use std::time::Duration;

use millrace_client::ProducerConfig;
use tokio::time::Instant;
use tonic::transport::Channel;
use tonic::{Code, Request};

use super::SendTotals;
use super::progress::UploadProgress;
use super::traffic::Traffic;
use crate::proto::v1;
use v1::health_service_client::HealthServiceClient;

/// Events per request of an upload: about 200 KB, far below the default limit of a message.
const EVENTS_PER_REQUEST: usize = 1_000;
/// How long the server may acknowledge nothing before the upload fails.
const STALL_TIMEOUT: Duration = Duration::from_secs(60);
/// History is sent in parts of this length.
const PART_MS: i64 = 3_600_000;
/// With `yield_to_live`, how many events may wait for their insert before the upload pauses: less than a second of inserts.
const MAX_WAITING_EVENTS: u64 = 20_000;
/// With `yield_to_live`, the number of waiting events is queried after this many requests, and this often during a pause.
const REQUESTS_PER_CHECK: u64 = 5;
const CHECK_INTERVAL: Duration = Duration::from_millis(50);
/// The longest pause. Live traffic alone may keep more events waiting, and the upload advances all the same.
const MAX_PAUSE: Duration = Duration::from_secs(1);

/// The events of a period: the newest hour first, since that is what people look at.
pub(super) fn history(traffic: Traffic, period: Range<i64>) -> impl Iterator<Item = v1::Event> + Send {
    let ends = std::iter::successors(Some(period.end), |end| Some(end - PART_MS));
    ends.take_while(move |end| *end > period.start).flat_map(move |end| {
        let start = period.start.max(end - PART_MS);
        traffic.events_from(start).take_while(move |(at_ms, _)| *at_ms < end).map(|(_, event)| event)
    })
}

/// One upload.
pub(super) struct Upload {
    /// For queries of the server's health.
    pub(super) channel: Channel,
    /// Presented with them; may be empty.
    pub(super) key: String,
    pub(super) producer: ProducerConfig,
    pub(super) progress: UploadProgress,
    /// Events are inserted in the order in which they were accepted. This keeps so few events waiting that live traffic is on
    /// the page within a second.
    pub(super) yield_to_live: bool,
}

impl Upload {
    /// Sends the events as fast as the server reads them, and waits until all of them are acknowledged.
    pub(super) async fn run(
        self,
        events: impl Iterator<Item = v1::Event>,
        totals: &mut SendTotals,
    ) -> anyhow::Result<()> {
        let Self { channel, key, producer, mut progress, yield_to_live } = self;
        let mut health = HealthServiceClient::new(channel);
        let producer =
            producer.batch_events(EVENTS_PER_REQUEST).stall_timeout(STALL_TIMEOUT).connect().await?;
        let events_per_check = REQUESTS_PER_CHECK * EVENTS_PER_REQUEST as u64;
        let mut sent = 0;
        for event in events {
            if yield_to_live && sent % events_per_check == 0 {
                producer.flush().await?;
                let waiting = wait_for_inserts(async || waiting_events(&mut health, &key).await).await?;
                if waiting > MAX_WAITING_EVENTS {
                    progress.waiting_for_inserts(waiting)?;
                }
            }
            producer.send(event).await?;
            sent += 1;
            if sent % EVENTS_PER_REQUEST as u64 == 0 {
                progress.add(EVENTS_PER_REQUEST as u64);
                totals.update(sent, &producer.totals());
            }
        }
        let uploaded = producer.close().await?;
        progress.add(sent % EVENTS_PER_REQUEST as u64);
        totals.update(sent, &uploaded);
        progress.complete()?;
        Ok(())
    }
}

/// Waits while too many accepted events are not inserted yet, but not longer than [`MAX_PAUSE`]. Returns the last number of
/// waiting events.
async fn wait_for_inserts(
    mut waiting_events: impl AsyncFnMut() -> anyhow::Result<u64>,
) -> anyhow::Result<u64> {
    let end = Instant::now() + MAX_PAUSE;
    loop {
        let waiting = waiting_events().await?;
        if waiting <= MAX_WAITING_EVENTS || Instant::now() >= end {
            return Ok(waiting);
        }
        tokio::time::sleep(CHECK_INTERVAL).await;
    }
}

/// How many accepted events are not inserted yet.
async fn waiting_events(health: &mut HealthServiceClient<Channel>, key: &str) -> anyhow::Result<u64> {
    let mut request = Request::new(v1::CheckRequest {});
    if !key.is_empty() {
        request.metadata_mut().insert("authorization", format!("Bearer {key}").parse()?);
    }
    let response = match health.check(request).await {
        // A key that only writes does not see them, so the upload is not slowed down.
        Err(status) if status.code() == Code::PermissionDenied => return Ok(0),
        response => response,
    };
    let response = response.map_err(|status| anyhow::anyhow!("the upload failed: {}", status.message()))?;
    Ok(response.into_inner().health.map_or(0, |health| health.buffer_size))
}

#[cfg(test)]
mod tests {
    use super::super::traffic::Scenario;
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn an_upload_pauses_for_inserts_but_not_longer_than_a_second() {
        let started = Instant::now();
        let mut waiting = MAX_WAITING_EVENTS + 3;
        let inserted = wait_for_inserts(async || {
            waiting -= 1;
            Ok(waiting)
        });
        assert_eq!(inserted.await.unwrap(), MAX_WAITING_EVENTS);
        assert_eq!(started.elapsed(), 2 * CHECK_INTERVAL);
        let started = Instant::now();
        let waiting = wait_for_inserts(async || Ok(MAX_WAITING_EVENTS + 1)).await.unwrap();
        assert_eq!((waiting, started.elapsed()), (MAX_WAITING_EVENTS + 1, MAX_PAUSE));
    }

    #[test]
    fn history_has_every_event_once_and_the_newest_hour_first() {
        let traffic = Traffic { seed: 1, scenario: Scenario::Everyday, average_rate: 2.0 };
        let end = 1_800_000_000_123;
        let period = end - 5 * PART_MS / 2..end;
        let history: Vec<v1::Event> = history(traffic, period.clone()).collect();
        let at = |event: &v1::Event| event.timestamp.map(|at| (at.seconds, at.nanos));
        assert!(at(&history[0]) >= Some(((end - PART_MS) / 1_000, 0)));
        let expected: Vec<v1::Event> = traffic
            .events_from(period.start)
            .take_while(|(at_ms, _)| *at_ms < period.end)
            .map(|(_, event)| event)
            .collect();
        let mut sorted = history;
        sorted.sort_by_key(at);
        assert_eq!(sorted, expected);
    }
}

//! Probes of freshness, for every benchmark that measures it.

use std::ops::Range;
use std::time::{Duration, Instant};

use millrace_client::proto::v1;
use rand::Rng as _;
use tonic::Streaming;
use v1::watch_panels_response::Value;

use crate::common::{TestServer, event, events_request, next_update};

/// Subscribes to panels.
pub(crate) async fn subscribe(
    server: &TestServer,
    panels: &[&str],
    range: v1::TimeRange,
) -> Streaming<v1::WatchPanelsResponse> {
    let query = |panel: &&str| v1::PanelQuery {
        panel: (*panel).into(),
        time_range: range.into(),
        ..Default::default()
    };
    let request =
        v1::WatchPanelsRequest { queries: panels.iter().map(query).collect(), ..Default::default() };
    server.dashboard().await.watch_panels(request).await.unwrap().into_inner()
}

/// The sign-ups started that an update of the funnel shows.
pub(crate) fn signups_started(update: &v1::WatchPanelsResponse) -> u64 {
    match &update.value {
        Some(Value::SignupFunnel(funnel)) => funnel.started,
        other => panic!("{other:?}"),
    }
}

/// Sends sign-ups, pausing for a random number of milliseconds, and measures the time until each is in the subscribed funnel.
/// Nothing may leave the range meanwhile.
pub(crate) async fn measure_freshness(
    server: &TestServer,
    duration: Duration,
    pause_ms: Range<u64>,
    range: v1::TimeRange,
) -> Vec<Duration> {
    let mut stream = subscribe(server, &["signup_funnel"], range).await;
    let before = signups_started(&next_update(&mut stream).await.unwrap().unwrap());
    let mut producer = server.ingest().await;
    let mut times = Vec::new();
    let started_at = Instant::now();
    // The first moments have an empty table and cold connections.
    tokio::time::sleep(Duration::from_secs(1)).await;
    while started_at.elapsed() < duration {
        let pause = rand::rng().random_range(pause_ms.clone());
        tokio::time::sleep(Duration::from_millis(pause)).await;
        let called_at = Instant::now();
        producer.send_events(events_request(vec![event("signup_started")])).await.unwrap();
        let expected = before + times.len() as u64 + 1;
        while signups_started(&next_update(&mut stream).await.unwrap().unwrap()) < expected {}
        times.push(called_at.elapsed());
    }
    times
}

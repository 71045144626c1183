//! What must not wait: the tail at 20,000 events per second, and ingestion and watched panels beside ten explorers.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use millrace_client::proto::v1;
use rand::Rng as _;
use tokio::task::JoinSet;
use v1::events_service_client::EventsServiceClient;
use v1::explore_service_client::ExploreServiceClient;

use crate::common::{TestServer, event, events_request};
use crate::explore;
use crate::figures::Figures;
use crate::latency::start_producers;
use crate::probe::measure_freshness;
use crate::process::memory_mb;
use crate::traffic::{generate, start_server};

const DURATION: Duration = Duration::from_secs(40);
const TAIL_RATE: u64 = 20_000;
const RATE: u64 = 50_000;
const EXPLORERS: usize = 10;
/// Of history, a week of it, besides what is sent meanwhile.
const EVENTS_PER_SECOND: &str = "3";

/// From an acknowledgement to a reader of the tail with a filter.
pub(crate) async fn tail(figures: &mut Figures) {
    let server = start_server();
    let producers = start_producers(&server, TAIL_RATE, DURATION).await;
    let request = v1::TailEventsRequest {
        filter: explore::is("event_name", "probe"),
        max_per_second: Some(1_000),
        ..Default::default()
    };
    let mut tail =
        EventsServiceClient::new(server.channel().await).tail_events(request).await.unwrap().into_inner();
    let arrivals = Arc::new(Mutex::new(HashMap::new()));
    let reader = tokio::spawn({
        let arrivals = Arc::clone(&arrivals);
        async move {
            while let Ok(Some(response)) = tail.message().await {
                let arrived_at = Instant::now();
                let sessions = response.events.into_iter().map(|event| event.session_id);
                arrivals.lock().unwrap().extend(sessions.map(|session| (session, arrived_at)));
            }
        }
    });
    let mut ingest = server.ingest().await;
    let mut accepted = Vec::new();
    let started_at = Instant::now();
    // The producers need a moment to reach their rate.
    tokio::time::sleep(Duration::from_secs(1)).await;
    while started_at.elapsed() < DURATION {
        let pause = rand::rng().random_range(5..50);
        tokio::time::sleep(Duration::from_millis(pause)).await;
        let session_id = format!("probe-{}", accepted.len());
        let probe = v1::Event { session_id: session_id.clone(), ..event("probe") };
        ingest.send_events(events_request(vec![probe])).await.unwrap();
        accepted.push((session_id, Instant::now()));
    }
    producers.join_all().await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    reader.abort();
    let arrivals = arrivals.lock().unwrap();
    let mut times: Vec<Duration> = accepted
        .iter()
        .map(|(session, accepted_at)| {
            let arrived_at = arrivals.get(session).unwrap_or_else(|| panic!("{session} is not in the tail"));
            // It may be there before the acknowledgement.
            arrived_at.saturating_duration_since(*accepted_at)
        })
        .collect();
    figures.add_times(&format!("tail with a filter at {TAIL_RATE} events/s"), &mut times);
}

/// Ingestion and freshness alone, and beside explorers that run heavy queries without a pause.
pub(crate) async fn explorers(figures: &mut Figures) {
    // Without the cache of results: all explorers ask the same.
    let server = TestServer::start_with(&[("MILLRACE_LOG", "info"), ("PANEL_CACHE_MS", "0")]);
    generate(&server, &["--backfill", "7d", "--rate", EVENTS_PER_SECOND]).await;
    server.wait_until_landed().await;
    load(&server, "alone", figures).await;
    let mut explorers = JoinSet::new();
    for number in 0..EXPLORERS {
        let channel = server.channel().await;
        explorers.spawn(async move {
            let mut client = ExploreServiceClient::new(channel);
            let mut times = Vec::new();
            let started_at = Instant::now();
            let mut next = number;
            while started_at.elapsed() < DURATION {
                let asked_at = Instant::now();
                let outcome = match next % 3 {
                    0 => client.query_funnel(explore::funnel()).await.map(drop),
                    1 => client.query_retention(explore::retention()).await.map(drop),
                    _ => client.query_trend(json_trend()).await.map(drop),
                };
                next += 1;
                match outcome {
                    Ok(()) => times.push(asked_at.elapsed()),
                    // At most so many at a time: the answer is to try again.
                    Err(status) if status.code() == tonic::Code::ResourceExhausted => {
                        tokio::time::sleep(Duration::from_millis(100)).await;
                    }
                    Err(status) => panic!("{status}"),
                }
            }
            times
        });
    }
    let beside = format!("beside {EXPLORERS} explorers");
    load(&server, &beside, figures).await;
    let mut times = explorers.join_all().await.concat();
    figures.add("explorers: queries", "queries", vec![times.len() as f64]);
    figures.add_times("explorers: a query", &mut times);
    let engine = server.engine_pid().unwrap();
    figures.add("explorers: peak memory, engine", "MB", vec![memory_mb(engine, "VmHWM")]);
    for figure in [format!("{RATE} events/s"), "freshness p99".to_owned()] {
        figures.add_ratio(
            format!("{beside} over alone: {figure}"),
            &format!("{beside}: {figure}"),
            &format!("alone: {figure}"),
        );
    }
}

async fn load(server: &TestServer, name: &str, figures: &mut Figures) {
    let before = server.health().await.events_accepted;
    let started_at = Instant::now();
    let producers = start_producers(server, RATE, DURATION).await;
    // Nothing leaves today.
    let mut freshness = measure_freshness(server, DURATION, 20..250, v1::TimeRange::Today).await;
    let mut acknowledgements = producers.join_all().await.concat();
    let seconds = started_at.elapsed().as_secs_f64();
    let accepted = server.health().await.events_accepted - before;
    server.wait_until_landed().await;
    figures.add(format!("{name}: {RATE} events/s"), "events/s", vec![accepted as f64 / seconds]);
    figures.add_times(&format!("{name}: acknowledgement"), &mut acknowledgements);
    figures.add_times(&format!("{name}: freshness"), &mut freshness);
}

/// Of a property that is not declared: it reads the JSON of every page view of a week.
fn json_trend() -> v1::QueryTrendRequest {
    v1::QueryTrendRequest {
        series: vec![v1::TrendSeries {
            event_name: "page_view".to_owned(),
            aggregation: v1::Aggregation::Visitors.into(),
            ..Default::default()
        }],
        filter: explore::is("properties.page_url", "/pricing"),
        range: explore::range(v1::TimeRange::TimeRange7d),
        ..Default::default()
    }
}

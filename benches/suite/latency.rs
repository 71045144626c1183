//! Latency at a fixed rate, the cost of idling with a subscriber, and the soak.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use millrace_client::proto::v1;
use rand::Rng as _;
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;
use tokio_stream::wrappers::ReceiverStream;
use v1::event::PropertiesKind;

use crate::common::{TestServer, next_update, now};
use crate::figures::Figures;
use crate::probe::{measure_freshness, subscribe};
use crate::process::{CpuSeconds, memory_mb};
use crate::traffic::{generate_command, start_server};

const PRODUCERS: u64 = 8;
/// How often a producer sends a request.
const TICK: Duration = Duration::from_millis(16);
const PACED: Duration = Duration::from_secs(40);
const IDLE: Duration = Duration::from_secs(60);
const SAMPLE_INTERVAL: Duration = Duration::from_secs(5);

/// Acknowledgements and freshness at 50,000 and 1,000 events per second.
pub(crate) async fn measure(figures: &mut Figures) {
    for rate in [50_000, 1_000] {
        let server = start_server();
        let producers = start_producers(&server, rate, PACED).await;
        let mut freshness = measure_freshness(&server, PACED, 20..250, v1::TimeRange::Unspecified).await;
        let mut acknowledgements = producers.join_all().await.concat();
        figures.add_times(&format!("at {rate} events/s: acknowledgement"), &mut acknowledgements);
        figures.add_times(&format!("at {rate} events/s: freshness"), &mut freshness);
    }
}

/// Producers that together send `rate` events per second on open streams. Each returns the latencies of its
/// acknowledgements, counted from when the request was due.
pub(crate) async fn start_producers(
    server: &TestServer,
    rate: u64,
    duration: Duration,
) -> JoinSet<Vec<Duration>> {
    let events_per_request = (rate * TICK.as_millis() as u64 / 1_000 / PRODUCERS).max(1);
    // The server knows the sequence numbers of earlier producers.
    let run: u32 = rand::rng().random();
    let mut producers = JoinSet::new();
    for number in 0..PRODUCERS {
        let mut ingest = server.ingest().await;
        producers.spawn(async move {
            let (requests, outbound) = tokio::sync::mpsc::channel(256);
            let due_times = Arc::new(Mutex::new(VecDeque::new()));
            let sender = tokio::spawn(send_paced(
                requests,
                Arc::clone(&due_times),
                format!("paced-{run}-{number}"),
                events_per_request,
                duration,
            ));
            let mut responses =
                ingest.stream_events(ReceiverStream::new(outbound)).await.unwrap().into_inner();
            let mut latencies = Vec::new();
            while let Some(response) = responses.message().await.unwrap() {
                assert_eq!(response.accepted, events_per_request, "{:?}", response.rejections);
                let due: Instant = due_times.lock().unwrap().pop_front().expect("a request per response");
                latencies.push(due.elapsed());
            }
            sender.await.unwrap();
            latencies
        });
    }
    producers
}

async fn send_paced(
    requests: tokio::sync::mpsc::Sender<v1::StreamEventsRequest>,
    due_times: Arc<Mutex<VecDeque<Instant>>>,
    producer_id: String,
    events_per_request: u64,
    duration: Duration,
) {
    // Producers do not send at the same moment.
    let offset = rand::rng().random_range(Duration::ZERO..TICK);
    tokio::time::sleep(offset).await;
    let started_at = Instant::now();
    let mut ticker = tokio::time::interval(TICK);
    ticker.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let mut sequence = 0;
    while started_at.elapsed() < duration {
        let due = ticker.tick().await.into_std();
        sequence += 1;
        let events = (0..events_per_request).map(|_| page_view()).collect();
        let request = v1::StreamEventsRequest {
            producer_id: producer_id.clone(),
            sequence,
            events,
            start_new_numbering: sequence == 1,
            sent_to_another_server: false,
        };
        due_times.lock().unwrap().push_back(due);
        requests.send(request).await.unwrap();
    }
}

/// A page view of one of 100,000 sessions, now.
fn page_view() -> v1::Event {
    const PAGES: [&str; 5] = ["/", "/pricing", "/docs", "/blog", "/app"];
    const COUNTRIES: [&str; 5] = ["US", "DE", "GB", "IN", "ES"];
    let mut rng = rand::rng();
    let session: u32 = rng.random_range(0..100_000);
    let (page, country) = (PAGES[session as usize % 5], COUNTRIES[session as usize / 5 % 5]);
    let duration_ms: u32 = rng.random_range(0..60_000);
    v1::Event {
        event_name: "page_view".into(),
        timestamp: Some(now()),
        session_id: format!("s{:016x}", u64::from(session).wrapping_mul(0x9e37_79b9_7f4a_7c15)),
        user_id: session.is_multiple_of(2).then(|| format!("u{}", session / 2)),
        device_type: "desktop".into(),
        country_code: country.into(),
        properties_kind: Some(PropertiesKind::PropertiesJson(format!(
            r#"{{"page_url":"{page}","duration_ms":{duration_ms}}}"#
        ))),
        event_id: None,
    }
}

/// The CPU time of server and engine at 50 events per second, with a subscriber of all panels.
pub(crate) async fn idle_cost(figures: &mut Figures) {
    let server = start_server();
    let mut stream = subscribe(&server, &crate::panels::PANELS, v1::TimeRange::Unspecified).await;
    let watcher = tokio::spawn(async move { while let Ok(Some(_)) = next_update(&mut stream).await {} });
    let duration = format!("{}s", IDLE.as_secs() + 15);
    let mut traffic = generate_command(&server, &["--rate", "50", "--duration", &duration]).spawn().unwrap();
    tokio::time::sleep(Duration::from_secs(10)).await;
    let (cpu, started_at) = (CpuSeconds::now(&server), Instant::now());
    tokio::time::sleep(IDLE).await;
    let (cpu, elapsed) = (CpuSeconds::now(&server).since(cpu), started_at.elapsed().as_secs_f64());
    for (part, seconds) in [("engine", cpu.engine), ("server", cpu.server)] {
        figures.add(format!("at 50 events/s, watched: {part}"), "% core", vec![100.0 * seconds / elapsed]);
    }
    traffic.kill().await.unwrap();
    watcher.abort();
}

/// Memory, parts and delayed inserts at 100,000 events per second.
pub(crate) async fn soak(minutes: u64, figures: &mut Figures) {
    let server = start_server();
    let duration = Duration::from_secs(60 * minutes);
    let producers = start_producers(&server, 100_000, duration).await;
    let (mut memory, mut parts, mut waiting) = (Vec::new(), 0, 0);
    let started_at = Instant::now();
    while started_at.elapsed() < duration {
        tokio::time::sleep(SAMPLE_INTERVAL).await;
        memory.push(memory_mb(server.pid(), "VmRSS"));
        let active = server
            .sql_numbers("SELECT count() FROM system.parts WHERE active AND database = 'millrace'")
            .await;
        parts = parts.max(active[0]);
        waiting = waiting.max(server.health().await.buffer_size);
    }
    let requests = producers.join_all().await.concat().len() as u64;
    server.wait_until_landed().await;
    let stored = server.sql_numbers("SELECT count() FROM events").await[0];
    let seconds = started_at.elapsed().as_secs_f64();
    let delayed = server
        .sql_numbers(
            "SELECT sum(value) FROM system.events WHERE event IN ('DelayedInserts', 'RejectedInserts')",
        )
        .await;
    // The first tenth fills buffers and caches.
    let settled = &memory[memory.len() / 10..];
    let (low, high) =
        settled.iter().fold((f64::MAX, 0.0_f64), |(low, high), mb| (low.min(*mb), high.max(*mb)));
    assert!(stored > requests, "requests have several events");
    figures.add("soak", "events/s", vec![stored as f64 / seconds]);
    figures.add("soak: memory of the server, lowest", "MB", vec![low]);
    figures.add("soak: memory of the server, highest", "MB", vec![high]);
    figures.add("soak: peak memory, engine", "MB", vec![memory_mb(server.engine_pid().unwrap(), "VmHWM")]);
    figures.add("soak: most active parts", "parts", vec![parts as f64]);
    figures.add("soak: most events waiting for an insert", "events", vec![waiting as f64]);
    figures.add("soak: delayed and rejected inserts", "inserts", vec![delayed[0] as f64]);
}

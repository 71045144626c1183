//! Kills the server and the engine at random moments under load, and counts the events after each time.
//!
//! `make crash-test CYCLES=100` runs many cycles; the default is five.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use millrace_client::proto::v1;
use millrace_client::{Producer, ProducerConfig};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tempfile::TempDir;
use v1::event::PropertiesKind;

use crate::common::{DeliveryCounts, TIMEOUT, TestServer, event, free_address, send_signal, try_send_signal};
use crate::people::assert_people_match_events;
use crate::rollup_assertions::assert_rollup_matches_events;

const PRODUCERS: usize = 4;
/// All producers together.
const EVENTS_PER_SECOND: u64 = 20_000;

/// The fault of a cycle.
#[derive(Clone, Copy, Debug)]
enum Fault {
    KillServer,
    KillEngine,
    KillBoth,
    StopServer,
    FreezeEngine,
    /// Kills the engine repeatedly for five seconds, so that inserts cannot connect.
    KeepEngineDown,
}

const FAULTS: [Fault; 6] = [
    Fault::KillServer,
    Fault::KillEngine,
    Fault::KillBoth,
    Fault::StopServer,
    Fault::FreezeEngine,
    Fault::KeepEngineDown,
];

fn cycles() -> usize {
    std::env::var("CRASH_CYCLES").map_or(5, |text| text.parse().expect("CRASH_CYCLES is a number"))
}

#[tokio::test(flavor = "multi_thread")]
async fn crash_cycles_neither_lose_nor_duplicate_events() {
    let seed = std::env::var("CRASH_SEED").map_or_else(|_| rand::random(), |text| text.parse().unwrap());
    println!("CRASH_SEED={seed}");
    let mut random = StdRng::seed_from_u64(seed);
    // A fixed address, to which the producers reconnect.
    let address = free_address();
    let folder = Arc::new(tempfile::tempdir().unwrap());
    let mut server = start(&folder, &address);
    let mut producers = Vec::new();
    for number in 0..PRODUCERS {
        let config = ProducerConfig::new(server.url()).producer_id(format!("producer-{number}"));
        producers.push((config.connect().await.unwrap(), 0_u64));
    }
    let mut events = 0;
    for cycle in 1..=cycles() {
        // Every fault once, then random ones.
        let random_fault = FAULTS[random.random_range(0..FAULTS.len())];
        let fault = FAULTS.get(cycle - 1).copied().unwrap_or(random_fault);
        let stop = Arc::new(AtomicBool::new(false));
        let sending: Vec<_> = producers
            .drain(..)
            .map(|(producer, next)| {
                tokio::spawn(send_until_stopped(producer, next, Arc::clone(&stop), numbered_event))
            })
            .collect();
        tokio::time::sleep(Duration::from_millis(random.random_range(300..1_500))).await;
        server = inject(server, fault, &folder, &address).await;
        tokio::time::sleep(Duration::from_millis(random.random_range(200..800))).await;
        stop.store(true, Relaxed);
        for task in sending {
            producers.push(task.await.unwrap());
        }
        server.wait_until_landed().await;

        let sent: u64 = producers.iter().map(|(_, next)| next).sum();
        let DeliveryCounts { stored, lost, duplicated } = server.count_deliveries(sent).await;
        println!("cycle {cycle:3}  {fault:?}  events {sent}  lost {lost}  duplicated {duplicated}");
        assert_eq!((lost, duplicated), (0, 0), "CRASH_SEED={seed}: {stored} of {sent}\n{}", server.log());
        let counted = "SELECT sumIf(rollup.events, dimension = ''), sumIf(rollup.events, dimension = 'page_url'), \
                       sumIf(rollup.events, dimension = 'feature') FROM rollup WHERE step = 1 AND event_name != ''";
        let counted = server.sql_numbers(counted).await;
        let page_views = server.sql_numbers("SELECT countIf(event_name = 'page_view') FROM events").await[0];
        assert_eq!(counted, [stored, page_views, stored - page_views], "CRASH_SEED={seed}: the rollup");
        events = sent;
    }
    assert_people_match_events(&server).await;
    println!("cycles {}, events {events}, lost 0, duplicated 0", cycles());
}

#[tokio::test(flavor = "multi_thread")]
async fn multi_partition_batches_are_exact_after_engine_kills() {
    let server = TestServer::start();
    let producer = ProducerConfig::new(server.url()).connect().await.unwrap();
    let mut random = StdRng::seed_from_u64(rand::random());
    let stop = Arc::new(AtomicBool::new(false));
    let sending = tokio::spawn(send_until_stopped(producer, 0, Arc::clone(&stop), late_event));
    for _ in 0..4 {
        // Inserts of many parts take most of the time, so the kill likely hits one.
        tokio::time::sleep(Duration::from_millis(random.random_range(500..2_500))).await;
        kill_engine(&server);
    }
    stop.store(true, Relaxed);
    let (_producer, sent) = sending.await.unwrap();
    server.wait_until_landed().await;
    let expected = DeliveryCounts { stored: sent, lost: 0, duplicated: 0 };
    assert_eq!(server.count_deliveries(sent).await, expected);
    assert!(server.sql_numbers("SELECT uniqExact(toMonday(date)) FROM events").await[0] > 10);
    assert_rollup_matches_events(&server).await;
}

/// Batches of about 20,000 events, up to four in flight, are sent to a frozen engine. The server is killed before it goes on, or
/// after it has landed one of them.
#[tokio::test(flavor = "multi_thread")]
async fn several_batches_in_flight_land_exactly_once_despite_kills() {
    const IN_FLIGHT: usize = 3;
    let address = free_address();
    let folder = Arc::new(tempfile::tempdir().unwrap());
    let start = || {
        let settings = [
            ("MILLRACE_LISTEN", address.as_str()),
            ("MILLRACE_LOG", "info,millrace::writer=debug"),
            ("MILLRACE_INSERTS_IN_FLIGHT", "4"),
            ("MILLRACE_MAX_BUFFER_BYTES", "16777216"),
        ];
        TestServer::start_on(Arc::clone(&folder), &settings)
    };
    let mut server = start();
    let mut producer = ProducerConfig::new(server.url()).producer_id("producer").connect().await.unwrap();
    let mut sent = 0;
    for lands_one in [true, false, true] {
        // From its first batch on, the writer needs ClickHouse for nothing but inserts.
        producer.send(late_event(producer.id(), sent)).await.unwrap();
        sent += 1;
        producer.flush().await.unwrap();
        server.wait_until_landed().await;
        let stop = Arc::new(AtomicBool::new(false));
        let engine = server.engine_pid().unwrap();
        send_signal(engine, "STOP");
        let sending = tokio::spawn(send_at_full_speed(producer, sent, Arc::clone(&stop)));
        wait_for_lines(&server, "batch encoded", "batch landed", IN_FLIGHT).await;
        let landed = server.log().matches("batch landed").count();
        // On a slow machine the server may have restarted an engine that did not answer, or the killed one may have ended.
        if lands_one {
            try_send_signal(engine, "CONT");
            wait_for_lines(&server, "batch landed", "", landed + 1).await;
        }
        server.signal("KILL");
        server.wait();
        if !lands_one {
            // It has the inserts of the killed server, and ends on its own.
            try_send_signal(engine, "CONT");
        }
        drop(server); // Waits for the engine.
        server = start();
        stop.store(true, Relaxed);
        (producer, sent) = sending.await.unwrap();
        server.wait_until_landed().await;
        let expected = DeliveryCounts { stored: sent, lost: 0, duplicated: 0 };
        assert_eq!(server.count_deliveries(sent).await, expected, "{}", server.log());
    }
    assert_rollup_matches_events(&server).await;
}

/// Sends events until `stop`, then waits until all are acknowledged. Returns the next number.
async fn send_at_full_speed(producer: Producer, mut next: u64, stop: Arc<AtomicBool>) -> (Producer, u64) {
    while !stop.load(Relaxed) {
        producer.send(late_event(producer.id(), next)).await.unwrap();
        next += 1;
    }
    let totals = producer.flush().await.unwrap();
    assert_eq!((totals.acknowledged, totals.rejected), (next, 0), "{totals:?}");
    (producer, next)
}

/// Waits until the log has `lead` more lines with `part` than lines with `other`.
async fn wait_for_lines(server: &TestServer, part: &str, other: &str, lead: usize) {
    let has_lead = |log: &str| {
        let others = if other.is_empty() { 0 } else { log.matches(other).count() };
        log.matches(part).count() >= others + lead
    };
    let waited = async {
        while !has_lead(&server.log()) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let waited = tokio::time::timeout(TIMEOUT, waited).await;
    assert!(waited.is_ok(), "fewer than {lead} more lines {part:?} than {other:?}:\n{}", server.log());
}

fn start(folder: &Arc<TempDir>, address: &str) -> TestServer {
    TestServer::start_on(Arc::clone(folder), &[("MILLRACE_LISTEN", address), ("MILLRACE_LOG", "info")])
}

/// Sends numbered events at a constant rate until `stop`, then waits until all are acknowledged. Returns the next number.
pub(crate) async fn send_until_stopped(
    producer: Producer,
    mut next: u64,
    stop: Arc<AtomicBool>,
    make_event: fn(&str, u64) -> v1::Event,
) -> (Producer, u64) {
    let mut tick = tokio::time::interval(Duration::from_millis(10));
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
    while !stop.load(Relaxed) {
        tick.tick().await;
        for _ in 0..EVENTS_PER_SECOND / PRODUCERS as u64 / 100 {
            producer.send(make_event(producer.id(), next)).await.unwrap();
            next += 1;
        }
    }
    let totals = producer.flush().await.unwrap();
    assert_eq!((totals.acknowledged, totals.rejected), (next, 0), "{totals:?}");
    (producer, next)
}

fn numbered_event(producer: &str, n: u64) -> v1::Event {
    v1::Event {
        session_id: producer.to_owned(),
        properties_kind: Some(PropertiesKind::PropertiesJson(format!(
            r#"{{"n":{n},"feature":"f","page_url":"/"}}"#
        ))),
        ..event(if n.is_multiple_of(2) { "page_view" } else { "feature_used" })
    }
}

/// Like [`numbered_event`], but every fiftieth is late, by up to 80 days, so that a batch spans many partitions.
pub(crate) fn late_event(producer: &str, n: u64) -> v1::Event {
    let mut event = numbered_event(producer, n);
    if n.is_multiple_of(50)
        && let Some(timestamp) = &mut event.timestamp
    {
        timestamp.seconds -= 86_400 * (n / 50 % 80) as i64;
    }
    event
}

async fn inject(server: TestServer, fault: Fault, folder: &Arc<TempDir>, address: &str) -> TestServer {
    match fault {
        Fault::KillEngine => {
            kill_engine(&server);
            server
        }
        Fault::FreezeEngine => {
            if let Some(engine) = server.engine_pid() {
                send_signal(engine, "STOP");
                tokio::time::sleep(Duration::from_secs(5)).await;
                send_signal(engine, "CONT");
            }
            server
        }
        Fault::KeepEngineDown => {
            for _ in 0..20 {
                kill_engine(&server);
                tokio::time::sleep(Duration::from_millis(250)).await;
            }
            server
        }
        Fault::KillServer | Fault::KillBoth => {
            if matches!(fault, Fault::KillBoth) {
                kill_engine(&server);
            }
            drop(server); // kill -9
            start(folder, address)
        }
        Fault::StopServer => {
            let (status, log) = tokio::task::spawn_blocking(|| server.stop()).await.unwrap();
            assert_eq!(status.code(), Some(0), "{log}");
            start(folder, address)
        }
    }
}

pub(crate) fn kill_engine(server: &TestServer) {
    if let Some(engine) = server.engine_pid() {
        // The process may be gone already.
        std::process::Command::new("kill").args(["-KILL", &engine.to_string()]).status().unwrap();
    }
}

//! The source of events, with real brokers and the real server: each message is stored once, whatever crashes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use millrace_client::proto::v1;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use rdkafka::ClientConfig;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use tempfile::TempDir;
use v1::Status;

use super::broker::KafkaCluster;
use super::producer;
use crate::common::{TIMEOUT, TestClickHouse, TestServer, free_address, send_signal};
use crate::people::assert_people_match_events;
use crate::replicas::name_engine;
use crate::rollup_assertions::assert_rollup_matches_events;

pub(super) const TOPIC: &str = "events";
pub(super) const PARTITIONS: i32 = 12;

/// `KAFKA_EVENTS` of `make kafka-test`.
pub(super) fn number(variable: &str, default: u64) -> u64 {
    std::env::var(variable).map_or(default, |text| text.parse().expect("it is a number"))
}

/// Starts a server that consumes the topic.
pub(super) fn start(kafka: &KafkaCluster, folder: &Arc<TempDir>, more: &[(&str, &str)]) -> TestServer {
    let brokers = kafka.addresses();
    let mut settings = vec![
        ("KAFKA_BROKERS", brokers.as_str()),
        ("KAFKA_TOPICS", TOPIC),
        ("MILLRACE_LOG", "info,millrace::kafka=debug,millrace::writer=debug"),
    ];
    settings.extend_from_slice(more);
    TestServer::start_on(Arc::clone(folder), &settings)
}

pub(super) fn folder() -> Arc<TempDir> {
    Arc::new(tempfile::tempdir().unwrap())
}

/// An event with a number. Sessions have one user or none.
pub(super) fn event(n: u64) -> String {
    let (now, session) = (Timestamp::now(), n % 1_000);
    let user = if session % 3 == 0 { format!(r#","user_id":"u{session}""#) } else { String::new() };
    format!(
        r#"{{"event_name":"page_view","timestamp":"{now}","session_id":"s{session}"{user},"device_type":"mobile","country_code":"ES","properties":{{"n":{n},"page_url":"/p{}","duration_ms":{}}}}}"#,
        n % 20,
        n % 700
    )
}

/// Sends a value to a partition. Waits while the producer's queue is full.
pub(super) fn send(producer: &BaseProducer, partition: i32, value: &[u8]) {
    let mut record = BaseRecord::<[u8], [u8]>::to(TOPIC).partition(partition).payload(value);
    while let Err((error, unsent)) = producer.send(record) {
        let full = error.rdkafka_error_code() == Some(rdkafka::types::RDKafkaErrorCode::QueueFull);
        assert!(full, "{error}");
        producer.poll(Duration::from_millis(20));
        record = unsent;
    }
    producer.poll(Duration::ZERO);
}

/// Sends events to all partitions in turn, and waits until the brokers have them.
pub(super) fn produce(config: &ClientConfig, numbers: std::ops::Range<u64>) {
    let producer = producer(config);
    for n in numbers {
        send(&producer, i32::try_from(n % PARTITIONS as u64).unwrap(), event(n).as_bytes());
    }
    producer.flush(TIMEOUT).unwrap();
}

pub(super) fn lag(health: &v1::Health) -> Option<u64> {
    let partitions = &health.kafka.as_ref()?.partitions;
    let lags: Option<Vec<u64>> = partitions.iter().map(|partition| partition.lag_messages).collect();
    lags.filter(|lags| lags.len() == PARTITIONS as usize).map(|lags| lags.iter().sum())
}

/// Waits until this many events are in ClickHouse.
pub(super) async fn wait_for_events(server: &TestServer, events: u64) {
    let mut deadline = Instant::now() + TIMEOUT;
    let mut last = 0;
    loop {
        let stored = server.try_sql("SELECT count() FROM events").await;
        let stored = stored.ok().and_then(|count| count.parse().ok()).unwrap_or(last);
        if stored >= events {
            return;
        }
        if stored > last {
            (last, deadline) = (stored, Instant::now() + TIMEOUT);
        }
        assert!(Instant::now() < deadline, "{stored} of {events} events:\n{}", server.log());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Compares events and rollup with the numbers that were sent: 0 to `sent`.
pub(super) async fn assert_exact(server: &TestServer, sent: u64) {
    let counts = server
        .sql_numbers(
            "SELECT count(), uniqExact(JSONExtractUInt(properties, 'n')), max(JSONExtractUInt(properties, 'n')) FROM events",
        )
        .await;
    let (stored, distinct) = (counts[0], counts[1]);
    assert_eq!(
        (stored, sent - distinct, stored - distinct, counts[2]),
        (sent, 0, 0, sent - 1),
        "stored, lost, duplicated, last:\n{}",
        server.log()
    );
    // The rows of the rollup land after the events of their batch.
    let landed = "SELECT (SELECT count() FROM events) = (SELECT sum(events) FROM rollup WHERE step = 1 AND event_name = '')";
    let deadline = Instant::now() + TIMEOUT;
    while server.sql_numbers(landed).await != [1] && Instant::now() < deadline {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_rollup_matches_events(server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_of_all_partitions_become_events() {
    let kafka = KafkaCluster::start();
    kafka.create_topic(TOPIC, PARTITIONS, &[]).await;
    let folder = folder();
    produce(&kafka.client_config(), 0..20_000);
    let server = start(&kafka, &folder, &[]);
    wait_for_events(&server, 20_000).await;
    produce(&kafka.client_config(), 20_000..30_000);
    wait_for_events(&server, 30_000).await;
    assert_exact(&server, 30_000).await;
    assert_people_match_events(&server).await;
    let health = server.wait_for_health("without lag", |health| lag(health) == Some(0)).await;
    assert_eq!((health.status(), health.events_accepted, health.buffer_size), (Status::Ok, 30_000, 0));
    assert_eq!(server.sql("SELECT uniqExact(event_id), any(project) FROM events").await, "30000\tdefault");
}

/// What happens during a cycle.
#[derive(Clone, Copy, Debug)]
enum Fault {
    KillServer,
    StopServer,
    SuspendServer,
    KillEngine,
    KillBroker,
    SuspendBroker,
}

const FAULTS: [Fault; 6] = [
    Fault::KillServer,
    Fault::KillBroker,
    Fault::SuspendServer,
    Fault::KillEngine,
    Fault::StopServer,
    Fault::SuspendBroker,
];

/// `make kafka-test EVENTS=1000000`
#[tokio::test(flavor = "multi_thread")]
async fn each_message_is_stored_once_whatever_crashes() {
    let events = number("KAFKA_EVENTS", 120_000);
    let per_second = number("KAFKA_EVENTS_PER_SECOND", 4_000);
    let interval = Duration::from_secs(number("KAFKA_FAULT_SECONDS", 5));
    let seed = std::env::var("KAFKA_SEED").map_or_else(|_| rand::random(), |text| text.parse().unwrap());
    println!("KAFKA_SEED={seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let mut kafka = KafkaCluster::start();
    kafka.create_topic(TOPIC, PARTITIONS, &[]).await;
    let folder = folder();
    let mut server = start(&kafka, &folder, &[]);

    let (sent, stop) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
    let producing = {
        let (config, sent, stop) = (kafka.client_config(), Arc::clone(&sent), Arc::clone(&stop));
        tokio::task::spawn_blocking(move || {
            let producer = producer(&config);
            let mut random = StdRng::seed_from_u64(seed);
            let started = Instant::now();
            for n in 0..events {
                send(&producer, random.random_range(0..PARTITIONS), event(n).as_bytes());
                sent.store(n + 1, Relaxed);
                while started.elapsed().as_secs_f64() * (per_second as f64) < n as f64 && !stop.load(Relaxed)
                {
                    producer.poll(Duration::from_millis(5));
                }
            }
            producer.flush(TIMEOUT * 5).unwrap();
        })
    };
    let mut cycle = 0;
    while !producing.is_finished() {
        tokio::time::sleep(interval.mul_f64(random.random_range(0.5..1.5))).await;
        let fault = FAULTS[cycle % FAULTS.len()];
        cycle += 1;
        println!("cycle {cycle:3}  {:8} sent  {fault:?}", sent.load(Relaxed));
        match fault {
            Fault::KillServer => {
                drop(server);
                server = start(&kafka, &folder, &[]);
            }
            Fault::StopServer => {
                send_signal(server.pid(), "TERM");
                server.child.wait().unwrap();
                server = start(&kafka, &folder, &[]);
            }
            Fault::SuspendServer => {
                send_signal(server.pid(), "STOP");
                // Longer than the group waits for a member, and than a transaction may be open.
                tokio::time::sleep(Duration::from_secs(12)).await;
                send_signal(server.pid(), "CONT");
            }
            Fault::KillEngine => {
                // It may be restarting.
                if let Some(engine) = server.engine_pid() {
                    send_signal(engine, "KILL");
                }
            }
            Fault::KillBroker => {
                kafka.kill(0);
                kafka.restart(0);
            }
            Fault::SuspendBroker => {
                kafka.pause(0);
                tokio::time::sleep(Duration::from_secs(7)).await;
                kafka.resume(0);
            }
        }
    }
    producing.await.unwrap();
    wait_for_events(&server, events).await;
    server.wait_for_health("without lag", |health| lag(health) == Some(0) && health.buffer_size == 0).await;
    assert_exact(&server, events).await;
    assert_people_match_events(&server).await;
    println!("cycles {cycle}, events {events}, lost 0, duplicated 0");
}

/// Two servers on one ClickHouse. One of them is killed or suspended in turn, for longer than the group waits for it: the other
/// one takes its partitions over, and it is a zombie when it goes on.
#[tokio::test(flavor = "multi_thread")]
async fn servers_that_share_partitions_take_over_from_zombies() {
    let rounds = number("KAFKA_ROUNDS", 4);
    let kafka = KafkaCluster::start();
    kafka.create_topic(TOPIC, PARTITIONS, &[]).await;
    let (clickhouse_folder, address) = (tempfile::tempdir().unwrap(), free_address());
    let url = format!("http://{address}");
    let _clickhouse = TestClickHouse::start(&address, clickhouse_folder.path());
    let folders = [folder(), folder()];
    let start = |index: usize| start(&kafka, &folders[index], &[("CLICKHOUSE_URL", &url)]);
    let mut servers = [start(0), start(1)];
    let stop = Arc::new(AtomicBool::new(false));
    let producing = {
        let (config, stop) = (kafka.client_config(), Arc::clone(&stop));
        tokio::task::spawn_blocking(move || {
            let producer = producer(&config);
            let mut n = 0;
            while !stop.load(Relaxed) {
                for _ in 0..100 {
                    send(&producer, i32::try_from(n % PARTITIONS as u64).unwrap(), event(n).as_bytes());
                    n += 1;
                }
                std::thread::sleep(Duration::from_millis(50));
            }
            producer.flush(TIMEOUT).unwrap();
            n
        })
    };
    let owned = |health: &v1::Health| health.kafka.as_ref().map_or(0, |kafka| kafka.partitions.len());
    for round in 0..usize::try_from(rounds).unwrap() {
        for server in &servers {
            server.wait_for_health("an owner", |health| owned(health) == PARTITIONS as usize / 2).await;
        }
        let (faulty, other) = (round / 2 % 2, 1 - round / 2 % 2);
        println!("round {round}: {} is {}", faulty, if round % 2 == 0 { "suspended" } else { "killed" });
        match round % 2 {
            0 => send_signal(servers[faulty].pid(), "STOP"),
            _ => send_signal(servers[faulty].pid(), "KILL"),
        }
        servers[other].wait_for_health("the only owner", |health| owned(health) == PARTITIONS as usize).await;
        match round % 2 {
            0 => send_signal(servers[faulty].pid(), "CONT"),
            _ => servers[faulty] = start(faulty),
        }
    }
    stop.store(true, Relaxed);
    let sent = producing.await.unwrap();
    let server = &servers[0];
    name_engine(server, &url);
    wait_for_events(server, sent).await;
    for server in &servers {
        server
            .wait_for_health("without lag", |health| {
                let partitions = health.kafka.iter().flat_map(|kafka| &kafka.partitions);
                health.buffer_size == 0
                    && partitions.map(|partition| partition.lag_messages).all(|lag| lag == Some(0))
            })
            .await;
    }
    assert_exact(server, sent).await;
    println!("rounds {rounds}, events {sent}, lost 0, duplicated 0");
}

/// `make bench-kafka`
#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement"]
async fn rate_into_clickhouse() {
    let events = number("KAFKA_EVENTS", 1_000_000);
    let kafka = KafkaCluster::start();
    kafka.create_topic(TOPIC, PARTITIONS, &[]).await;
    produce(&kafka.client_config(), 0..events);
    let folder = folder();
    let server = start(&kafka, &folder, &[("MILLRACE_LOG", "info")]);
    wait_for_events(&server, 1).await;
    let (started, first) = (Instant::now(), server.sql_numbers("SELECT count() FROM events").await[0]);
    wait_for_events(&server, events).await;
    let elapsed = started.elapsed().as_secs_f64();
    println!(
        "{:.0} messages/s from {PARTITIONS} partitions into ClickHouse",
        (events - first) as f64 / elapsed
    );
    assert_exact(&server, events).await;
}

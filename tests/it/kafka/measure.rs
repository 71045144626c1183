//! Figures of docs/decisions/0014-kafka.md: `make bench-kafka`.

use std::time::{Duration, Instant};

use rdkafka::consumer::Consumer;

use super::broker::KafkaCluster;
use super::{commit, consumer_at, produce_events, producer, transactional_producer};
use crate::common::TIMEOUT;

#[tokio::test]
#[ignore = "a measurement"]
async fn rate_of_consumption() {
    const EVENTS: u64 = 1_000_000;
    let kafka = KafkaCluster::start();
    for compression in ["none", "lz4", "zstd"] {
        let mut config = kafka.client_config();
        kafka.create_topic(compression, 1, &[]).await;
        config.set("compression.type", compression);
        produce_events(&producer(&config), compression, 0, EVENTS);
        // The first fetches the metadata.
        for _ in 0..3 {
            let consumer = consumer_at(&config, &[(compression, 0, 0)]);
            let (started, cpu) = (Instant::now(), cpu_time());
            let mut bytes = 0;
            let mut read = 0;
            while read < EVENTS {
                let message = consumer.poll(TIMEOUT).unwrap().unwrap();
                bytes += message.payload_len();
                read += 1;
            }
            let (elapsed, cpu) = (started.elapsed().as_secs_f64(), (cpu_time() - cpu).as_secs_f64());
            println!(
                "{compression}: {:.0} messages/s of {} bytes, {:.2} s of processor time per million",
                EVENTS as f64 / elapsed,
                bytes as u64 / EVENTS,
                cpu * 1e6 / EVENTS as f64
            );
        }
    }
}

#[tokio::test]
#[ignore = "a measurement"]
async fn latency_of_seals() {
    const SEALS: usize = 500;
    for brokers in [1, 3] {
        let kafka = KafkaCluster::start_brokers(brokers);
        let config = kafka.client_config();
        kafka.create_topic("seals", 1, &[("cleanup.policy", "compact")]).await;
        let started = Instant::now();
        let seals = transactional_producer(&config, "millrace-events-0");
        println!("{brokers} brokers: the first init_transactions took {:.0?}", started.elapsed());
        let started = Instant::now();
        let seals = {
            drop(seals);
            transactional_producer(&config, "millrace-events-0")
        };
        println!("{brokers} brokers: a take-over took {:.0?}", started.elapsed());
        for pause in [0, 100] {
            let cpu = cpu_time();
            let mut latencies: Vec<Duration> = (0..SEALS / if pause == 0 { 1 } else { 5 })
                .map(|number| {
                    std::thread::sleep(Duration::from_millis(pause));
                    let started = Instant::now();
                    commit(&seals, "seals", &format!("{number:0100}")).unwrap();
                    started.elapsed()
                })
                .collect();
            let cpu = (cpu_time() - cpu) / u32::try_from(latencies.len()).unwrap();
            latencies.sort_unstable();
            let quantile = |share: f64| latencies[(latencies.len() as f64 * share) as usize];
            println!(
                "{brokers} brokers, {pause} ms between: p50 {:.1?} p99 {:.1?} max {:.1?}, {cpu:.1?} of processor time each",
                quantile(0.5),
                quantile(0.99),
                latencies[latencies.len() - 1],
            );
        }
    }
}

#[tokio::test]
#[ignore = "a measurement"]
async fn latency_of_topic_ids() {
    let kafka = KafkaCluster::start();
    let consumer = consumer_at(&kafka.client_config(), &[]);
    kafka.create_topic("events", 1, &[]).await;
    let ids = || millrace::internals::kafka::topic_ids(consumer.client(), &["events"], TIMEOUT).unwrap();
    ids();
    let mut latencies: Vec<Duration> = (0..500)
        .map(|_| {
            let started = Instant::now();
            ids();
            started.elapsed()
        })
        .collect();
    latencies.sort_unstable();
    println!("p50 {:.1?} p99 {:.1?}", latencies[250], latencies[495]);
}

/// Each partition has a producer of its own.
#[tokio::test]
#[ignore = "a measurement"]
async fn cost_of_producers() {
    const PARTITIONS: u64 = 50;
    let kafka = KafkaCluster::start();
    let config = kafka.client_config();
    kafka.create_topic("seals", 1, &[]).await;
    let (threads, memory) = (proc_status("Threads:"), proc_status("VmRSS:"));
    let started = Instant::now();
    let producers: Vec<_> = (0..PARTITIONS)
        .map(|partition| {
            let producer = transactional_producer(&config, &format!("millrace-events-{partition}"));
            commit(&producer, "seals", "first").unwrap();
            producer
        })
        .collect();
    let each = started.elapsed() / u32::try_from(PARTITIONS).unwrap();
    println!(
        "each of {PARTITIONS} producers: {:.1} threads, {} KiB, first commit after {each:.1?}",
        (proc_status("Threads:") - threads) as f64 / PARTITIONS as f64,
        (proc_status("VmRSS:") - memory) / PARTITIONS,
    );
    drop(producers);
}

/// A number of this process's status.
fn proc_status(field: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(field)).unwrap();
    line.split_whitespace().next().unwrap().parse().unwrap()
}

/// Processor time of this process.
fn cpu_time() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    let ticks: u64 = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
    Duration::from_millis(ticks * 10)
}

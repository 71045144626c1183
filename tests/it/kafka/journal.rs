//! Kafka as the journal: a server that is lost with its disk loses no acknowledged event.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use millrace_client::proto::v1;
use millrace_client::{Producer, ProducerConfig};
use rdkafka::producer::{BaseRecord, Producer as _};
use tempfile::TempDir;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tonic::Code;
use v1::Status;

use super::broker::KafkaCluster;
use super::producer;
use super::source::{folder, number, wait_for_events};
use crate::common::{
    TIMEOUT, TestClickHouse, TestServer, event, events_request, free_address, http_request, send_signal,
};
use crate::replicas::name_engine;
use crate::rollup_assertions::assert_rollup_matches_events;

const PRODUCERS: u64 = 4;

/// A server whose journal is in Kafka.
fn start(kafka: &KafkaCluster, folder: &Arc<TempDir>, more: &[(&str, &str)]) -> TestServer {
    let brokers = kafka.addresses();
    let mut settings = vec![
        ("KAFKA_BROKERS", brokers.as_str()),
        ("MILLRACE_JOURNAL", "kafka"),
        ("MILLRACE_LOG", "info,millrace::kafka=debug,millrace::writer=debug"),
    ];
    settings.extend_from_slice(more);
    TestServer::start_on(Arc::clone(folder), &settings)
}

/// A proxy in front of the servers that sends all connections to one of them.
struct Proxy {
    address: String,
    server: watch::Sender<String>,
}

impl Proxy {
    async fn start(server: &TestServer) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (server, target) = watch::channel(server.address.clone());
        tokio::spawn(async move {
            while let Ok((mut client, _)) = listener.accept().await {
                let mut target = target.clone();
                tokio::spawn(async move {
                    let address = target.borrow_and_update().clone();
                    let Ok(mut server) = TcpStream::connect(address).await else { return };
                    tokio::select! {
                        // Either end has closed it.
                        _ = copy_bidirectional(&mut client, &mut server) => {}
                        _ = target.changed() => {}
                    }
                });
            }
        });
        Self { address, server }
    }

    /// Ends all connections; the next ones lead to this server.
    fn lead_to(&self, server: &TestServer) {
        self.server.send_replace(server.address.clone());
    }
}

/// An event of a producer, with an id. Each has a session of its own, and several share a user.
fn numbered_event(producer: u64, n: u64) -> v1::Event {
    let id = uuid::Uuid::new_v5(&uuid::Uuid::NAMESPACE_OID, format!("{producer}/{n}").as_bytes());
    v1::Event {
        session_id: format!("{producer}/{}", n / 7),
        user_id: (!n.is_multiple_of(3)).then(|| format!("user {}", n / 21)),
        event_id: Some(id.to_string()),
        properties_kind: Some(v1::event::PropertiesKind::PropertiesJson(format!(r#"{{"n":{n}}}"#))),
        ..event("page_view")
    }
}

/// Sends events until `stop`, then waits until all are acknowledged. Returns how many there are.
async fn send_until_stopped(number: u64, producer: Producer, rate: u64, stop: Arc<AtomicBool>) -> u64 {
    let mut tick = tokio::time::interval(Duration::from_millis(10));
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
    let mut next = 0;
    while !stop.load(Relaxed) {
        tick.tick().await;
        for _ in 0..rate {
            producer.send(numbered_event(number, next)).await.unwrap();
            next += 1;
        }
    }
    assert_eq!(producer.close().await.unwrap().acknowledged, next);
    next
}

async fn send(proxy: &Proxy, rate: u64, stop: &Arc<AtomicBool>) -> Vec<tokio::task::JoinHandle<u64>> {
    let mut sending = Vec::new();
    for number in 0..PRODUCERS {
        let config = ProducerConfig::new(format!("http://{}", proxy.address));
        let producer = config.producer_id(format!("producer {number}")).connect().await.unwrap();
        sending.push(tokio::spawn(send_until_stopped(number, producer, rate, Arc::clone(stop))));
    }
    sending
}

/// Waits until ClickHouse has these events and nothing else, each once.
async fn wait_until_exact(server: &TestServer, events: u64) {
    let counts = "SELECT count(), uniqExact(given_event_id), \
        (SELECT countIf(create_table_query LIKE '%inserts_wait%') FROM system.tables) FROM events";
    let (mut deadline, mut last) = (Instant::now() + TIMEOUT, Vec::new());
    loop {
        let found = server.sql_numbers(counts).await;
        if found == [events, events, 0] {
            break;
        }
        if found != last {
            (last, deadline) = (found, Instant::now() + TIMEOUT);
        }
        assert!(Instant::now() < deadline, "{last:?} instead of {events}:\n{}", server.log());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    // The rows of the rollup land after the events of their batch.
    let landed = "SELECT (SELECT count() FROM events) = (SELECT sum(events) FROM rollup WHERE step = 1 AND event_name = '')";
    let deadline = Instant::now() + TIMEOUT;
    while server.sql_numbers(landed).await != [1] && Instant::now() < deadline {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_rollup_matches_events(server).await;
}

fn landed(health: &v1::Health) -> bool {
    let partitions = health.kafka.iter().flat_map(|kafka| &kafka.partitions);
    health.buffer_size == 0 && partitions.map(|partition| partition.lag_messages).all(|lag| lag == Some(0))
}

#[tokio::test(flavor = "multi_thread")]
async fn received_events_are_in_clickhouse_once() {
    let kafka = KafkaCluster::start();
    let folder = folder();
    let server = start(&kafka, &folder, &[]);
    let proxy = Proxy::start(&server).await;
    let stop = Arc::new(AtomicBool::new(false));
    let sending = send(&proxy, 5, &stop).await;
    let goal = number("KAFKA_EVENTS", 20_000);
    server.wait_for_health("many events", |health| health.events_accepted >= goal / 4).await;
    stop.store(true, Relaxed);
    let mut sent = 0;
    for sending in sending {
        sent += sending.await.unwrap();
    }
    wait_until_exact(&server, sent).await;
    let health = server.wait_for_health("landed", landed).await;
    assert_eq!((health.status(), health.events_accepted, health.events_inserted), (Status::Ok, sent, sent));
    // Requests without a producer.
    let mut ingest = server.ingest().await;
    let known = numbered_event(9, 0);
    let request = events_request(vec![known.clone(), v1::Event::default(), event("page_view")]);
    let response = ingest.send_events(request).await.unwrap().into_inner();
    assert_eq!((response.accepted, response.duplicates, response.rejected), (2, 0, 1));
    let again = events_request(vec![known]);
    let response = ingest.send_events(again.clone()).await.unwrap().into_inner();
    assert_eq!((response.accepted, response.duplicates), (0, 1));
    let (status, log) = server.stop();
    assert!(status.success() && log.contains("every accepted event is in Kafka"), "{log}");
    // The next process is another server for producers, and inserts what is left.
    let server = start(&kafka, &folder, &[]);
    let request = v1::GetProducerRequest { producer_id: "producer 0".to_owned() };
    let producer = server.ingest().await.get_producer(request).await.unwrap().into_inner();
    let folder_id = std::fs::read_to_string(server.data_dir().join("server_id")).unwrap();
    assert!(!producer.known && producer.server_id != folder_id.trim(), "{producer:?}");
    wait_for_events(&server, sent + 2).await;
    // It does not know the ids of the first one. A client that cannot tell the two apart sends again.
    assert_eq!(server.ingest().await.send_events(again).await.unwrap().into_inner().accepted, 1);
    server.wait_for_health("inserted", |health| landed(health) && health.events_inserted > 0).await;
    let counts = "SELECT count(), countIf(notEmpty(given_event_id)) FROM events";
    let deadline = Instant::now() + TIMEOUT;
    while server.sql_numbers(counts).await != [sent + 2, sent + 1] {
        assert!(Instant::now() < deadline, "{}", server.log());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_that_would_lose_events_is_refused() {
    let kafka = KafkaCluster::start();
    for (topic, setting, value) in
        [("compacted", "cleanup.policy", "compact"), ("small", "max.message.bytes", "1000000")]
    {
        kafka.create_topic(topic, 1, &[(setting, value)]).await;
        let reason = &format!("{setting}={value}");
        let server = start(&kafka, &folder(), &[("KAFKA_JOURNAL_TOPIC", topic)]);
        let health = server.wait_for_health(reason, |health| health.summary.contains(reason)).await;
        assert_eq!(health.status(), Status::Down);
        let status = status_of_call(&server, 0).await;
        assert!(status.code() == Code::ResourceExhausted && status.message().contains(reason), "{status}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_kafka_refuses_ends_the_process() {
    let kafka = KafkaCluster::start();
    let mut server = start(&kafka, &folder(), &[]);
    let request = |n| events_request(vec![numbered_event(0, n)]);
    server.ingest().await.send_events(request(0)).await.unwrap();
    kafka.delete_topic("millrace-journal").await;
    // The client gives the topic half a minute to be known again.
    let mut ingest = server.ingest().await;
    assert!(ingest.send_events(request(1)).await.is_err());
    let status = tokio::task::block_in_place(|| server.wait());
    let log = server.log();
    assert!(!status.success(), "{log}");
    let line = "the Kafka journal task ended unexpectedly (Kafka refuses a message of the journal (topic millrace-journal)";
    assert!(log.contains(line), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_of_the_journal_is_listed_and_does_not_hold_back_the_others() {
    let kafka = KafkaCluster::start();
    kafka.create_topic("millrace-journal", 1, &[("max.message.bytes", "17825792")]).await;
    let server = start(&kafka, &folder(), &[]);
    let send = async |n| {
        let request = events_request(vec![numbered_event(0, n)]);
        server.ingest().await.send_events(request).await.unwrap();
    };
    send(0).await;
    let config = kafka.client_config();
    tokio::task::block_in_place(|| {
        let producer = producer(&config);
        let record = BaseRecord::<str, [u8]>::to("millrace-journal").payload(b"{}");
        producer.send(record).map_err(|(error, _)| error).unwrap();
        producer.flush(TIMEOUT).unwrap();
    });
    send(1).await;
    wait_until_exact(&server, 2).await;
    server.wait_for_health("one rejected", |health| health.events_rejected == 1).await;
    let (_, body) = http_request(&server, "GET", "/api/events/rejected?limit=10", "text/plain", b"");
    let body = String::from_utf8(body).unwrap();
    assert!(body.contains("is not one of the journal") && body.contains("offset 1)"), "{body}");
}

/// Two servers on one ClickHouse, behind a proxy that moves producers between them. They are killed in turn, with their disk, and so is
/// the broker.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_lost_with_its_disk_loses_no_acknowledged_event() {
    let goal = number("KAFKA_EVENTS", 20_000);
    let mut kafka = KafkaCluster::start();
    let (clickhouse_folder, address) = (tempfile::tempdir().unwrap(), free_address());
    let url = format!("http://{address}");
    let _clickhouse = TestClickHouse::start(&address, clickhouse_folder.path());
    let mut servers = [0, 1].map(|_| start(&kafka, &folder(), &[("CLICKHOUSE_URL", &url)]));
    let proxy = Proxy::start(&servers[0]).await;
    let stop = Arc::new(AtomicBool::new(false));
    let sending = send(&proxy, 3, &stop).await;
    let mut accepted = 0;
    for round in 0.. {
        let (used, other) = (round % 2, (round + 1) % 2);
        // Some of it is not acknowledged yet when the fault comes.
        let before = servers[used].health().await.events_accepted;
        let more = |health: &v1::Health| health.events_accepted >= before + goal / 8;
        let health = servers[used].wait_for_health("more events", more).await;
        accepted += health.events_accepted - before;
        if round >= 3 && accepted >= goal {
            break;
        }
        println!("round {round}: {accepted} events");
        match round % 3 {
            // The server is killed, and begins again without anything.
            0 => {
                send_signal(servers[used].pid(), "KILL");
                proxy.lead_to(&servers[other]);
                servers[used] =
                    tokio::task::block_in_place(|| start(&kafka, &folder(), &[("CLICKHOUSE_URL", &url)]));
            }
            // It lives, and still has what it has not written: the broker is away.
            1 => {
                tokio::task::block_in_place(|| kafka.kill(0));
                proxy.lead_to(&servers[other]);
                tokio::task::block_in_place(|| kafka.restart(0));
            }
            _ => proxy.lead_to(&servers[other]),
        }
    }
    stop.store(true, Relaxed);
    let mut sent = 0;
    for sending in sending {
        sent += sending.await.unwrap();
    }
    name_engine(&servers[0], &url);
    wait_until_exact(&servers[0], sent).await;
    for server in &servers {
        server.wait_for_health("landed", landed).await;
    }
    println!("events {sent}, lost 0, duplicated 0");
}

/// What a unary call gets while Kafka is away.
async fn status_of_call(server: &TestServer, n: u64) -> tonic::Status {
    let mut ingest = server.ingest().await;
    ingest.send_events(events_request(vec![numbered_event(9, n)])).await.unwrap_err()
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_brokers_are_away_streams_wait_and_calls_are_told_to_retry() {
    let mut kafka = KafkaCluster::start();
    let folder = folder();
    let server = start(&kafka, &folder, &[]);
    let proxy = Proxy::start(&server).await;
    let stop = Arc::new(AtomicBool::new(false));
    let sending = send(&proxy, 1, &stop).await;
    server.wait_for_health("accepting", |health| health.events_accepted > 100).await;
    kafka.kill(0);
    // This one waits for Kafka, or is rejected: the streams have written to it meanwhile.
    let waited = status_of_call(&server, 0).await;
    assert!(matches!(waited.code(), Code::Unavailable | Code::ResourceExhausted), "{waited}");
    assert!(waited.message().contains("Kafka has confirmed nothing"), "{waited}");
    let health = server.wait_for_health("down", |health| health.status() == Status::Down).await;
    assert!(health.summary.contains("Kafka has confirmed nothing"), "{}", health.summary);
    assert!(health.summary.contains("Connection refused"), "{}", health.summary);
    let asked = Instant::now();
    let rejected = status_of_call(&server, 1).await;
    assert_eq!(rejected.code(), Code::ResourceExhausted, "{rejected}");
    assert!(rejected.message().contains("retry the same request"), "{rejected}");
    assert!(asked.elapsed() < Duration::from_secs(4), "it does not wait");
    kafka.restart(0);
    server.wait_for_health("ok", |health| health.status() == Status::Ok).await;
    let accepted = server.health().await.events_accepted;
    server.wait_for_health("going on", |health| health.events_accepted > accepted + 100).await;
    stop.store(true, Relaxed);
    let mut sent = 0;
    for sending in sending {
        let totals = sending.await.unwrap();
        sent += totals;
    }
    // The first call is stored, too, if it was not rejected.
    let stored = sent + u64::from(waited.code() == Code::Unavailable);
    wait_until_exact(&server, stored).await;
}

//! Two servers behind the shipped Envoy, one of which is killed under load and started again.
//!
//! `make failover-test ROUNDS=10` runs many rounds; the default is two, so that producers move to the other server and back.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use millrace_client::{Producer, ProducerConfig, Totals, proto::v1};
use tempfile::TempDir;
use tonic::transport::Channel;
use v1::event::PropertiesKind;
use v1::ingest_service_client::IngestServiceClient;

use crate::common::{TIMEOUT, TestClickHouse, TestServer, event, events_request, free_address};
use crate::envoy::Envoy;
use crate::replicas::name_engine;
use crate::rollup_assertions::assert_rollup_matches_events;
use crate::several_servers::COUNTS;

const PRODUCERS: usize = 6;
/// Events that each producer sends every 10 ms.
const EVENTS_PER_TICK: u64 = 5;
/// The session of the sender of single requests.
const UNARY: &str = "unary";

fn rounds() -> usize {
    std::env::var("FAILOVER_ROUNDS").map_or(2, |text| text.parse().expect("FAILOVER_ROUNDS is a number"))
}

/// A server with a fixed address and a data folder of its own.
struct Member {
    address: String,
    folder: Arc<TempDir>,
    /// Of a ClickHouse that both use; empty for one of its own.
    clickhouse_url: String,
    server: Option<TestServer>,
}

impl Member {
    fn start() -> Self {
        Self::start_with("")
    }

    fn start_with(clickhouse_url: &str) -> Self {
        let folder = Arc::new(tempfile::tempdir().unwrap());
        let clickhouse_url = clickhouse_url.to_owned();
        let mut member = Self { address: free_address(), folder, clickhouse_url, server: None };
        member.start_again();
        member
    }

    fn start_again(&mut self) {
        let env = [
            ("MILLRACE_LISTEN", self.address.as_str()),
            ("MILLRACE_LOG", "info"),
            ("CLICKHOUSE_URL", self.clickhouse_url.as_str()),
        ];
        self.server = Some(TestServer::start_on(Arc::clone(&self.folder), &env));
    }

    fn kill(&mut self) {
        self.server = None; // kill -9
    }

    fn server(&self) -> &TestServer {
        self.server.as_ref().unwrap()
    }

    async fn knows(&self, producer_id: &str) -> bool {
        let request = v1::GetProducerRequest { producer_id: producer_id.into() };
        self.server().ingest().await.get_producer(request).await.unwrap().into_inner().known
    }
}

/// The config of a producer whose requests go through Envoy.
fn config(envoy: &Envoy, producer_id: &str) -> ProducerConfig {
    let ca = std::fs::read(envoy.file("tls.crt")).unwrap();
    ProducerConfig::new(format!("https://{}", envoy.address)).producer_id(producer_id).ca_certificate(ca)
}

/// A numbered event. Those of even producers and of single requests have ids.
fn numbered_event(session: &str, n: u64) -> v1::Event {
    let with_id = session == UNARY || session.ends_with(['0', '2', '4']);
    let name = format!("{session}/{n}");
    v1::Event {
        session_id: session.to_owned(),
        event_id: with_id
            .then(|| uuid::Uuid::new_v5(&uuid::Uuid::NAMESPACE_OID, name.as_bytes()).to_string()),
        properties_kind: Some(PropertiesKind::PropertiesJson(format!(r#"{{"n":{n}}}"#))),
        ..event("page_view")
    }
}

/// Sends numbered events until `stop`, then waits until all are acknowledged. Returns the next number.
async fn send_until_stopped(producer: Producer, mut next: u64, stop: Arc<AtomicBool>) -> u64 {
    let mut tick = tokio::time::interval(Duration::from_millis(10));
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
    while !stop.load(Relaxed) {
        tick.tick().await;
        for _ in 0..EVENTS_PER_TICK {
            producer.send(numbered_event(producer.id(), next)).await.unwrap();
            next += 1;
        }
    }
    let totals = producer.flush().await.unwrap();
    assert_eq!((totals.acknowledged, totals.rejected), (next, 0), "{totals:?}");
    next
}

/// Sends one event after the other in single requests until `stop`; each again until it is acknowledged. Returns the next
/// number.
async fn send_single_requests(channel: Channel, mut next: u64, stop: Arc<AtomicBool>) -> u64 {
    let mut ingest = IngestServiceClient::new(channel);
    let mut tick = tokio::time::interval(Duration::from_millis(10));
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
    while !stop.load(Relaxed) {
        tick.tick().await;
        let event = numbered_event(UNARY, next);
        let since = Instant::now();
        let mut request = events_request(vec![event]);
        while let Err(status) = ingest.send_events(request.clone()).await {
            // The next attempt may come to the other server.
            request.sent_to_another_server = true;
            // INTERNAL: the server died in the middle of its response.
            let is_temporary = matches!(status.code(), tonic::Code::Unavailable | tonic::Code::Internal);
            assert!(is_temporary, "{status}");
            assert!(since.elapsed() < TIMEOUT, "{status}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        next += 1;
    }
    next
}

/// Waits until every producer has got further acknowledgements.
async fn wait_for_progress(producers: &[Producer], envoy: &Envoy) {
    let acknowledged = |producer: &Producer| producer.totals().acknowledged;
    let before: Vec<u64> = producers.iter().map(acknowledged).collect();
    let deadline = Instant::now() + TIMEOUT;
    for (producer, before) in producers.iter().zip(before) {
        while acknowledged(producer) < before + 20 * EVENTS_PER_TICK {
            let totals = producer.totals();
            assert!(Instant::now() < deadline, "{} stands still: {totals:?}\n{}", producer.id(), envoy.log());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

/// The copies of each event, by session and number, on all servers.
async fn stored_copies(members: &[Member]) -> HashMap<(String, u64), u64> {
    let mut copies = HashMap::new();
    for member in members {
        let server = member.server();
        server.wait_until_landed().await;
        let rows = server.sql("SELECT session_id, JSONExtractUInt(properties, 'n') FROM events").await;
        for row in rows.lines() {
            let (session, n) = row.split_once('\t').unwrap();
            *copies.entry((session.to_owned(), n.parse().unwrap())).or_default() += 1;
        }
        let ids = "SELECT count(), uniqExact(given_event_id) FROM events WHERE notEmpty(given_event_id)";
        let ids = server.sql_numbers(ids).await;
        assert_eq!(ids[0], ids[1], "an event id is stored twice on {}", member.address);
    }
    copies
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_acknowledged_is_missing_when_one_of_two_servers_is_killed() {
    kill_in_turn([Member::start(), Member::start()], async |members| stored_copies(members).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_with_an_id_counts_once_when_its_producer_moves_between_servers_of_one_clickhouse() {
    let folder = tempfile::tempdir().unwrap();
    let address = free_address();
    let url = format!("http://{address}");
    let _clickhouse = TestClickHouse::start(&address, folder.path());
    let members = [Member::start_with(&url), Member::start_with(&url)];
    kill_in_turn(members, async |members| {
        for member in members {
            member.server().wait_until_landed().await;
        }
        let server = members[0].server();
        name_engine(server, &url);
        // Copies are deleted after they have landed, and then the rollup is recomputed.
        let ids = format!("{COUNTS} WHERE notEmpty(given_event_id)");
        let deadline = Instant::now() + 2 * TIMEOUT;
        loop {
            let counts = server.sql_numbers(&ids).await;
            if counts[0] == counts[1] && counts[2] == 0 {
                break;
            }
            assert!(Instant::now() < deadline, "copies are left: {counts:?}\n{}", server.log());
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        assert_rollup_matches_events(server).await;
        // Each has the figures of both.
        let mut figures = Vec::new();
        // Not one that was asked before.
        let question = jiff::Timestamp::now().as_millisecond();
        let sql = format!("SELECT sum(events), {question} FROM rollup WHERE step = 1 AND event_name = ''");
        for member in members {
            let request = v1::QuerySqlRequest { sql: sql.clone(), ..Default::default() };
            let response = member.server().dashboard().await.query_sql(request).await.unwrap().into_inner();
            figures.push(response.frame.unwrap().columns);
        }
        assert_eq!(figures[0], figures[1]);
        let statement =
            "SELECT session_id, JSONExtractUInt(properties, 'n'), count() FROM events GROUP BY ALL";
        let rows = server.sql(statement).await;
        let copies = rows.lines().map(|row| {
            let [session, n, copies] = row.split('\t').collect::<Vec<_>>().try_into().unwrap();
            ((session.to_owned(), n.parse().unwrap()), copies.parse().unwrap())
        });
        copies.collect()
    })
    .await;
}

/// Kills one of the two under load and starts it again, in turn. `stored_copies` are those of each event after a round.
async fn kill_in_turn(
    mut members: [Member; 2],
    stored_copies: impl AsyncFn(&[Member]) -> HashMap<(String, u64), u64>,
) {
    let envoy = Envoy::start(&members.each_ref().map(|member| member.address.as_str()));
    envoy.wait_until_healthy(2).await;
    let mut producers = Vec::new();
    for number in 0..PRODUCERS {
        producers.push(config(&envoy, &format!("producer-{number}")).connect().await.unwrap());
    }
    let channel = config(&envoy, UNARY).endpoint().unwrap().connect_lazy();
    let mut sent: HashMap<String, u64> = HashMap::new();
    for round in 1..=rounds() {
        let stop = Arc::new(AtomicBool::new(false));
        let mut sending = Vec::new();
        for producer in &producers {
            let next = sent.get(producer.id()).copied().unwrap_or(0);
            let task = send_until_stopped(producer.clone(), next, Arc::clone(&stop));
            sending.push((producer.id().to_owned(), tokio::spawn(task)));
        }
        let next = sent.get(UNARY).copied().unwrap_or(0);
        let single = send_single_requests(channel.clone(), next, Arc::clone(&stop));
        sending.push((UNARY.to_owned(), tokio::spawn(single)));

        wait_for_progress(&producers, &envoy).await;
        let killed = &mut members[round % 2];
        let killed_at = Instant::now();
        tokio::task::block_in_place(|| killed.kill());
        wait_for_progress(&producers, &envoy).await;
        let resumed_after = killed_at.elapsed();
        tokio::task::block_in_place(|| killed.start_again());
        envoy.wait_until_healthy(2).await;
        wait_for_progress(&producers, &envoy).await;
        stop.store(true, Relaxed);
        for (session, task) in sending {
            sent.insert(session, task.await.unwrap());
        }

        let copies = stored_copies(&members).await;
        let missing: Vec<_> = sent
            .iter()
            .flat_map(|(session, next)| (0..*next).map(move |n| (session.clone(), n)))
            .filter(|event| !copies.contains_key(event))
            .collect();
        let additional: u64 =
            copies.iter().filter(|((session, _), _)| session != UNARY).map(|(_, copies)| copies - 1).sum();
        let sum = |count: fn(&Totals) -> u64| -> u64 {
            producers.iter().map(|producer| count(&producer.totals())).sum()
        };
        let possible = sum(|totals| totals.possible_duplicates);
        println!(
            "round {round:2}  acknowledged {}  missing {}  stored by both {additional} of at most {possible}  reconnects {}  \
             renumbered {}  all go on after {resumed_after:.1?}",
            sent.values().sum::<u64>(),
            missing.len(),
            sum(|totals| totals.reconnects),
            sum(|totals| totals.renumbered),
        );
        assert!(missing.is_empty(), "{:?}", &missing[..missing.len().min(10)]);
        assert!(additional <= possible);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_producer_stays_with_its_server() {
    const CONNECTIONS: u64 = 3;
    let members = [Member::start(), Member::start()];
    let envoy = Envoy::start(&members.each_ref().map(|member| member.address.as_str()));
    envoy.wait_until_healthy(2).await;
    let mut by_server = [0, 0];
    // With random addresses, all of them hash to one server once in 2^31 runs.
    for number in 0..32 {
        let id = format!("producer-{number}");
        for connection in 0..CONNECTIONS {
            let producer = config(&envoy, &id).connect().await.unwrap();
            producer.send(numbered_event(&id, connection)).await.unwrap();
            assert_eq!(producer.close().await.unwrap().accepted, 1);
        }
        let known = [members[0].knows(&id).await, members[1].knows(&id).await];
        assert_ne!(known[0], known[1], "{id}");
        by_server[usize::from(known[1])] += 1;
    }
    assert!(by_server[0] > 0 && by_server[1] > 0, "{by_server:?}");
}

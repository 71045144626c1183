//! Throughput from a client to rows that can be queried, and what it costs.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use crate::Settings;
use crate::ceiling::Ceiling;
use crate::common::TestServer;
use crate::figures::Figures;
use crate::process::{CpuSeconds, memory_mb};
use crate::traffic::{EVENTS_PER_REQUEST, Sample, engine_client, generate_to, start_server};

/// Connections of `POST /events` and SendEvents.
const CONNECTIONS: usize = 8;

/// The runs of one scenario.
#[derive(Default)]
struct Runs {
    rate: Vec<f64>,
    client: Vec<f64>,
    server: Vec<f64>,
    engine: Vec<f64>,
    total: Vec<f64>,
    server_memory: Vec<f64>,
    engine_memory: Vec<f64>,
}

impl Runs {
    /// Sends events, and waits until all can be queried.
    async fn measure(&mut self, server: &TestServer, load: impl Future<Output = u64>) {
        let before = server.sql_numbers("SELECT count() FROM events").await[0];
        let (cpu, started_at) = (CpuSeconds::now(server), Instant::now());
        let sent = load.await;
        server.wait_until_landed().await;
        let seconds = started_at.elapsed().as_secs_f64();
        let cpu = CpuSeconds::now(server).since(cpu);
        let stored = server.sql_numbers("SELECT count() FROM events").await[0] - before;
        assert_eq!(stored, sent, "every event can be queried");
        self.add(sent, seconds, cpu);
        self.server_memory.push(memory_mb(server.pid(), "VmHWM"));
        self.engine_memory.push(memory_mb(server.engine_pid().unwrap(), "VmHWM"));
    }

    fn add(&mut self, events: u64, seconds: f64, cpu: CpuSeconds) {
        let millions = events as f64 / 1e6;
        self.rate.push(events as f64 / seconds);
        self.client.push(cpu.client / millions);
        self.server.push(cpu.server / millions);
        self.engine.push(cpu.engine / millions);
        self.total.push(cpu.total() / millions);
    }

    fn report(self, name: &str, figures: &mut Figures) {
        figures.add(name, "events/s", self.rate);
        for (part, runs) in
            [("client", self.client), ("server", self.server), ("engine", self.engine), ("all", self.total)]
        {
            figures.add(format!("{name}: {part}"), "CPU-s/M", runs);
        }
        for (part, runs) in [("server", self.server_memory), ("engine", self.engine_memory)] {
            if !runs.is_empty() {
                figures.add(format!("{name}: peak memory, {part}"), "MB", runs);
            }
        }
    }
}

/// Every scenario once per run, so that what disturbs a run disturbs all of them.
pub(crate) async fn measure(settings: &Settings, figures: &mut Figures) {
    let mut ceiling = Ceiling::prepare().await;
    let sample = {
        let server = start_server();
        generated(&server, 1, 200_000).await;
        server.wait_until_landed().await;
        Arc::new(Sample::read(&server).await)
    };
    let mut grpc = [1, 4, 16].map(|producers| (producers, Runs::default()));
    let (mut post, mut send, mut node) = (Runs::default(), Runs::default(), Runs::default());
    for run in 0..settings.runs {
        ceiling.run(settings.events).await;
        for (producers, runs) in &mut grpc {
            let server = start_server();
            runs.measure(&server, generated(&server, *producers, settings.events)).await;
            if *producers == 4 && run == 0 {
                bytes_per_event(&server, figures).await;
            }
        }
        let server = start_server();
        post.measure(&server, posted(server.address.clone(), &sample, settings.events)).await;
        drop(server);
        let server = start_server();
        send.measure(&server, sent_with_send_events(&server, &sample, settings.events)).await;
        drop(server);
        measure_node(&mut node, &sample, settings.events).await;
    }
    ceiling.report(figures);
    for (producers, runs) in grpc {
        let name = grpc_name(producers);
        runs.report(&name, figures);
        figures.add_ratio(format!("{name} over ceiling"), &name, "ceiling");
    }
    post.report("POST /events", figures);
    send.report("SendEvents", figures);
    node.report("Node service", figures);
    figures.add_ratio("POST /events over Node service", "POST /events", "Node service");
}

fn grpc_name(producers: u64) -> String {
    format!("gRPC, {producers} producer{}", if producers == 1 { "" } else { "s" })
}

/// Events of the last hour from several processes of `millrace generate`. Returns their number.
async fn generated(server: &TestServer, producers: u64, events: u64) -> u64 {
    generated_to(&server.url(), &[], producers, events).await
}

/// The same for a URL, with more arguments.
pub(crate) async fn generated_to(url: &str, arguments: &[&str], producers: u64, events: u64) -> u64 {
    let count = events / producers;
    let mut processes = JoinSet::new();
    for seed in 1..=producers {
        let (count, seed) = (count.to_string(), seed.to_string());
        let mut command = generate_to(url, &[&["--count", &count, "--seed", &seed], arguments].concat());
        processes.spawn(async move { command.status().await.unwrap() });
    }
    for status in processes.join_all().await {
        assert!(status.success(), "millrace generate: {status}");
    }
    count * producers
}

/// Sends the sample repeatedly over HTTP/1.1. Returns the number of events.
async fn posted(address: String, sample: &Arc<Sample>, events: u64) -> u64 {
    let requests = events as usize / EVENTS_PER_REQUEST;
    let next = Arc::new(AtomicUsize::new(0));
    let mut connections = JoinSet::new();
    for _ in 0..CONNECTIONS {
        let (address, sample, next) = (address.clone(), Arc::clone(sample), Arc::clone(&next));
        connections.spawn_blocking(move || {
            let mut connection = HttpConnection::open(&address);
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= requests {
                    return;
                }
                connection.post(&sample.bodies[number % sample.bodies.len()]);
            }
        });
    }
    connections.join_all().await;
    (requests * EVENTS_PER_REQUEST) as u64
}

/// A connection that is kept open. It does no more than it must, since it takes CPU from the server.
struct HttpConnection {
    stream: BufReader<TcpStream>,
    address: String,
}

impl HttpConnection {
    fn open(address: &str) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        Self { stream: BufReader::new(stream), address: address.to_owned() }
    }

    /// Posts events, until the server has space for them.
    fn post(&mut self, body: &[u8]) {
        loop {
            let head = format!(
                "POST /events HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
                self.address,
                body.len()
            );
            let stream = self.stream.get_mut();
            stream.write_all(head.as_bytes()).unwrap();
            stream.write_all(body).unwrap();
            let (status, response) = self.read_response();
            match status.as_str() {
                "200" => return,
                "429" | "503" => std::thread::sleep(Duration::from_millis(20)),
                _ => panic!("status {status}: {response}"),
            }
        }
    }

    fn read_response(&mut self) -> (String, String) {
        let (mut status, mut length) = (String::new(), 0);
        loop {
            let mut line = String::new();
            self.stream.read_line(&mut line).unwrap();
            let line = line.trim_end();
            if status.is_empty() {
                status = line.split(' ').nth(1).expect("a status line").to_owned();
            } else if line.is_empty() {
                break;
            } else if let Some((name, value)) = line.split_once(':')
                && name.eq_ignore_ascii_case("content-length")
            {
                length = value.trim().parse().unwrap();
            }
        }
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body).unwrap();
        (status, String::from_utf8_lossy(&body).into_owned())
    }
}

/// Sends the sample repeatedly with SendEvents. Returns the number of events.
async fn sent_with_send_events(server: &TestServer, sample: &Arc<Sample>, events: u64) -> u64 {
    let requests = events as usize / EVENTS_PER_REQUEST;
    let next = Arc::new(AtomicUsize::new(0));
    let mut connections = JoinSet::new();
    for _ in 0..CONNECTIONS {
        let (mut ingest, sample, next) = (server.ingest().await, Arc::clone(sample), Arc::clone(&next));
        connections.spawn(async move {
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= requests {
                    return;
                }
                let request = &sample.requests[number % sample.requests.len()];
                while let Err(status) = ingest.send_events(request.clone()).await {
                    assert_eq!(status.code(), tonic::Code::ResourceExhausted, "{status}");
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            }
        });
    }
    connections.join_all().await;
    (requests * EVENTS_PER_REQUEST) as u64
}

/// The comparison: a plain Node service that keeps events in memory, and inserts them as JSONEachRow into a table without
/// rollups of the same engine.
async fn measure_node(runs: &mut Runs, sample: &Arc<Sample>, events: u64) {
    let server = start_server();
    server.sql("CREATE TABLE events_alone AS events").await;
    let endpoint = std::fs::read_to_string(server.data_dir().join("engine.json")).unwrap();
    let mut node = tokio::process::Command::new("node")
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/benches/node_ingest.mjs"))
        .env("ENDPOINT", endpoint)
        .env("TABLE", "millrace.events_alone")
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("the comparison needs node");
    let mut lines = tokio::io::AsyncBufReadExt::lines(tokio::io::BufReader::new(node.stdout.take().unwrap()));
    let port = lines.next_line().await.unwrap().expect("the service prints its port");
    let (cpu, started_at) = (CpuSeconds::now(&server), Instant::now());
    let sent = posted(format!("127.0.0.1:{port}"), sample, events).await;
    let client = engine_client(&server);
    loop {
        let stored: u64 = client.query("SELECT count() FROM events_alone").fetch_one().await.unwrap();
        if stored == sent {
            break;
        }
        assert!(
            stored < sent && started_at.elapsed() < Duration::from_secs(300),
            "{stored} of {sent} events"
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let seconds = started_at.elapsed().as_secs_f64();
    let mut cpu = CpuSeconds::now(&server).since(cpu);
    // The service is the server of this comparison; Millrace is idle.
    cpu.server = crate::process::cpu_seconds(node.id().unwrap());
    runs.add(sent, seconds, cpu);
    node.kill().await.unwrap();
}

/// Compressed bytes per event, of each column of `events` and of all tables, after all merges.
async fn bytes_per_event(server: &TestServer, figures: &mut Figures) {
    server.sql("OPTIMIZE TABLE events FINAL").await;
    let columns = server
        .sql(
            "SELECT column, sum(column_bytes_on_disk) / (SELECT count() FROM events) AS bytes FROM system.parts_columns \
             WHERE database = 'millrace' AND table = 'events' AND active GROUP BY column ORDER BY bytes DESC, column",
        )
        .await;
    let mut sum = 0.0;
    for line in columns.lines() {
        let (column, bytes) = line.split_once('\t').unwrap();
        let bytes: f64 = bytes.parse().unwrap();
        sum += bytes;
        figures.add(format!("bytes per event: {column}"), "bytes", vec![bytes]);
    }
    figures.add("bytes per event: events", "bytes", vec![sum]);
    let all = server
        .sql(
            "SELECT sum(bytes_on_disk) / (SELECT count() FROM events) FROM system.parts WHERE database = 'millrace' AND active",
        )
        .await;
    figures.add("bytes per event: all tables", "bytes", vec![all.parse().unwrap()]);
}

//! Every way in is flooded; the server stays small and healthy, and a producer beside the flood goes on.
//!
//! `make flood-test` is the large one and prints the figures, a test run is a small part of it.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use millrace::client::{Producer, ProducerConfig};
use millrace::proto::v1;
use prost::Message;
use tokio::io::AsyncReadExt;
use tokio::net::TcpSocket;
use tokio::task::{JoinHandle, JoinSet};
use tokio_stream::wrappers::ReceiverStream;
use tonic::codec::CompressionEncoding::{self, Gzip, Zstd};
use tonic::{Code, Request, Status};
use v1::event::PropertiesKind;

use crate::common::{PATIENCE, RawCodec, Server, event, http, send};

/// What the server may take at most, whatever comes.
const MOST_KIB: u64 = 256 * 1_024;

fn is_large() -> bool {
    std::env::var("FLOOD").is_ok_and(|size| size == "large")
}

/// So much of the large test's, or of the small one's.
fn scaled(large: usize, small: usize) -> usize {
    if is_large() { large } else { small }
}

/// A well-behaved producer beside the flood.
struct Beside {
    producer: Producer,
    ended: Arc<AtomicBool>,
    sending: JoinHandle<u64>,
    timing: JoinHandle<Vec<Duration>>,
}

impl Beside {
    async fn start(server: &Server) -> Self {
        let producer = ProducerConfig::new(server.url()).connect().await.unwrap();
        let ended = Arc::new(AtomicBool::new(false));
        let (sender, stop) = (producer.clone(), Arc::clone(&ended));
        let sending = tokio::spawn(async move {
            let mut sent = 0;
            while !stop.load(Ordering::Relaxed) {
                sender.send(event("stream")).await.unwrap();
                sent += 1;
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            sent
        });
        let (mut ingest, stop) = (server.ingest().await, Arc::clone(&ended));
        let timing = tokio::spawn(async move {
            let mut times = Vec::new();
            while !stop.load(Ordering::Relaxed) {
                let begun = Instant::now();
                match ingest.send_events(send(vec![event("unary")])).await {
                    Ok(_) => times.push(begun.elapsed()),
                    Err(busy) => assert_eq!(busy.code(), Code::ResourceExhausted, "{busy:?}"),
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            times
        });
        Self { producer, ended, sending, timing }
    }

    /// How many events it sent, and the times of its unary calls, ascending.
    async fn end(self) -> (u64, Vec<Duration>) {
        self.ended.store(true, Ordering::Relaxed);
        let sent = self.sending.await.unwrap();
        let totals = self.producer.close().await.unwrap();
        assert_eq!((totals.accepted, totals.rejected), (sent, 0), "the producer beside it noticed nothing");
        let mut times = self.timing.await.unwrap();
        times.sort();
        assert!(!times.is_empty());
        (sent + times.len() as u64, times)
    }
}

fn percentile(times: &[Duration], percent: usize) -> Duration {
    times[(times.len() * percent / 100).min(times.len() - 1)]
}

fn report(server: &Server, flood: &str, begun: Instant) {
    let (now, most) = (server.memory_kib("VmRSS:"), server.memory_kib("VmHWM:"));
    println!(
        "{flood:<44} {:>7.1?}  memory {:>4} MB now, {:>4} MB at most",
        begun.elapsed(),
        now >> 10,
        most >> 10
    );
    assert!(most < MOST_KIB, "{flood}: {most} KiB");
}

/// Two million empty events: 4 MB, or a few kilobytes where they are compressed.
fn bomb() -> Bytes {
    [0x1a, 0].repeat(2_000_000).into()
}

/// Sends bytes as the one message of a call.
async fn call(
    server: &Server,
    method: &'static str,
    message: Bytes,
    encoding: Option<CompressionEncoding>,
) -> Status {
    let mut client = tonic::client::Grpc::new(server.channel().await);
    if let Some(encoding) = encoding {
        client = client.send_compressed(encoding);
    }
    client.ready().await.unwrap();
    let path = http::uri::PathAndQuery::from_static(method);
    let result = if method.ends_with("SendEvents") {
        client.unary(Request::new(message), path, RawCodec).await.map(|_| ())
    } else {
        let messages = Request::new(tokio_stream::once(message));
        client.client_streaming(messages, path, RawCodec).await.map(|_| ())
    };
    result.expect_err("no empty event is accepted")
}

const SEND: &str = "/millrace.v1.IngestService/SendEvents";
const STREAM: &str = "/millrace.v1.IngestService/StreamEvents";
const UPLOAD: &str = "/millrace.v1.IngestService/UploadEvents";

async fn bombs(server: &Server) {
    for method in [SEND, STREAM, UPLOAD] {
        for encoding in [Some(Gzip), Some(Zstd), None] {
            let calls = (0..8).map(|_| call(server, method, bomb(), encoding));
            for refused in futures_util::future::join_all(calls).await {
                assert_eq!(refused.code(), Code::InvalidArgument, "{refused:?}");
                assert!(refused.message().contains("2000000 were sent"), "{}", refused.message());
            }
        }
    }
    let too_large = call(server, SEND, vec![0; 64 << 20].into(), Some(Zstd)).await;
    assert_eq!(too_large.code(), Code::ResourceExhausted, "{too_large:?}");
}

/// One event whose properties take far more memory than bytes.
async fn heavy_events(server: &Server) {
    use prost_types::{ListValue, Struct, Value, value::Kind};
    let list = Value { kind: Some(Kind::ListValue(ListValue { values: vec![Value::default(); 150_000] })) };
    let properties = Struct { fields: [("list".to_owned(), list)].into() };
    let heavy = v1::Event { properties_kind: Some(PropertiesKind::Properties(properties)), ..event("heavy") };
    let message = Bytes::from(send(vec![heavy; 8]).encode_to_vec());
    let mut ingest = server.ingest().await;
    let request: v1::SendEventsRequest = Message::decode(message).unwrap();
    for _ in 0..scaled(100, 5) {
        let answer = ingest.send_events(request.clone()).await.unwrap().into_inner();
        assert_eq!((answer.accepted, answer.rejected), (0, 8));
    }
    let json = format!(r#"[{{"event_name":"a","properties":{{"x":[{}0]}}}}]"#, "0,".repeat(1_900_000));
    let many = format!("[{}0]", "{},".repeat(1_200_000));
    for body in [json, many] {
        for _ in 0..scaled(20, 2) {
            let (head, _) = http(server, "POST", "/events", "application/json", body.as_bytes());
            assert!(head.starts_with("HTTP/1.1 400"), "{head}");
        }
    }
}

/// An event that is rejected with a long reason.
fn bad() -> v1::Event {
    v1::Event { event_name: "\u{7f}".repeat(64), ..event("") }
}

/// Streams whose acknowledgements nobody reads: they stop being read themselves.
async fn unread_streams(server: &Server) {
    let mut streams = Vec::new();
    for _ in 0..scaled(16, 2) {
        let channel = server.channel().await;
        for _ in 0..32 {
            let (requests, outbound) = tokio::sync::mpsc::channel(1);
            let mut ingest = v1::ingest_service_client::IngestServiceClient::new(channel.clone());
            let answers = ingest.stream_events(ReceiverStream::new(outbound)).await.unwrap();
            streams.push((requests, answers));
        }
    }
    let request = v1::StreamEventsRequest { events: vec![bad(); 1_000], ..Default::default() };
    let stop = Instant::now() + Duration::from_secs(scaled(30, 3) as u64);
    let sending = streams.into_iter().map(async |(requests, answers)| {
        let mut sent = 0;
        while Instant::now() < stop {
            let sending = requests.send_timeout(request.clone(), Duration::from_millis(500));
            sent += usize::from(sending.await.is_ok());
        }
        drop(answers);
        sent
    });
    let sent: usize = futures_util::future::join_all(sending).await.into_iter().sum();
    println!("    {sent} requests of 1,000 bad events went into streams that nobody reads");
}

async fn rejected_requests(server: &Server) {
    let mut calls = JoinSet::new();
    for _ in 0..8 {
        let mut ingest = server.ingest().await;
        calls.spawn(async move {
            for _ in 0..scaled(10_000, 80) / 8 {
                let answer = ingest.send_events(send(vec![bad(); 500])).await.unwrap().into_inner();
                assert_eq!((answer.accepted, answer.rejected), (0, 500));
            }
        });
    }
    while let Some(called) = calls.join_next().await {
        called.unwrap();
    }
}

async fn panel_parameters(server: &Server) {
    let address = &server.address;
    let mut asking = JoinSet::new();
    for worker in 0..8 {
        let address = address.clone();
        asking.spawn_blocking(move || {
            let mut stream = std::net::TcpStream::connect(address).unwrap();
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
            for number in 0..scaled(10_000, 160) / 8 {
                let zeros = "0".repeat(number % 4_000);
                let request = format!(
                    "GET /api/panels/top_pages?limit={zeros}{} HTTP/1.1\r\nHost: x\r\n\r\n",
                    worker * 12 + number % 12 + 1
                );
                stream.write_all(request.as_bytes()).unwrap();
                assert!(stream.read(&mut [0; 65_536]).unwrap() > 0);
            }
        });
    }
    while let Some(asked) = asking.join_next().await {
        asked.unwrap();
    }
}

/// Requests whose responses nobody reads.
async fn unread_responses(server: &Server) {
    let requests = "GET /api/panels HTTP/1.1\r\nHost: x\r\n\r\n".repeat(200);
    let mut connections = Vec::new();
    for _ in 0..scaled(400, 50) {
        let mut stream = std::net::TcpStream::connect(&server.address).unwrap();
        stream.set_nonblocking(true).unwrap();
        // As much as it takes.
        stream.write_all(requests.as_bytes()).ok();
        connections.push(stream);
    }
    tokio::time::sleep(Duration::from_secs(2)).await;
}

fn huge_heads(server: &Server) {
    for _ in 0..scaled(1_000, 20) {
        let mut stream = std::net::TcpStream::connect(&server.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let head = format!("GET / HTTP/1.1\r\nHost: x\r\nLong: {}\r\n\r\n", "x".repeat(1 << 20));
        // The server answers and closes before it has all of it.
        stream.write_all(head.as_bytes()).ok();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).ok();
        assert!(
            answer.is_empty() || answer.starts_with(b"HTTP/1.1 431"),
            "{}",
            String::from_utf8_lossy(&answer)
        );
    }
}

/// Bodies that stop half way.
async fn half_bodies(server: &Server) {
    let head = "POST /events HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 4000000\r\n\r\n";
    let half = " ".repeat(2_000_000);
    let mut connections = JoinSet::new();
    for _ in 0..scaled(200, 30) {
        let (address, half) = (server.address.clone(), half.clone());
        connections.spawn_blocking(move || {
            let mut stream = std::net::TcpStream::connect(address).unwrap();
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
            stream.write_all(head.as_bytes()).unwrap();
            // The server may have had enough before.
            stream.write_all(half.as_bytes()).ok();
            let mut answer = Vec::new();
            stream.read_to_end(&mut answer).ok();
            answer.get(9..12).map(|status| String::from_utf8_lossy(status).into_owned())
        });
    }
    while let Some(status) = connections.join_next().await {
        if let Some(status) = status.unwrap() {
            assert!(["408", "503"].contains(&status.as_str()), "{status}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_requests_leaves_the_server_small_and_healthy() {
    let server = Server::start_with(&[("MILLRACE_LOG", "info")]);
    let beside = Beside::start(&server).await;
    report(&server, "before", Instant::now());
    macro_rules! flood {
        ($name:literal, $flood:expr) => {{
            let begun = Instant::now();
            $flood;
            report(&server, $name, begun);
        }};
    }
    flood!("bombs: 2,000,000 empty events, compressed", bombs(&server).await);
    flood!("events that grow when they are decoded", heavy_events(&server).await);
    flood!("unread streams", unread_streams(&server).await);
    flood!("rejected requests", rejected_requests(&server).await);
    flood!("panel parameters", panel_parameters(&server).await);
    flood!("unread responses", unread_responses(&server).await);
    flood!("huge heads", huge_heads(&server));
    flood!("half bodies", half_bodies(&server).await);
    let (sent, times) = beside.end().await;
    println!(
        "{sent} events beside it; SendEvents p50 {:.1?}, p99 {:.1?}",
        percentile(&times, 50),
        percentile(&times, 99)
    );
    server.wait_until_landed().await;
    server.wait_for_health("ok", |health| health.status() == v1::Status::Ok).await;
    assert_eq!(server.sql("SELECT count() FROM events").await, sent.to_string());
}

#[tokio::test(flavor = "multi_thread")]
async fn silent_sockets_are_closed_and_nobody_waits_for_them() {
    let (sockets, half_prefaces) = (scaled(12_000, 600), scaled(2_000, 100));
    let most = "16000";
    let server = Server::start_with(&[
        ("MILLRACE_MAX_CONNECTIONS", most),
        ("MILLRACE_MAX_CONNECTIONS_PER_ADDRESS", most),
        ("MILLRACE_LOG", "info"),
    ]);
    let beside = Beside::start(&server).await;
    let address: SocketAddr = server.address.parse().unwrap();
    let mut closed = JoinSet::new();
    let begun = Instant::now();
    for number in 0..sockets {
        let socket = TcpSocket::new_v4().unwrap();
        // Each address has its own ports.
        let from = IpAddr::from(Ipv4Addr::new(127, 0, 0, 2 + (number % 4) as u8));
        socket.bind((from, 0).into()).unwrap();
        let mut stream = socket.connect(address).await.unwrap();
        let connected = Instant::now();
        let says: &[u8] = if number < half_prefaces { b"PRI * HTTP/2.0\r\n" } else { b"" };
        stream.try_write(says).ok();
        closed.spawn(async move {
            let ended = tokio::time::timeout(PATIENCE, stream.read(&mut [0; 16])).await;
            assert!(matches!(ended.expect("it is closed"), Ok(0) | Err(_)));
            connected.elapsed()
        });
    }
    let connecting = begun.elapsed();
    let mut longest = Duration::ZERO;
    while let Some(lasted) = closed.join_next().await {
        longest = longest.max(lasted.unwrap());
    }
    let (sent, times) = beside.end().await;
    println!(
        "{sockets} silent sockets, made in {connecting:.1?}: the last was closed {longest:.1?} after it was made; \
         {sent} events beside them, SendEvents p50 {:.1?}, p99 {:.1?}",
        percentile(&times, 50),
        percentile(&times, 99)
    );
    report(&server, "silent sockets", begun);
    assert_eq!(server.health().await.status(), v1::Status::Ok);
}

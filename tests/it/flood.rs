//! Floods every entry point: the server's memory stays bounded, it stays healthy, and another producer is unaffected.
//!
//! `make flood-test` runs at full scale and prints the figures; the default is a fraction of it.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use millrace_client::proto::v1;
use millrace_client::{Producer, ProducerConfig};
use prost::Message;
use tokio::io::AsyncReadExt;
use tokio::net::TcpSocket;
use tokio::task::{JoinHandle, JoinSet};
use tokio_stream::wrappers::ReceiverStream;
use tonic::codec::CompressionEncoding::{self, Gzip, Zstd};
use tonic::{Code, Request, Status};
use v1::event::PropertiesKind;

use crate::common::{RawCodec, TIMEOUT, TestServer, event, events_request, http_request};

/// Maximum resident memory of the server.
const MAX_RSS_KIB: u64 = 256 * 1_024;

fn is_large() -> bool {
    std::env::var("FLOOD").is_ok_and(|size| size == "large")
}

/// Picks the number for the current scale.
fn scale(large: usize, small: usize) -> usize {
    if is_large() { large } else { small }
}

/// A well-behaved producer that sends during the flood.
struct BackgroundProducer {
    producer: Producer,
    ended: Arc<AtomicBool>,
    sending: JoinHandle<u64>,
    timing: JoinHandle<Vec<Duration>>,
}

impl BackgroundProducer {
    async fn start(server: &TestServer) -> Self {
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
                let started_at = Instant::now();
                match ingest.send_events(events_request(vec![event("unary")])).await {
                    Ok(_) => times.push(started_at.elapsed()),
                    Err(busy) => assert_eq!(busy.code(), Code::ResourceExhausted, "{busy:?}"),
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            times
        });
        Self { producer, ended, sending, timing }
    }

    /// Stops it. Returns the number of events sent, and the latencies of its unary calls in ascending order.
    async fn end(self) -> (u64, Vec<Duration>) {
        self.ended.store(true, Ordering::Relaxed);
        let sent = self.sending.await.unwrap();
        let totals = self.producer.close().await.unwrap();
        assert_eq!((totals.accepted, totals.rejected), (sent, 0), "the other producer is unaffected");
        let mut times = self.timing.await.unwrap();
        times.sort();
        assert!(!times.is_empty());
        (sent + times.len() as u64, times)
    }
}

fn percentile(times: &[Duration], percent: usize) -> Duration {
    times[(times.len() * percent / 100).min(times.len() - 1)]
}

fn report(server: &TestServer, flood: &str, started_at: Instant) {
    let (now, peak) = (server.proc_status_kib("VmRSS:"), server.proc_status_kib("VmHWM:"));
    println!(
        "{flood:<44} {:>7.1?}  memory {:>4} MB now, {:>4} MB peak",
        started_at.elapsed(),
        now >> 10,
        peak >> 10
    );
    assert!(peak < MAX_RSS_KIB, "{flood}: {peak} KiB");
}

/// Two million empty events: 4 MB, or a few kilobytes compressed.
fn empty_events_message() -> Bytes {
    [0x1a, 0].repeat(2_000_000).into()
}

/// Sends bytes as the only message of a call. Returns the status.
async fn raw_call(
    server: &TestServer,
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
    result.expect_err("empty events are rejected")
}

const SEND: &str = "/millrace.v1.IngestService/SendEvents";
const STREAM: &str = "/millrace.v1.IngestService/StreamEvents";
const UPLOAD: &str = "/millrace.v1.IngestService/UploadEvents";

async fn decompression_bombs(server: &TestServer) {
    for method in [SEND, STREAM, UPLOAD] {
        for encoding in [Some(Gzip), Some(Zstd), None] {
            let calls = (0..8).map(|_| raw_call(server, method, empty_events_message(), encoding));
            for error in futures_util::future::join_all(calls).await {
                assert_eq!(error.code(), Code::InvalidArgument, "{error:?}");
                assert!(error.message().contains("2000000 were sent"), "{}", error.message());
            }
        }
    }
    let too_large = raw_call(server, SEND, vec![0; 64 << 20].into(), Some(Zstd)).await;
    assert_eq!(too_large.code(), Code::ResourceExhausted, "{too_large:?}");
}

/// Events whose properties need far more memory than bytes on the wire.
async fn expensive_events(server: &TestServer) {
    use prost_types::{ListValue, Struct, Value, value::Kind};
    let list = Value { kind: Some(Kind::ListValue(ListValue { values: vec![Value::default(); 150_000] })) };
    let properties = Struct { fields: [("list".to_owned(), list)].into() };
    let heavy = v1::Event { properties_kind: Some(PropertiesKind::Properties(properties)), ..event("heavy") };
    let message = Bytes::from(events_request(vec![heavy; 8]).encode_to_vec());
    let mut ingest = server.ingest().await;
    let request: v1::SendEventsRequest = Message::decode(message).unwrap();
    for _ in 0..scale(100, 5) {
        let response = ingest.send_events(request.clone()).await.unwrap().into_inner();
        assert_eq!((response.accepted, response.rejected), (0, 8));
    }
    let json = format!(r#"[{{"event_name":"a","properties":{{"x":[{}0]}}}}]"#, "0,".repeat(1_900_000));
    let many = format!("[{}0]", "{},".repeat(1_200_000));
    for body in [json, many] {
        for _ in 0..scale(20, 2) {
            let (head, _) = http_request(server, "POST", "/events", "application/json", body.as_bytes());
            assert!(head.starts_with("HTTP/1.1 400"), "{head}");
        }
    }
}

/// An event that is rejected with a long reason.
fn invalid_event() -> v1::Event {
    v1::Event { event_name: "\u{7f}".repeat(64), ..event("") }
}

/// Streams whose acknowledgements are never read: the server stops reading them.
async fn unread_streams(server: &TestServer) {
    let mut streams = Vec::new();
    for _ in 0..scale(16, 2) {
        let channel = server.channel().await;
        for _ in 0..32 {
            let (requests, outbound) = tokio::sync::mpsc::channel(1);
            let mut ingest = v1::ingest_service_client::IngestServiceClient::new(channel.clone());
            let responses = ingest.stream_events(ReceiverStream::new(outbound)).await.unwrap();
            streams.push((requests, responses));
        }
    }
    let request = v1::StreamEventsRequest { events: vec![invalid_event(); 1_000], ..Default::default() };
    let stop = Instant::now() + Duration::from_secs(scale(30, 3) as u64);
    let sending = streams.into_iter().map(async |(requests, responses)| {
        let mut sent = 0;
        while Instant::now() < stop {
            let sending = requests.send_timeout(request.clone(), Duration::from_millis(500));
            sent += usize::from(sending.await.is_ok());
        }
        drop(responses);
        sent
    });
    let sent: usize = futures_util::future::join_all(sending).await.into_iter().sum();
    println!("    {sent} requests of 1,000 invalid events sent into unread streams");
}

async fn rejected_requests(server: &TestServer) {
    let mut calls = JoinSet::new();
    for _ in 0..8 {
        let mut ingest = server.ingest().await;
        calls.spawn(async move {
            for _ in 0..scale(10_000, 80) / 8 {
                let response = ingest
                    .send_events(events_request(vec![invalid_event(); 500]))
                    .await
                    .unwrap()
                    .into_inner();
                assert_eq!((response.accepted, response.rejected), (0, 500));
            }
        });
    }
    while let Some(called) = calls.join_next().await {
        called.unwrap();
    }
}

async fn panel_parameters(server: &TestServer) {
    let address = &server.address;
    let mut requests = JoinSet::new();
    for worker in 0..8 {
        let address = address.clone();
        requests.spawn_blocking(move || {
            let mut stream = std::net::TcpStream::connect(address).unwrap();
            stream.set_read_timeout(Some(TIMEOUT)).unwrap();
            for number in 0..scale(10_000, 160) / 8 {
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
    while let Some(request) = requests.join_next().await {
        request.unwrap();
    }
}

/// Requests whose responses are never read.
async fn unread_responses(server: &TestServer) {
    let requests = "GET /api/panels HTTP/1.1\r\nHost: x\r\n\r\n".repeat(200);
    let mut connections = Vec::new();
    for _ in 0..scale(400, 50) {
        let mut stream = std::net::TcpStream::connect(&server.address).unwrap();
        stream.set_nonblocking(true).unwrap();
        // As much as fits.
        stream.write_all(requests.as_bytes()).ok();
        connections.push(stream);
    }
    tokio::time::sleep(Duration::from_secs(2)).await;
}

fn oversized_heads(server: &TestServer) {
    for _ in 0..scale(1_000, 20) {
        let mut stream = std::net::TcpStream::connect(&server.address).unwrap();
        stream.set_read_timeout(Some(TIMEOUT)).unwrap();
        let head = format!("GET / HTTP/1.1\r\nHost: x\r\nLong: {}\r\n\r\n", "x".repeat(1 << 20));
        // The server may respond and close the connection before it has read everything.
        stream.write_all(head.as_bytes()).ok();
        let mut response = Vec::new();
        stream.read_to_end(&mut response).ok();
        assert!(
            response.is_empty() || response.starts_with(b"HTTP/1.1 431"),
            "{}",
            String::from_utf8_lossy(&response)
        );
    }
}

/// Bodies that stop halfway.
async fn truncated_bodies(server: &TestServer) {
    let head = "POST /events HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 4000000\r\n\r\n";
    let half = " ".repeat(2_000_000);
    let mut connections = JoinSet::new();
    for _ in 0..scale(200, 30) {
        let (address, half) = (server.address.clone(), half.clone());
        connections.spawn_blocking(move || {
            let mut stream = std::net::TcpStream::connect(address).unwrap();
            stream.set_read_timeout(Some(TIMEOUT)).unwrap();
            stream.write_all(head.as_bytes()).unwrap();
            // The server may close the connection earlier.
            stream.write_all(half.as_bytes()).ok();
            let mut response = Vec::new();
            stream.read_to_end(&mut response).ok();
            response.get(9..12).map(|status| String::from_utf8_lossy(status).into_owned())
        });
    }
    while let Some(status) = connections.join_next().await {
        if let Some(status) = status.unwrap() {
            assert!(["408", "503"].contains(&status.as_str()), "{status}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_stays_bounded_under_request_floods() {
    let server = TestServer::start_with(&[("MILLRACE_LOG", "info")]);
    let background = BackgroundProducer::start(&server).await;
    report(&server, "before", Instant::now());
    macro_rules! flood {
        ($name:literal, $flood:expr) => {{
            let started_at = Instant::now();
            $flood;
            report(&server, $name, started_at);
        }};
    }
    flood!("bombs: 2,000,000 empty events, compressed", decompression_bombs(&server).await);
    flood!("events that grow when decoded", expensive_events(&server).await);
    flood!("unread streams", unread_streams(&server).await);
    flood!("rejected requests", rejected_requests(&server).await);
    flood!("panel parameters", panel_parameters(&server).await);
    flood!("unread responses", unread_responses(&server).await);
    flood!("huge heads", oversized_heads(&server));
    flood!("half bodies", truncated_bodies(&server).await);
    let (sent, times) = background.end().await;
    println!(
        "{sent} events of the other producer; SendEvents p50 {:.1?}, p99 {:.1?}",
        percentile(&times, 50),
        percentile(&times, 99)
    );
    server.wait_until_landed().await;
    server.wait_for_health("ok", |health| health.status() == v1::Status::Ok).await;
    assert_eq!(server.sql("SELECT count() FROM events").await, sent.to_string());
}

#[tokio::test(flavor = "multi_thread")]
async fn idle_sockets_are_closed_without_blocking_others() {
    let (sockets, half_prefaces) = (scale(12_000, 600), scale(2_000, 100));
    let max_connections = "16000";
    let server = TestServer::start_with(&[
        ("MILLRACE_MAX_CONNECTIONS", max_connections),
        ("MILLRACE_MAX_CONNECTIONS_PER_ADDRESS", max_connections),
        ("MILLRACE_LOG", "info"),
    ]);
    let background = BackgroundProducer::start(&server).await;
    let address: SocketAddr = server.address.parse().unwrap();
    let mut closed = JoinSet::new();
    let started_at = Instant::now();
    for number in 0..sockets {
        let socket = TcpSocket::new_v4().unwrap();
        // Each address has its own ports.
        let from = IpAddr::from(Ipv4Addr::new(127, 0, 0, 2 + (number % 4) as u8));
        socket.bind((from, 0).into()).unwrap();
        let mut stream = socket.connect(address).await.unwrap();
        let connected = Instant::now();
        let first_bytes: &[u8] = if number < half_prefaces { b"PRI * HTTP/2.0\r\n" } else { b"" };
        stream.try_write(first_bytes).ok();
        closed.spawn(async move {
            let ended = tokio::time::timeout(TIMEOUT, stream.read(&mut [0; 16])).await;
            assert!(matches!(ended.expect("the server closes it"), Ok(0) | Err(_)));
            connected.elapsed()
        });
    }
    let connecting = started_at.elapsed();
    let mut longest = Duration::ZERO;
    while let Some(open_time) = closed.join_next().await {
        longest = longest.max(open_time.unwrap());
    }
    let (sent, times) = background.end().await;
    println!(
        "{sockets} silent sockets, opened in {connecting:.1?}, each closed after at most {longest:.1?}; \
         {sent} events of the other producer, SendEvents p50 {:.1?}, p99 {:.1?}",
        percentile(&times, 50),
        percentile(&times, 99)
    );
    report(&server, "silent sockets", started_at);
    assert_eq!(server.health().await.status(), v1::Status::Ok);
}

//! Connections and requests that behave badly, and pages of another origin.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

use millrace::client::ProducerConfig;
use millrace::proto::v1;

use crate::common::{PATIENCE, Server, event, free_address, send};
use crate::h2::{
    CONTINUATION, Connection, DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, PING, PREFACE, RST_STREAM,
    WINDOW_UPDATE, call, frame,
};

const SEND: &str = "/millrace.v1.IngestService/SendEvents";
const ENHANCE_YOUR_CALM: u32 = 11;

/// A connection that says so much; gives what the server says until it closes.
fn until_closed(server: &Server, says: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(&server.address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(says).unwrap();
    let mut answer = Vec::new();
    if let Err(error) = stream.read_to_end(&mut answer) {
        // It did not read what came last.
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset, "the server closes the connection");
    }
    answer
}

#[test]
fn a_connection_that_does_not_come_to_its_point_is_closed() {
    let server = Server::start();
    let stalled_body =
        b"POST /events HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n[{";
    let cases: [&[u8]; 7] = [
        b"",
        b"G",
        b"GET / HTTP/1.1\r\nHost: x\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM",
        PREFACE,
        &[PREFACE, &frame(PING, 0, 0, &[0; 8])].concat(),
        stalled_body,
    ];
    std::thread::scope(|scope| {
        for says in cases {
            let server = &server;
            scope.spawn(move || {
                let answer = String::from_utf8_lossy(&until_closed(server, says)).into_owned();
                if says == stalled_body {
                    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
                    assert!(answer.contains("makes no progress"), "{answer}");
                }
            });
        }
    });
    assert!(server.log().contains("its first bytes took too long"));
    assert!(server.log().contains("the head of a request took too long"));
}

#[test]
fn a_unary_call_whose_body_stalls_is_ended_and_a_silent_stream_is_not() {
    let server = Server::start();
    let mut connection = Connection::open(&server.address);
    connection
        .send(&frame(HEADERS, END_HEADERS, 1, &call("/millrace.v1.IngestService/StreamEvents", &[])))
        .unwrap();
    connection.send(&frame(HEADERS, END_HEADERS, 3, &call(SEND, &[]))).unwrap();
    connection.send(&frame(DATA, 0, 3, &[0, 0, 0, 0, 100, 0x1a])).unwrap();
    let ended = loop {
        let frame = connection.next(PATIENCE).expect("the connection stays");
        if frame.kind == HEADERS && frame.flags & END_STREAM > 0 {
            break frame.stream;
        }
    };
    assert_eq!(ended, 3);
    connection.send(&frame(PING, 0, 0, &[7; 8])).unwrap();
    while connection.next(PATIENCE).expect("the stream keeps it").kind != PING {}
}

#[tokio::test]
async fn connections_are_capped_by_address() {
    let mut server = Server::start_with(&[("MILLRACE_MAX_CONNECTIONS_PER_ADDRESS", "5")]);
    let mut held: Vec<_> = (0..5).map(|_| TcpStream::connect(&server.address).unwrap()).collect();
    assert_eq!(until_closed(&server, b""), b"", "closed at once");
    let line = server.wait_for_line("connections were closed at once");
    assert!(line.contains("5 of 5 from 127.0.0.1 (MILLRACE_MAX_CONNECTIONS_PER_ADDRESS)"), "{line}");
    held.clear();
    let deadline = Instant::now() + PATIENCE;
    loop {
        let endpoint = tonic::transport::Endpoint::from_shared(server.url()).unwrap();
        if let Ok(channel) = endpoint.connect().await {
            let mut ingest = v1::ingest_service_client::IngestServiceClient::new(channel);
            if ingest.send_events(send(vec![event("a")])).await.is_ok() {
                break;
            }
        }
        assert!(Instant::now() < deadline, "places are given back");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_grows_old_and_its_producer_notices_nothing() {
    let server = Server::start_with(&[("MILLRACE_MAX_CONNECTION_AGE_MS", "1000")]);
    let producer = ProducerConfig::new(server.url()).connect().await.unwrap();
    let mut dashboard = server.dashboard().await;
    let queries = vec![v1::PanelQuery { panel: "active_users".into(), time_range: 1, ..Default::default() }];
    let watching = dashboard.watch_panels(v1::WatchPanelsRequest { queries }).await.unwrap().into_inner();
    let mut sent = 0_u64;
    let deadline = Instant::now() + PATIENCE;
    while producer.totals().reconnects < 2 {
        producer.send(event("a")).await.unwrap();
        sent += 1;
        assert!(Instant::now() < deadline, "its connection never grew old");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    let totals = producer.close().await.unwrap();
    assert_eq!((totals.acknowledged, totals.rejected), (sent, 0));
    let mut watching = watching;
    let ended = loop {
        match watching.message().await {
            Ok(Some(_)) => {}
            Ok(None) => panic!("the watch ends with a status"),
            Err(status) => break status,
        }
    };
    assert_eq!(ended.code(), tonic::Code::Unavailable, "{ended:?}");
    server.wait_until_landed().await;
    assert_eq!(
        server.sql("SELECT count(), uniqExact(event_id) FROM events").await,
        format!("{sent}\t{sent}")
    );
}

/// Writes for as long as the server takes it, and reads what it says in the end.
fn flood(server: &Server, mut frames: impl FnMut(u32) -> Vec<u8>, most: u32) -> (Option<u32>, u32) {
    let mut connection = Connection::open(&server.address);
    let mut sent = 0;
    while sent < most && connection.send(&frames(sent)).is_ok() {
        sent += 1;
    }
    (connection.ended_with(PATIENCE), sent)
}

#[tokio::test(flavor = "multi_thread")]
async fn abuse_of_http2_ends_the_connection_and_costs_no_memory() {
    let server = Server::start();
    let before = server.resident_kib();
    let block = call(SEND, &[]);
    let (code, _) = flood(
        &server,
        |n| {
            let stream = 2 * n + 1;
            let reset = frame(RST_STREAM, 0, stream, &8_u32.to_be_bytes());
            [frame(HEADERS, END_HEADERS, stream, &block), reset].concat()
        },
        100_000,
    );
    println!("rapid reset: GOAWAY {code:?}");
    assert!(code.is_none_or(|code| code == ENHANCE_YOUR_CALM), "{code:?}");

    let (code, sent) = flood(
        &server,
        |n| match n {
            0 => frame(HEADERS, 0, 1, &block),
            _ => frame(CONTINUATION, 0, 1, &call("/", &[("filling", &"x".repeat(8_000))])),
        },
        100_000,
    );
    println!("CONTINUATION without an end: GOAWAY {code:?} after {sent} frames");
    assert!(sent < 100_000);

    let (code, sent) =
        flood(&server, |_| frame(WINDOW_UPDATE, 0, 0, &0x7fff_ffff_u32.to_be_bytes()), 100_000);
    println!("window overflow: GOAWAY {code:?} after {sent} frames");
    assert!(sent < 100_000);

    // Errors on streams that the server has to reset (MadeYouReset).
    let (code, sent) = flood(
        &server,
        |n| {
            let stream = 2 * n + 1;
            [
                frame(HEADERS, END_HEADERS, stream, &block),
                frame(WINDOW_UPDATE, 0, stream, &0x7fff_ffff_u32.to_be_bytes()),
            ]
            .concat()
        },
        100_000,
    );
    println!("errors on streams: GOAWAY {code:?} after {sent} streams");
    assert!(code.is_none_or(|code| code == ENHANCE_YOUR_CALM), "{code:?}");
    assert!(sent < 100_000);

    let grown = server.resident_kib().saturating_sub(before);
    println!("memory grew by {grown} KiB");
    assert!(grown < 32 << 10, "{grown} KiB");
    // A header list above 8 KiB is refused for its stream alone.
    let mut connection = Connection::open(&server.address);
    let long = call(SEND, &[("long", &"x".repeat(12_000))]);
    connection.send(&frame(HEADERS, END_HEADERS | END_STREAM, 1, &long)).unwrap();
    loop {
        let next = connection.next(PATIENCE).expect("an answer");
        assert!(next.kind != GOAWAY, "only the stream is refused");
        if next.stream == 1 {
            break;
        }
    }
    assert_eq!(server.health().await.status(), v1::Status::Ok);
}

/// A request of HTTP/1.1 with these lines; gives its status and the answer.
fn ask(server: &Server, method: &str, path: &str, headers: &[&str], body: &str) -> (u16, String) {
    let mut head = format!("{method} {path} HTTP/1.1\r\nConnection: close\r\n");
    for header in headers.iter().chain(&[format!("Content-Length: {}", body.len()).as_str()]) {
        head.push_str(&header.replace("SELF", &server.address));
        head.push_str("\r\n");
    }
    let answer = until_closed(server, format!("{head}\r\n{body}").as_bytes());
    let answer = String::from_utf8_lossy(&answer).into_owned();
    (answer[9..12].parse().unwrap(), answer)
}

#[tokio::test]
async fn a_page_of_another_origin_neither_sends_events_nor_reads_panels() {
    let server = Server::start_with(&[
        ("MILLRACE_ALLOWED_HOSTS", "analytics.example.com"),
        ("MILLRACE_ALLOWED_ORIGINS", "https://public.example"),
    ]);
    let json = "Content-Type: application/json";
    let now = jiff::Timestamp::now();
    let events = format!(r#"[{{"event_name":"a","timestamp":"{now}","session_id":"s"}}]"#);
    let post = |headers: &[&str]| ask(&server, "POST", "/events", headers, &events);
    let get = |path: &str, headers: &[&str]| ask(&server, "GET", path, headers, "");

    // curl, scripts, the own page, a proxy with a name of its own, and a development server in front.
    assert_eq!(post(&["Host: SELF", json]).0, 200);
    assert_eq!(post(&["Host: SELF", json, "Origin: http://SELF"]).0, 200);
    assert_eq!(post(&["Host: SELF", json, "Origin: https://public.example"]).0, 200);
    assert_eq!(post(&["Host: localhost:5173", json, "Origin: http://localhost:5173"]).0, 200);
    assert_eq!(post(&["Host: analytics.example.com", json, "Origin: https://analytics.example.com"]).0, 200);
    assert_eq!(get("/api/panels", &["Host: SELF"]).0, 200);
    assert_eq!(get("/readyz", &["Host: pod.example"]).0, 200, "a probe");

    let cases = [
        // What a page may send without being asked for: text/plain, forms, no type at all.
        (post(&["Host: SELF", "Content-Type: text/plain"]), 415, "application/json is expected"),
        (post(&["Host: SELF"]), 415, "application/json is expected"),
        (post(&["Host: SELF", json, "Origin: https://evil.example"]), 403, "MILLRACE_ALLOWED_ORIGINS"),
        (post(&["Host: SELF", json, "Origin: null"]), 403, "MILLRACE_ALLOWED_ORIGINS"),
        // DNS rebinding: for the browser it is the same origin.
        (post(&["Host: evil.example", json, "Origin: http://evil.example"]), 403, "MILLRACE_ALLOWED_HOSTS"),
        (get("/api/panels", &["Host: evil.example"]), 403, "MILLRACE_ALLOWED_HOSTS"),
        (get("/", &["Host: evil.example"]), 403, "MILLRACE_ALLOWED_HOSTS"),
        (get("/health", &["Host: evil.example"]), 403, "MILLRACE_ALLOWED_HOSTS"),
        (
            get("/api/panels", &["Host: SELF", "Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: no-cors"]),
            403,
            "Sec-Fetch-Site",
        ),
        (
            ask(&server, "OPTIONS", "/events", &["Host: SELF", "Origin: https://evil.example"], ""),
            403,
            "MILLRACE_ALLOWED_ORIGINS",
        ),
    ];
    for ((status, answer), expected, part) in cases {
        assert_eq!(status, expected, "{answer}");
        assert!(answer.contains(part), "{answer}");
        assert!(
            answer.contains("application/problem+json") && !answer.contains("access-control-allow"),
            "{answer}"
        );
        assert!(answer.contains("cross-origin-resource-policy: same-origin"), "{answer}");
    }
    // gRPC-Web, as the page speaks it, and as another page would.
    let web = "Content-Type: application/grpc-web+proto";
    let list = "/millrace.v1.DashboardService/ListPanels";
    let empty = "\0\0\0\0\0";
    assert_eq!(ask(&server, "POST", list, &["Host: SELF", web, "Origin: http://SELF"], empty).0, 200);
    assert_eq!(ask(&server, "POST", list, &["Host: SELF", web, "Origin: http://evil.example"], empty).0, 403);
    assert_eq!(ask(&server, "POST", list, &["Host: evil.example", web], empty).0, 403);
}

/// A gRPC client that knows the server by a name of its network, as in a cluster.
#[tokio::test]
async fn a_grpc_client_may_call_the_server_as_it_likes() {
    let server = Server::start();
    let origin = "http://millrace.monitoring.svc.cluster.local:8080".parse().unwrap();
    let channel = tonic::transport::Endpoint::from_shared(server.url())
        .unwrap()
        .origin(origin)
        .connect()
        .await
        .unwrap();
    let mut ingest = v1::ingest_service_client::IngestServiceClient::new(channel);
    assert_eq!(ingest.send_events(send(vec![event("a")])).await.unwrap().into_inner().accepted, 1);
}

/// Everything below a folder that somebody else may read or write.
fn open_to_others(path: &Path, found: &mut Vec<String>) {
    let metadata = path.symlink_metadata().unwrap();
    let mode = metadata.permissions().mode();
    if mode & 0o077 != 0 && !metadata.is_symlink() {
        found.push(format!("{} {:o}", path.display(), mode & 0o777));
    }
    if metadata.is_dir() {
        for entry in std::fs::read_dir(path).unwrap() {
            open_to_others(&entry.unwrap().path(), found);
        }
    }
}

#[tokio::test]
async fn nobody_else_reads_what_is_kept() {
    let folder = std::sync::Arc::new(tempfile::tempdir().unwrap());
    // As a server of before has left it.
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let server = Server::start_on(folder, &[]);
    server.ingest().await.send_events(send(vec![event("a"); 100])).await.unwrap();
    server.wait_until_landed().await;
    let mut found = Vec::new();
    open_to_others(server.data_dir(), &mut found);
    assert_eq!(found.len(), 0, "the first: {:?}", found.first());

    // A ClickHouse that is not there: what is accepted becomes a dead letter.
    let url = format!("http://{}", free_address());
    let server = Server::start_with(&[("CLICKHOUSE_URL", &url)]);
    server.ingest().await.send_events(send(vec![event("a"); 100])).await.unwrap();
    let has_letter =
        |health: &v1::Health| health.dead_letters.as_ref().is_some_and(|letters| letters.batches > 0);
    server.wait_for_health("with a dead letter", has_letter).await;
    open_to_others(server.data_dir(), &mut found);
    assert_eq!(found.len(), 0, "the first: {:?}", found.first());
}

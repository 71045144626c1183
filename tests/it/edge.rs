//! Misbehaving connections and requests, and pages of other origins.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

use millrace_client::ProducerConfig;
use millrace_client::proto::v1;

use crate::common::{TIMEOUT, TestServer, event, events_request};
use crate::h2::{
    CONTINUATION, Connection, DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, PING, PREFACE, RST_STREAM,
    WINDOW_UPDATE, frame, grpc_header_block,
};

const SEND: &str = "/millrace.v1.IngestService/SendEvents";
const ENHANCE_YOUR_CALM: u32 = 11;

/// Sends bytes over a new connection. Returns everything that the server sends until it closes the connection.
fn read_until_closed(server: &TestServer, request_bytes: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(&server.address).unwrap();
    stream.set_read_timeout(Some(TIMEOUT)).unwrap();
    stream.write_all(request_bytes).unwrap();
    let mut response = Vec::new();
    if let Err(error) = stream.read_to_end(&mut response) {
        // The server closed it without reading everything.
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset, "the server closes the connection");
    }
    response
}

#[test]
fn a_stalled_connection_is_closed() {
    let server = TestServer::start();
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
        for request_bytes in cases {
            let server = &server;
            scope.spawn(move || {
                let response =
                    String::from_utf8_lossy(&read_until_closed(server, request_bytes)).into_owned();
                if request_bytes == stalled_body {
                    assert!(response.starts_with("HTTP/1.1 408 "), "{response}");
                    assert!(response.contains("makes no progress"), "{response}");
                }
            });
        }
    });
    assert!(server.log().contains("waiting for the first bytes"));
    assert!(server.log().contains("waiting for a complete request header"));
}

#[test]
fn a_stalled_unary_body_times_out_and_an_idle_stream_does_not() {
    let server = TestServer::start();
    let mut connection = Connection::open(&server.address);
    connection
        .send(&frame(
            HEADERS,
            END_HEADERS,
            1,
            &grpc_header_block("/millrace.v1.IngestService/StreamEvents", &[]),
        ))
        .unwrap();
    connection.send(&frame(HEADERS, END_HEADERS, 3, &grpc_header_block(SEND, &[]))).unwrap();
    connection.send(&frame(DATA, 0, 3, &[0, 0, 0, 0, 100, 0x1a])).unwrap();
    let ended = loop {
        let frame = connection.next_frame(TIMEOUT).expect("the connection is open");
        if frame.kind == HEADERS && frame.flags & END_STREAM > 0 {
            break frame.stream;
        }
    };
    assert_eq!(ended, 3);
    connection.send(&frame(PING, 0, 0, &[7; 8])).unwrap();
    while connection.next_frame(TIMEOUT).expect("the stream keeps it open").kind != PING {}
}

#[tokio::test]
async fn connections_are_limited_per_address() {
    let mut server = TestServer::start_with(&[("MILLRACE_MAX_CONNECTIONS_PER_ADDRESS", "5")]);
    let mut held: Vec<_> = (0..5).map(|_| TcpStream::connect(&server.address).unwrap()).collect();
    assert_eq!(read_until_closed(&server, b""), b"", "closed at once");
    let line = server.wait_for_log_line("connections rejected");
    assert!(line.contains("address=127.0.0.1 open_from_address=5 max_per_address=5"), "{line}");
    held.clear();
    let deadline = Instant::now() + TIMEOUT;
    loop {
        let endpoint = tonic::transport::Endpoint::from_shared(server.url()).unwrap();
        if let Ok(channel) = endpoint.connect().await {
            let mut ingest = v1::ingest_service_client::IngestServiceClient::new(channel);
            if ingest.send_events(events_request(vec![event("a")])).await.is_ok() {
                break;
            }
        }
        assert!(Instant::now() < deadline, "closed connections still count");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_max_age_of_a_connection_is_transparent_to_its_producer() {
    let server = TestServer::start_with(&[("MILLRACE_MAX_CONNECTION_AGE_MS", "1000")]);
    let producer = ProducerConfig::new(server.url()).connect().await.unwrap();
    let mut dashboard = server.dashboard().await;
    let queries = vec![v1::PanelQuery { panel: "active_users".into(), time_range: 1, ..Default::default() }];
    let mut stream = dashboard
        .watch_panels(v1::WatchPanelsRequest { queries, ..Default::default() })
        .await
        .unwrap()
        .into_inner();
    let mut sent = 0_u64;
    let deadline = Instant::now() + TIMEOUT;
    while producer.totals().reconnects < 2 {
        producer.send(event("a")).await.unwrap();
        sent += 1;
        assert!(Instant::now() < deadline, "the connection never reached its maximum age");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    let totals = producer.close().await.unwrap();
    assert_eq!((totals.acknowledged, totals.rejected), (sent, 0));
    let ended = loop {
        match stream.message().await {
            Ok(Some(_)) => {}
            Ok(None) => panic!("the stream ended without a status"),
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

/// Sends frames until the server closes the connection. Returns the code of its GOAWAY and the number of frames sent.
fn send_frames_until_closed(
    server: &TestServer,
    mut frames: impl FnMut(u32) -> Vec<u8>,
    max_frames: u32,
) -> (Option<u32>, u32) {
    let mut connection = Connection::open(&server.address);
    let mut sent = 0;
    while sent < max_frames && connection.send(&frames(sent)).is_ok() {
        sent += 1;
    }
    (connection.goaway_code(TIMEOUT), sent)
}

#[tokio::test(flavor = "multi_thread")]
async fn http2_abuse_closes_the_connection_without_memory_growth() {
    let server = TestServer::start();
    let before = server.rss_kib();
    let block = grpc_header_block(SEND, &[]);
    let (code, _) = send_frames_until_closed(
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

    let (code, sent) = send_frames_until_closed(
        &server,
        |n| match n {
            0 => frame(HEADERS, 0, 1, &block),
            _ => frame(CONTINUATION, 0, 1, &grpc_header_block("/", &[("padding", &"x".repeat(8_000))])),
        },
        100_000,
    );
    println!("CONTINUATION without an end: GOAWAY {code:?} after {sent} frames");
    assert!(sent < 100_000);

    let (code, sent) = send_frames_until_closed(
        &server,
        |_| frame(WINDOW_UPDATE, 0, 0, &0x7fff_ffff_u32.to_be_bytes()),
        100_000,
    );
    println!("window overflow: GOAWAY {code:?} after {sent} frames");
    assert!(sent < 100_000);

    // Errors on streams that the server has to reset (MadeYouReset).
    let (code, sent) = send_frames_until_closed(
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

    let grown = server.rss_kib().saturating_sub(before);
    println!("memory grew by {grown} KiB");
    assert!(grown < 32 << 10, "{grown} KiB");
    // A header list above 8 KiB fails only its own stream.
    let mut connection = Connection::open(&server.address);
    let long = grpc_header_block(SEND, &[("long", &"x".repeat(12_000))]);
    connection.send(&frame(HEADERS, END_HEADERS | END_STREAM, 1, &long)).unwrap();
    loop {
        let next = connection.next_frame(TIMEOUT).expect("a response");
        assert!(next.kind != GOAWAY, "only the stream fails");
        if next.stream == 1 {
            break;
        }
    }
    assert_eq!(server.health().await.status(), v1::Status::Ok);
}

/// Sends an HTTP/1.1 request with these header lines; SELF is the server's address. Returns the status and the response.
fn http1_request(
    server: &TestServer,
    method: &str,
    path: &str,
    headers: &[&str],
    body: &str,
) -> (u16, String) {
    let mut head = format!("{method} {path} HTTP/1.1\r\nConnection: close\r\n");
    for header in headers.iter().chain(&[format!("Content-Length: {}", body.len()).as_str()]) {
        head.push_str(&header.replace("SELF", &server.address));
        head.push_str("\r\n");
    }
    let response = read_until_closed(server, format!("{head}\r\n{body}").as_bytes());
    let response = String::from_utf8_lossy(&response).into_owned();
    (response[9..12].parse().unwrap(), response)
}

#[tokio::test]
async fn cross_origin_requests_are_denied() {
    let server = TestServer::start_with(&[
        ("MILLRACE_ALLOWED_HOSTS", "analytics.example.com"),
        ("MILLRACE_ALLOWED_ORIGINS", "https://public.example"),
    ]);
    let json = "Content-Type: application/json";
    let now = jiff::Timestamp::now();
    let events = format!(r#"[{{"event_name":"a","timestamp":"{now}","session_id":"s"}}]"#);
    let post = |headers: &[&str]| http1_request(&server, "POST", "/events", headers, &events);
    let get = |path: &str, headers: &[&str]| http1_request(&server, "GET", path, headers, "");

    // curl, the dashboard page, another allowed origin, a development server, a proxy with its own name.
    assert_eq!(post(&["Host: SELF", json]).0, 200);
    assert_eq!(post(&["Host: SELF", json, "Origin: http://SELF"]).0, 200);
    assert_eq!(post(&["Host: SELF", json, "Origin: https://public.example"]).0, 200);
    let beacon = ["Host: SELF", "Content-Type: text/plain;charset=UTF-8", "Origin: https://public.example"];
    assert_eq!(post(&beacon).0, 200, "sendBeacon");
    assert_eq!(post(&["Host: localhost:5173", json, "Origin: http://localhost:5173"]).0, 200);
    assert_eq!(post(&["Host: analytics.example.com", json, "Origin: https://analytics.example.com"]).0, 200);
    assert_eq!(get("/api/panels", &["Host: SELF"]).0, 200);
    assert_eq!(get("/readyz", &["Host: pod.example"]).0, 200, "a probe");

    let cases = [
        // What a page may send without a CORS preflight: text/plain, a form, no content type.
        (
            post(&["Host: SELF", "Content-Type: text/plain", "Origin: https://evil.example"]),
            403,
            "ALLOWED_ORIGINS",
        ),
        (
            post(&["Host: SELF", "Content-Type: text/plain", "Sec-Fetch-Site: cross-site"]),
            403,
            "Sec-Fetch-Site",
        ),
        (post(&["Host: SELF", "Content-Type: application/x-www-form-urlencoded"]), 415, "application/json"),
        (post(&["Host: SELF"]), 415, "application/json"),
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
            http1_request(&server, "OPTIONS", "/events", &["Host: SELF", "Origin: https://evil.example"], ""),
            403,
            "MILLRACE_ALLOWED_ORIGINS",
        ),
    ];
    for ((status, response), expected, part) in cases {
        assert_eq!(status, expected, "{response}");
        assert!(response.contains(part), "{response}");
        assert!(
            response.contains("application/problem+json") && !response.contains("access-control-allow"),
            "{response}"
        );
        assert!(response.contains("cross-origin-resource-policy: same-origin"), "{response}");
    }
    // gRPC-Web, from the dashboard page and from another page.
    let web = "Content-Type: application/grpc-web+proto";
    let list = "/millrace.v1.DashboardService/ListPanels";
    let empty = "\0\0\0\0\0";
    assert_eq!(
        http1_request(&server, "POST", list, &["Host: SELF", web, "Origin: http://SELF"], empty).0,
        200
    );
    assert_eq!(
        http1_request(&server, "POST", list, &["Host: SELF", web, "Origin: http://evil.example"], empty).0,
        403
    );
    assert_eq!(http1_request(&server, "POST", list, &["Host: evil.example", web], empty).0, 403);
}

/// As in a cluster, where clients know the server by a name of the internal network.
#[tokio::test]
async fn a_grpc_client_may_use_any_authority() {
    let server = TestServer::start();
    let origin = "http://millrace.monitoring.svc.cluster.local:8080".parse().unwrap();
    let channel = tonic::transport::Endpoint::from_shared(server.url())
        .unwrap()
        .origin(origin)
        .connect()
        .await
        .unwrap();
    let mut ingest = v1::ingest_service_client::IngestServiceClient::new(channel);
    assert_eq!(ingest.send_events(events_request(vec![event("a")])).await.unwrap().into_inner().accepted, 1);
}

/// Collects the paths below a folder that other users can read or write.
fn accessible_to_others(path: &Path, found: &mut Vec<String>) {
    let metadata = path.symlink_metadata().unwrap();
    let mode = metadata.permissions().mode();
    if mode & 0o077 != 0 && !metadata.is_symlink() {
        found.push(format!("{} {:o}", path.display(), mode & 0o777));
    }
    if metadata.is_dir() {
        for entry in std::fs::read_dir(path).unwrap() {
            accessible_to_others(&entry.unwrap().path(), found);
        }
    }
}

#[tokio::test]
async fn stored_files_are_private_to_their_owner() {
    let folder = std::sync::Arc::new(tempfile::tempdir().unwrap());
    // As an earlier version created it.
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let server = TestServer::start_on(folder, &[]);
    server.ingest().await.send_events(events_request(vec![event("a"); 100])).await.unwrap();
    server.wait_until_landed().await;
    let mut found = Vec::new();
    accessible_to_others(server.data_dir(), &mut found);
    assert_eq!(found.len(), 0, "the first: {:?}", found.first());

    // A batch that ClickHouse does not accept becomes a dead letter.
    server.sql("ALTER TABLE events ADD CONSTRAINT no_poison CHECK event_name != 'poison'").await;
    server.ingest().await.send_events(events_request(vec![event("poison"); 100])).await.unwrap();
    let has_dead_letter =
        |health: &v1::Health| health.dead_letters.as_ref().is_some_and(|letters| letters.batches > 0);
    server.wait_for_health("with a dead letter", has_dead_letter).await;
    accessible_to_others(server.data_dir(), &mut found);
    assert_eq!(found.len(), 0, "the first: {:?}", found.first());
}

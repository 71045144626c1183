//! The limits of keys.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use millrace_client::proto::v1;
use tokio_stream::StreamExt as _;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Code;
use tonic_types::StatusExt as _;

use crate::common::{TIMEOUT, TestServer, event, events_request, http_request_with};
use crate::keys::{authorized, create_key};

const EVENTS_PER_REQUEST: u64 = 100;

/// Sends on a stream, as fast as the server lets it, until `stop`. Returns the accepted events.
async fn send_until(server: &TestServer, key: &str, stop: Instant) -> u64 {
    let (requests, outbound) = tokio::sync::mpsc::channel(64);
    let sender = tokio::spawn(async move {
        let events = vec![event("page_view"); EVENTS_PER_REQUEST as usize];
        let request = v1::StreamEventsRequest { events, ..Default::default() };
        // Ends when the stream does.
        while Instant::now() < stop && requests.send(request.clone()).await.is_ok() {}
    });
    let request = authorized(key, ReceiverStream::new(outbound));
    let responses = server.ingest().await.stream_events(request).await.unwrap().into_inner();
    let until_stop = tokio_stream::StreamExt::timeout(responses, TIMEOUT);
    tokio::pin!(until_stop);
    let mut accepted = 0;
    while Instant::now() < stop
        && let Some(response) = until_stop.next().await
    {
        accepted += response.expect("the stream is alive").unwrap().accepted;
    }
    sender.abort();
    accepted
}

/// Sends single events at a constant rate until `stop`, and returns the time of each until its acknowledgement.
async fn latencies_until(server: &TestServer, key: &str, stop: Instant) -> Vec<Duration> {
    let mut ingest = server.ingest().await;
    let mut tick = tokio::time::interval(Duration::from_millis(10));
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
    let mut latencies = Vec::new();
    while Instant::now() < stop {
        tick.tick().await;
        let sent_at = Instant::now();
        ingest.send_events(authorized(key, events_request(vec![event("page_view")]))).await.unwrap();
        latencies.push(sent_at.elapsed());
    }
    latencies.sort_unstable();
    latencies
}

/// A sender with a limit of 1,000 events/s and a burst of 2,000, and another one beside it. `LIMIT_SECONDS=60` measures for a minute,
/// and then expects the limit to be used up within 1 %, and the other's latency to stay within 20 %; a shorter run on a busy
/// machine only expects that the limit is not exceeded.
#[tokio::test(flavor = "multi_thread")]
async fn a_key_sends_as_fast_as_it_may_and_slows_nobody_down() {
    let seconds = std::env::var("LIMIT_SECONDS").map_or(4, |seconds| seconds.parse().unwrap());
    let folder = Arc::new(tempfile::tempdir().unwrap());
    let limited =
        create_key(folder.path(), &["--scope", "write", "--events-per-second", "1000", "--burst", "2000"]);
    let free = create_key(folder.path(), &["--scope", "write"]);
    let server = TestServer::start_on(folder, &[]);
    let duration = Duration::from_secs(seconds);
    let calm = latencies_until(&server, &free, Instant::now() + duration).await;
    let started = Instant::now();
    let stop = started + duration;
    let (accepted, busy) =
        tokio::join!(send_until(&server, &limited, stop), latencies_until(&server, &free, stop));
    let elapsed = started.elapsed();
    let most = 2_000.0 + 1_000.0 * elapsed.as_secs_f64();
    println!("{accepted} events accepted in {elapsed:.2?}, at most {most:.0}");
    let p99 = |latencies: &[Duration]| latencies[latencies.len() * 99 / 100];
    println!("the other key's p99: calm {:.2?}, beside the limited one {:.2?}", p99(&calm), p99(&busy));
    assert!(accepted as f64 <= most, "{accepted} in {elapsed:?}");
    assert!(accepted > 2_000, "the burst, and what follows it: {accepted}");
    if seconds >= 60 {
        assert!(accepted as f64 >= 0.99 * most, "{accepted} in {elapsed:?}");
        assert!(p99(&busy) <= p99(&calm).mul_f64(1.2), "{:?} instead of {:?}", p99(&busy), p99(&calm));
    }

    // A call that cannot wait is told when to retry; the other key is served meanwhile.
    let mut ingest = server.ingest().await;
    let request = |events: usize| events_request(vec![event("page_view"); events]);
    let error = loop {
        match ingest.send_events(authorized(&limited, request(500))).await {
            Ok(_) => {}
            Err(error) => break error,
        }
    };
    assert_eq!(error.code(), Code::ResourceExhausted, "{error}");
    let retry = error.get_details_retry_info().and_then(|info| info.retry_delay).unwrap();
    assert!(retry > Duration::ZERO && retry <= Duration::from_secs(1), "{retry:?}");
    assert!(error.message().contains("1000 events per second"), "{error}");
    assert_eq!(ingest.send_events(authorized(&free, request(500))).await.unwrap().into_inner().accepted, 500);
}

#[tokio::test]
async fn streams_and_days_have_limits_too() {
    let folder = Arc::new(tempfile::tempdir().unwrap());
    let create = |arguments: &[&str]| create_key(folder.path(), &[&["--scope", "write"], arguments].concat());
    let one_stream = create(&["--max-streams", "1"]);
    let one_request = create(&["--max-requests", "1"]);
    let daily = create(&["--events-per-day", "1000"]);
    let mut server = TestServer::start_on(Arc::clone(&folder), &[]);
    let mut ingest = server.ingest().await;
    let (_requests, outbound) = tokio::sync::mpsc::channel(1);
    let open = ingest.stream_events(authorized(&one_stream, ReceiverStream::new(outbound))).await.unwrap();
    let none = || tokio_stream::iter(Vec::<v1::StreamEventsRequest>::new());
    let error = ingest.stream_events(authorized(&one_stream, none())).await.unwrap_err();
    assert_eq!(error.code(), Code::ResourceExhausted);
    assert!(error.message().contains("1 open streams"), "{error}");
    drop(open);

    // A request is in flight while the server waits for its body.
    let now = jiff::Timestamp::now();
    let body = format!(r#"{{"event_name":"a","timestamp":"{now}","session_id":"s"}}"#);
    let body = body.as_bytes();
    let headers = format!("Authorization: Bearer {one_request}\r\nContent-Type: application/x-ndjson\r\n");
    let mut first = TcpStream::connect(&server.address).unwrap();
    first.set_read_timeout(Some(TIMEOUT)).unwrap();
    let length = format!("Expect: 100-continue\r\nContent-Length: {}\r\n", body.len());
    write!(first, "POST /events HTTP/1.1\r\nHost: x\r\n{headers}{length}\r\n").unwrap();
    let mut expected = [0; 25];
    first.read_exact(&mut expected).unwrap();
    assert_eq!(&expected, b"HTTP/1.1 100 Continue\r\n\r\n");
    let (head, refused) = http_request_with(&server, "POST", "/events", &headers, body);
    assert!(head.starts_with("HTTP/1.1 429") && head.contains("retry-after: 1"), "{head}");
    assert!(String::from_utf8_lossy(&refused).contains("1 requests in flight"), "{refused:?}");
    first.write_all(body).unwrap();
    let mut response = [0; 12];
    first.read_exact(&mut response).unwrap();
    assert_eq!(&response, b"HTTP/1.1 200");
    let (head, _) = http_request_with(&server, "POST", "/events", &headers, body);
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");

    // The count of the day survives kill -9.
    let send = |events: usize| authorized(&daily, events_request(vec![event("a"); events]));
    ingest.send_events(send(400)).await.unwrap();
    server.child.kill().unwrap();
    server.wait();
    let server = TestServer::start_on(folder, &[]);
    // The block that was reserved before the crash is the whole limit.
    let error = server.ingest().await.send_events(send(1)).await.unwrap_err();
    assert_eq!(error.code(), Code::ResourceExhausted, "{error}");
    assert!(error.message().contains("1000 events per day"), "{error}");
}

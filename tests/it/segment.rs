//! Segment's libraries, unmodified, through a proxy that fails some of their requests.

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::process::Command;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use crate::clients::{assert_succeeds, clients_dir, python, tools_dir};
use crate::common::{TestServer, http_request_with};

/// Track calls of each library.
const EVENTS: u64 = 10_000;
/// Identify, group, alias, page and screen.
const OTHER_CALLS: u64 = 5;

/// What becomes of the first request of a batch. Further ones are forwarded.
#[derive(Clone, Copy, Debug)]
enum Outcome {
    Forwarded,
    /// 500 instead of the response of the server.
    ErrorAfterwards,
    /// 500 without the server.
    ErrorBefore,
    /// No response until the client gives up.
    TimeOut,
    /// The connection is closed instead of the response.
    Closed,
}

const OUTCOMES: [Outcome; 5] =
    [Outcome::ErrorAfterwards, Outcome::TimeOut, Outcome::Forwarded, Outcome::Closed, Outcome::ErrorBefore];

/// Requests per batch, by the id of its first message.
type Attempts = Arc<Mutex<HashMap<String, usize>>>;

/// Starts the proxy. Its threads end with the test's process.
fn start_proxy(server: &str) -> (String, Attempts) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let attempts = Attempts::default();
    let (server, of_proxy) = (server.to_owned(), Arc::clone(&attempts));
    std::thread::spawn(move || {
        for client in listener.incoming() {
            let (server, attempts) = (server.clone(), Arc::clone(&of_proxy));
            std::thread::spawn(move || serve(client.unwrap(), &server, &attempts));
        }
    });
    (url, attempts)
}

/// Handles the requests of a connection, until either side closes it.
fn serve(mut client: TcpStream, server: &str, attempts: &Attempts) {
    const ERROR: &[u8] = b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n";
    let mut reader = BufReader::new(client.try_clone().unwrap());
    while let Some((head, body)) = read_message(&mut reader) {
        let outcome = next_outcome(&head, &body, attempts);
        let mut response = ERROR.to_vec();
        if !matches!(outcome, Outcome::ErrorBefore) {
            let mut upstream = TcpStream::connect(server).unwrap();
            upstream.write_all(head.as_bytes()).unwrap();
            upstream.write_all(&body).unwrap();
            let (head, body) = read_message(&mut BufReader::new(upstream)).expect("a response");
            if matches!(outcome, Outcome::Forwarded) {
                response = [head.into_bytes(), body].concat();
            }
        }
        match outcome {
            Outcome::TimeOut => {
                // Ends when the client closes the connection.
                reader.read_to_end(&mut Vec::new()).ok();
                return;
            }
            Outcome::Closed => {
                client.shutdown(Shutdown::Both).ok();
                return;
            }
            _ if client.write_all(&response).is_err() => return,
            _ => {}
        }
    }
}

/// A request or response with `Content-Length`; `None` at the end of the connection.
fn read_message(reader: &mut BufReader<TcpStream>) -> Option<(String, Vec<u8>)> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head).ok()? == 0 {
            return None;
        }
    }
    let lines = head.to_ascii_lowercase();
    let length = lines.lines().find_map(|line| line.strip_prefix("content-length:"));
    let mut body = vec![0; length.expect("Content-Length").trim().parse().unwrap()];
    reader.read_exact(&mut body).ok()?;
    Some((head, body))
}

fn next_outcome(head: &str, body: &[u8], attempts: &Attempts) -> Outcome {
    let mut text = String::new();
    let is_gzip = head.to_ascii_lowercase().contains("content-encoding: gzip");
    match is_gzip {
        true => flate2::read::GzDecoder::new(body).read_to_string(&mut text).unwrap(),
        false => (&*body).read_to_string(&mut text).unwrap(),
    };
    let batch: Value = serde_json::from_str(&text).unwrap();
    let first = batch["batch"][0]["messageId"].as_str().unwrap().to_owned();
    let mut attempts = attempts.lock().unwrap();
    let number = attempts.len();
    let requests = attempts.entry(first).or_default();
    *requests += 1;
    if *requests == 1 { OUTCOMES[number % OUTCOMES.len()] } else { Outcome::Forwarded }
}

async fn assert_counted_once(server: &TestServer, attempts: &Attempts, session: &str) {
    let requests: Vec<usize> = attempts.lock().unwrap().values().copied().collect();
    assert!(requests.len() >= OUTCOMES.len(), "too few batches: {requests:?}");
    assert!(requests.iter().filter(|requests| **requests > 1).count() >= requests.len() / 2, "{requests:?}");
    let health = server.wait_until_landed().await;
    assert!(health.events_duplicate > 0, "no request was repeated");
    let events = format!(
        "SELECT count(), uniqExact(event_id), uniqExact(JSONExtractUInt(properties, 'n')) FROM events \
         WHERE event_name = 'Order Completed' AND session_id = '{session}' AND user_id = 'ada'"
    );
    assert_eq!(server.sql_numbers(&events).await, [EVENTS; 3]);
    let others = "SELECT arrayStringConcat(arraySort(groupArray(event_name)), ' ') FROM events \
                  WHERE event_name != 'Order Completed'";
    assert_eq!(server.sql(others).await, "alias group identify page_view screen_view");
    let page = "SELECT JSONExtractString(properties, 'page_url'), JSONExtractString(properties, 'name') FROM events \
                WHERE event_name = 'page_view'";
    assert_eq!(server.sql(page).await, "/pricing\tPricing");
    assert_eq!(health.events_accepted, EVENTS + OTHER_CALLS);
}

#[tokio::test]
async fn analytics_node_counts_every_message_once_through_errors_and_time_outs() {
    let server = TestServer::start();
    let (url, attempts) = start_proxy(&server.address);
    assert_succeeds(
        Command::new("node")
            .arg(tools_dir().join("node/segment_client.mjs"))
            .env("SEGMENT_HOST", url)
            .env("EVENTS", EVENTS.to_string()),
    );
    assert_counted_once(&server, &attempts, "node").await;
}

#[tokio::test]
async fn analytics_python_counts_every_message_once_through_errors_and_time_outs() {
    let server = TestServer::start();
    let (url, attempts) = start_proxy(&server.address);
    assert_succeeds(
        Command::new(python())
            .arg(clients_dir().join("segment_client.py"))
            .env("SEGMENT_HOST", url)
            .env("EVENTS", EVENTS.to_string()),
    );
    assert_counted_once(&server, &attempts, "python").await;
}

#[tokio::test]
async fn calls_and_batches_are_limited_like_those_of_segment() {
    let server = TestServer::start();
    let post = |path: &str, content_type: &str, body: &Value| {
        // The key is checked if there are any; without, any user name is accepted.
        let headers = format!("Authorization: Basic d3JpdGVLZXk6\r\nContent-Type: {content_type}\r\n");
        let (head, body) = http_request_with(&server, "POST", path, &headers, body.to_string().as_bytes());
        let status: u16 = head.split(' ').nth(1).unwrap().parse().unwrap();
        (status, serde_json::from_slice::<Value>(&body).unwrap())
    };
    let message = json!({ "messageId": "m-1", "anonymousId": "s", "event": "Clicked", "name": "Pricing" });
    for (path, content_type) in [
        ("/v1/track", "application/json"),
        ("/v1/track", "application/json"), // the same message again
        ("/v1/t", "text/plain"),           // analytics.js
    ] {
        assert_eq!(post(path, content_type, &message), (200, json!({ "success": true })));
    }
    let with_type = |kind: &str, padding: usize| json!({ "type": kind, "anonymousId": "s", "event": "Batched", "context": { "x": "x".repeat(padding) } });
    let mixed =
        json!({ "batch": [with_type("track", 0), with_type("delete", 0), with_type("track", 33_000)] });
    let (status, response) = post("/v1/batch", "application/json", &mixed);
    assert_eq!((status, &response["success"], &response["rejected"]), (200, &json!(true), &json!(2)));
    assert_eq!(
        (&response["rejections"][0]["index"], &response["rejections"][1]["index"]),
        (&json!(1), &json!(2))
    );
    for (path, body, expected, part) in [
        ("/v1/track", with_type("track", 33_000), 413, "32768"),
        ("/v1/b", json!({ "batch": vec![with_type("track", 30_000); 20] }), 413, "512000"),
        ("/v1/batch", json!({ "batch": [with_type("delete", 0)] }), 400, "unknown variant `delete`"),
        ("/v1/batch", json!({ "batch": vec![json!({}); 2_501] }), 400, "2501 were sent"),
        ("/v1/batch", json!([1]), 400, "Segment's tracking API"),
        ("/v1/identify", json!({ "timestamp": "soon" }), 400, "timestamp"),
    ] {
        let (status, problem) = post(path, "application/json", &body);
        assert_eq!(status, expected, "{problem}");
        assert!(problem["detail"].as_str().unwrap().contains(part), "{problem}");
    }
    assert_eq!(post("/v1/track", "application/x-ndjson", &message).0, 415);
    server.wait_until_landed().await;
    let counts =
        "SELECT countIf(event_name = 'Clicked'), countIf(event_name = 'Batched'), count() FROM events";
    assert_eq!(server.sql_numbers(counts).await, [1, 1, 2]);
}

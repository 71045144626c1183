//! The HTTP API with JSON.

use std::io::Write as _;

use millrace_client::proto::v1;
use serde_json::{Value, json};

use crate::common::{TestServer, http_request, http_request_with};

struct HttpResponse {
    status: u16,
    headers: String,
    body: String,
}

impl HttpResponse {
    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }
}

impl From<(String, Vec<u8>)> for HttpResponse {
    fn from((headers, body): (String, Vec<u8>)) -> Self {
        let status = headers.split(' ').nth(1).unwrap().parse().unwrap();
        Self { status, headers: headers.to_lowercase(), body: String::from_utf8(body).unwrap() }
    }
}

fn request(server: &TestServer, method: &str, path: &str, body: &str) -> HttpResponse {
    http_request(server, method, path, "application/json", body.as_bytes()).into()
}

/// Sends a body to `POST /events` with headers, which are separated by `|`.
fn post_body(server: &TestServer, headers: &str, body: &[u8]) -> HttpResponse {
    let headers = headers.split('|').map(|header| format!("{header}\r\n")).collect::<String>();
    http_request_with(server, "POST", "/events", &headers, body).into()
}

fn get(server: &TestServer, path: &str) -> HttpResponse {
    request(server, "GET", path, "")
}

fn post(server: &TestServer, events: &Value) -> HttpResponse {
    request(server, "POST", "/events", &events.to_string())
}

#[tokio::test]
async fn events_and_panels_work_over_http_json() {
    let server = TestServer::start();
    let now = jiff::Timestamp::now().to_string();
    let page = json!({
        "event_name": "page_view", "timestamp": now, "session_id": "s1", "country_code": "es",
        "properties": { "page_url": "/pricing", "duration_ms": 1500 },
    });
    let nameless = json!({ "timestamp": now });
    let unknown_field = json!({ "event_name": "x", "timestamp": now, "colour": "red" });
    let accepted = post(&server, &json!([nameless, page, unknown_field, page]));
    assert_eq!(accepted.status, 200, "{}", accepted.body);
    let body = accepted.json();
    assert_eq!((&body["accepted"], &body["rejected"]), (&json!(2), &json!(2)));
    let rejections = body["rejections"].as_array().unwrap();
    assert_eq!((&rejections[0]["index"], &rejections[0]["field"]), (&json!(0), &json!("event_name")));
    assert_eq!(rejections[1]["index"], json!(2));
    assert!(rejections[1]["reason"].as_str().unwrap().contains("colour"), "{body}");
    server.wait_until_landed().await;

    let visitors = get(&server, "/api/dashboard/live-visitors");
    let visitors = visitors.json();
    assert_eq!((&visitors["total_views"], &visitors["unique_visitors"]), (&json!(2), &json!(1)));
    assert_eq!(visitors["avg_duration_ms"], json!(1500.0));
    for panel in [
        "active-users",
        "signup-funnel",
        "top-features",
        "error-rate",
        "live-visitors",
        "top-pages",
        "traffic-by-country",
        "traffic-anomaly",
    ] {
        let query = format!("/api/dashboard/{panel}?time_range=24h&time_zone=Europe/Madrid");
        let response = get(&server, &query);
        assert_eq!(response.status, 200, "{}", response.body);
        assert_eq!(response.json()["context"]["time_zone"], "Europe/Madrid");
    }
    let list = get(&server, "/api/panels").json();
    let active_users =
        list["panels"].as_array().unwrap().iter().find(|panel| panel["name"] == "active_users");
    assert_eq!(active_users.unwrap()["chart"], "CHART_AREA");
    let table = get(&server, "/api/panels/top_pages?time_range=6h&limit=3").json();
    assert_eq!(table["table"]["rows"][0]["values"][0]["string_value"], "/pricing");
    let health = get(&server, "/health").json();
    assert_eq!((&health["status"], &health["buffer_size"]), (&json!("ok"), &json!(0)));
    let last_flush = health["last_flush"].as_str().unwrap();
    assert!(last_flush.parse::<jiff::Timestamp>().is_ok() && last_flush.ends_with('Z'), "{health}");
    assert!(health["uptime_seconds"].is_f64() && health["journal"]["bytes"].is_u64(), "{health}");
}

#[tokio::test]
async fn errors_are_problem_details() {
    let server = TestServer::start();
    let too_many = json!(vec![json!({ "event_name": "x" }); 501]);
    let all_rejected = post(&server, &json!([{ "event_name": "x" }]));
    assert_eq!(
        (all_rejected.status, &all_rejected.json()["rejected"]),
        (400, &json!(1)),
        "no event is valid"
    );
    let cases = [
        (post(&server, &too_many), 400, "501 were sent; POST /events takes at most 500"),
        (post(&server, &json!({ "event_name": "x" })), 400, "not a JSON array"),
        (request(&server, "POST", "/events", "[{]"), 400, "not a JSON array"),
        (request(&server, "POST", "/events", &" ".repeat(5_000_000)), 413, "MILLRACE_MAX_MESSAGE_BYTES"),
        (get(&server, "/api/panels/nothing"), 404, "\"nothing\" is not known"),
        (get(&server, "/api/dashboard/top-pages?time_range=2h"), 400, "range: \"2h\""),
        (get(&server, "/api/dashboard/top-pages?limit=0"), 400, "from 1 to 100"),
        (get(&server, "/api/dashboard/top-pages?size=5"), 400, "it has limit"),
        (get(&server, "/api/nothing"), 404, "/api/panels"),
        (get(&server, "/api/panels/%ff"), 400, "UTF-8"),
        (get(&server, "/events"), 405, "/events has no method GET"),
        (request(&server, "DELETE", "/health", ""), 405, "/health has no method DELETE"),
    ];
    for (response, status, part) in cases {
        assert_eq!(response.status, status, "{}", response.body);
        assert!(response.headers.contains("content-type: application/problem+json"), "{}", response.headers);
        let detail = response.json()["detail"].as_str().unwrap().to_owned();
        assert!(detail.contains(part), "{detail:?} does not contain {part:?}");
    }
    assert_eq!(get(&server, "/").status, 200);
    assert_eq!(server.health().await.status(), v1::Status::Ok);
}

fn gzip(data: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(data).unwrap();
    encoder.finish().unwrap()
}

/// The simplest form of brotli: a metablock without compression, of at most 64 KiB, and an empty last one.
fn brotli(data: &[u8]) -> Vec<u8> {
    let header = u32::try_from((data.len() - 1) << 4 | 1 << 20).unwrap();
    [&header.to_le_bytes()[..3], data, &[3]].concat()
}

#[tokio::test]
async fn events_are_read_from_arrays_and_lines_in_every_compression() {
    let server = TestServer::start();
    let event = json!({ "event_name": "a", "timestamp": jiff::Timestamp::now().to_string() }).to_string();
    let (array, lines) =
        (format!("[{event},{event}]").into_bytes(), format!("{event}\r\n\n{event}").into_bytes());
    const JSON: &str = "Content-Type: application/json";
    const LINES: &str = "Content-Type: application/x-ndjson";
    let bomb = zstd::encode_all(&*vec![b' '; 64 << 20], 1).unwrap();
    let accepted = [
        post_body(&server, "Content-Type: text/plain;charset=UTF-8", &array),
        post_body(&server, LINES, &lines),
        post_body(&server, &format!("{JSON}|Content-Encoding: gzip"), &gzip(&array)),
        post_body(
            &server,
            &format!("{LINES}|Content-Encoding: zstd"),
            &zstd::encode_all(&*lines, 1).unwrap(),
        ),
        post_body(&server, &format!("{JSON}|Content-Encoding: br"), &brotli(&array)),
    ];
    for response in &accepted {
        assert_eq!((response.status, &response.json()["accepted"]), (200, &json!(2)), "{}", response.body);
    }
    let mixed = post_body(&server, LINES, format!("{event}\nnonsense\n{event}").as_bytes());
    assert_eq!((mixed.status, &mixed.json()["accepted"]), (200, &json!(2)), "{}", mixed.body);
    assert_eq!(mixed.json()["rejections"][0]["index"], 1);

    for (headers, body, status, part) in [
        ("Content-Type: text/csv", &array, 415, "application/json or text/plain"),
        ("X-Nothing: 1", &array, 415, "application/x-ndjson"),
        (&format!("{JSON}|Content-Encoding: deflate"), &array, 415, "gzip, zstd, br"),
        (&format!("{JSON}|Content-Encoding: gzip"), &array, 400, "cannot be decompressed as gzip"),
        (&format!("{JSON}|Content-Encoding: zstd"), &bomb, 413, "MILLRACE_MAX_MESSAGE_BYTES"),
        (
            &format!("{JSON}|Idempotency-Key: {}", "k".repeat(300)),
            &array,
            400,
            "Idempotency-Key has 300 bytes",
        ),
        (
            &format!("{JSON}|Millrace-Sent-To-Another-Server: yes"),
            &array,
            400,
            "Millrace-Sent-To-Another-Server must be true or false",
        ),
    ] {
        let response = post_body(&server, headers, body);
        assert_eq!(response.status, status, "{}", response.body);
        assert!(response.headers.contains("content-type: application/problem+json"), "{}", response.headers);
        assert!(response.json()["detail"].as_str().unwrap().contains(part), "{}", response.body);
        assert_eq!(response.headers.contains("accept-encoding: gzip, zstd, br"), part == "gzip, zstd, br");
    }
}

#[tokio::test]
async fn a_repeated_idempotency_key_counts_its_events_once() {
    let server = TestServer::start();
    let now = jiff::Timestamp::now().to_string();
    let event = json!({ "event_name": "a", "timestamp": now });
    let with_id =
        json!({ "event_name": "b", "timestamp": now, "event_id": "01a2a3f0-0000-4000-8000-000000000001" });
    let body = json!([event, { "timestamp": now }, event, with_id]).to_string();
    let send = |server: &TestServer, key: &str| {
        let headers = format!("Content-Type: application/json|Idempotency-Key: {key}");
        let response = post_body(server, &headers, body.as_bytes());
        assert_eq!(response.status, 200, "{}", response.body);
        response.json()
    };
    let first = send(&server, "order-1");
    assert_eq!(
        (&first["accepted"], &first["rejected"], &first["duplicates"]),
        (&json!(3), &json!(1), &json!(0))
    );
    assert_eq!(send(&server, "order-1"), first);
    assert_eq!(send(&server, "order-2"), first, "events with an id of their own are recognised by it");
    let data_dir = server.shared_data_dir();
    drop(server); // kill -9
    let server = TestServer::start_on(data_dir, &[]);
    assert_eq!(send(&server, "order-1"), first);
    server.wait_until_landed().await;
    assert_eq!(
        server.sql("SELECT countIf(event_name = 'a'), countIf(event_name = 'b') FROM events").await,
        "4\t1"
    );
}

//! The HTTP API with JSON.

use millrace_client::proto::v1;
use serde_json::{Value, json};

use crate::common::{TestServer, http_request};

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

fn request(server: &TestServer, method: &str, path: &str, body: &str) -> HttpResponse {
    let (headers, body) = http_request(server, method, path, "application/json", body.as_bytes());
    let status = headers.split(' ').nth(1).unwrap().parse().unwrap();
    HttpResponse { status, headers: headers.to_lowercase(), body: String::from_utf8(body).unwrap() }
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
    assert_eq!((&body["accepted"], &body["rejected"]), (&json!("2"), &json!("2")));
    let rejections = body["rejections"].as_array().unwrap();
    assert_eq!((&rejections[0]["index"], &rejections[0]["field"]), (&json!(0), &json!("event_name")));
    assert_eq!(rejections[1]["index"], json!(2));
    assert!(rejections[1]["reason"].as_str().unwrap().contains("colour"), "{body}");
    server.wait_until_landed().await;

    let visitors = get(&server, "/api/dashboard/live-visitors");
    let visitors = visitors.json();
    assert_eq!((&visitors["total_views"], &visitors["unique_visitors"]), (&json!("2"), &json!("1")));
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
    assert_eq!((&health["status"], &health["buffer_size"]), (&json!("STATUS_OK"), &json!("0")));
    assert!(health["last_flush"].is_string(), "{health}");
}

#[tokio::test]
async fn errors_are_problem_details() {
    let server = TestServer::start();
    let too_many = json!(vec![json!({ "event_name": "x" }); 501]);
    let all_rejected = post(&server, &json!([{ "event_name": "x" }]));
    assert_eq!(
        (all_rejected.status, &all_rejected.json()["rejected"]),
        (400, &json!("1")),
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

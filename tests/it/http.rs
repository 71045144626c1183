//! HTTP with JSON, as curl speaks it.

use millrace::proto::v1;
use serde_json::{Value, json};

use crate::common::Server;

struct Answer {
    status: u16,
    headers: String,
    body: String,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }
}

async fn curl(server: &Server, path: &str, more: &[&str]) -> Answer {
    let url = format!("{}{path}", server.url());
    let output = tokio::process::Command::new("curl")
        .args(["--silent", "--show-error", "--include", "--max-time", "30"])
        .args(more)
        .arg(&url)
        .output()
        .await
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    let (headers, body) = text.split_once("\r\n\r\n").unwrap();
    let status = headers.split(' ').nth(1).unwrap().parse().unwrap();
    Answer { status, headers: headers.to_lowercase(), body: body.to_owned() }
}

async fn post(server: &Server, events: &Value) -> Answer {
    curl(server, "/events", &["--json", &events.to_string()]).await
}

#[tokio::test]
async fn events_in_and_panels_out_as_json() {
    let server = Server::start();
    let now = jiff::Timestamp::now().to_string();
    let page = json!({
        "event_name": "page_view", "timestamp": now, "session_id": "s1", "country_code": "es",
        "properties": { "page_url": "/pricing", "duration_ms": 1500 },
    });
    let nameless = json!({ "timestamp": now });
    let odd = json!({ "event_name": "x", "timestamp": now, "colour": "red" });
    let taken = post(&server, &json!([nameless, page, odd, page])).await;
    assert_eq!(taken.status, 200, "{}", taken.body);
    let said = taken.json();
    assert_eq!((&said["accepted"], &said["rejected"]), (&json!("2"), &json!("2")));
    let rejections = said["rejections"].as_array().unwrap();
    assert_eq!((&rejections[0]["index"], &rejections[0]["field"]), (&json!(0), &json!("event_name")));
    assert_eq!(rejections[1]["index"], json!(2));
    assert!(rejections[1]["reason"].as_str().unwrap().contains("colour"), "{said}");
    server.wait_until_landed().await;

    let visitors = curl(&server, "/api/dashboard/live-visitors", &[]).await;
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
        let answer = curl(&server, &query, &[]).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        assert_eq!(answer.json()["context"]["time_zone"], "Europe/Madrid");
    }
    let list = curl(&server, "/api/panels", &[]).await.json();
    assert_eq!(list["panels"].as_array().unwrap().len(), 8);
    assert_eq!(list["panels"][0]["chart"], "CHART_LINE");
    let table = curl(&server, "/api/panels/top_pages?time_range=6h&limit=3", &[]).await.json();
    assert_eq!(table["table"]["rows"][0]["values"][0]["string_value"], "/pricing");
    let health = curl(&server, "/health", &[]).await.json();
    assert_eq!((&health["status"], &health["buffer_size"]), (&json!("STATUS_OK"), &json!("0")));
    assert!(health["last_flush"].is_string(), "{health}");
}

#[tokio::test]
async fn what_is_wrong_is_told_as_a_problem() {
    let server = Server::start();
    let too_many = json!(vec![json!({ "event_name": "x" }); 501]);
    let none = post(&server, &json!([{ "event_name": "x" }])).await;
    assert_eq!((none.status, &none.json()["rejected"]), (400, &json!("1")), "no event was taken");
    let cases = [
        (post(&server, &too_many).await, 400, "501 events"),
        (post(&server, &json!({ "event_name": "x" })).await, 400, "not a JSON array"),
        (curl(&server, "/events", &["--data-binary", "[{]"]).await, 400, "not a JSON array"),
        (curl(&server, "/api/panels/nothing", &[]).await, 404, "\"nothing\" is not known"),
        (curl(&server, "/api/dashboard/top-pages?time_range=2h", &[]).await, 400, "time_range: \"2h\""),
        (curl(&server, "/api/dashboard/top-pages?limit=0", &[]).await, 400, "from 1 to 100"),
        (curl(&server, "/api/dashboard/top-pages?size=5", &[]).await, 400, "it has limit"),
        (curl(&server, "/api/nothing", &[]).await, 404, "/api/panels"),
    ];
    for (answer, status, part) in cases {
        assert_eq!(answer.status, status, "{}", answer.body);
        assert!(answer.headers.contains("content-type: application/problem+json"), "{}", answer.headers);
        let detail = answer.json()["detail"].as_str().unwrap().to_owned();
        assert!(detail.contains(part), "{detail:?} lacks {part:?}");
    }
    assert_eq!(curl(&server, "/", &[]).await.status, 200);
    assert_eq!(server.health().await.status(), v1::Status::Ok);
}

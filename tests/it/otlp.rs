//! OpenTelemetry's logs: the Python SDK, and requests in JSON.

use std::process::Command;

use serde_json::{Value, json};

use crate::clients::{assert_succeeds, clients_dir, python};
use crate::common::{TestServer, http_request};

#[tokio::test]
async fn the_python_sdk_exports_logs_over_grpc_and_http() {
    const EVENTS: u64 = 2_000; // as in the script
    let server = TestServer::start();
    assert_succeeds(
        Command::new(python())
            .arg(clients_dir().join("otlp_logs_client.py"))
            .env("MILLRACE_TEST_ADDR", &server.address),
    );
    let health = server.wait_until_landed().await;
    assert_eq!(
        (health.events_rejected, health.events_duplicate),
        (2, 2),
        "a log line, and a repeated record each"
    );
    for session in ["grpc", "http"] {
        let counts = format!(
            "SELECT countIf(event_name = 'order_completed'), uniqExactIf(JSONExtractUInt(properties, 'n'), event_name = \
             'order_completed'), countIf(event_name = 'page_view'), countIf(event_name = 'identified'), count() \
             FROM events WHERE session_id = '{session}' AND user_id = 'ada' AND country_code = 'ES'"
        );
        assert_eq!(server.sql_numbers(&counts).await, [EVENTS, EVENTS, 1, 1, EVENTS + 2], "{session}");
    }
    let values = "SELECT DISTINCT JSONExtractFloat(properties, 'total'), JSONExtractRaw(properties, 'tags'), \
                  JSONExtractString(properties, 'service_name') FROM events WHERE event_name = 'order_completed'";
    assert_eq!(server.sql(values).await, "1.5\t[\"a\",\"b\"]\tshop");
    let page = "SELECT DISTINCT JSONExtractString(properties, 'page_url'), JSONExtractString(properties, 'body') \
                FROM events WHERE event_name = 'page_view'";
    assert_eq!(server.sql(page).await, "/pricing\tviewed");
}

#[tokio::test]
async fn logs_in_json_are_accepted_and_rejected_one_by_one() {
    let server = TestServer::start();
    let post = |content_type: &str, body: &Value| {
        let body = body.to_string();
        let (head, response) = http_request(&server, "POST", "/v1/logs", content_type, body.as_bytes());
        let status: u16 = head.split(' ').nth(1).unwrap().parse().unwrap();
        (status, head.to_lowercase(), serde_json::from_slice::<Value>(&response).unwrap())
    };
    let logs = |records: Value| json!({ "resourceLogs": [{ "scopeLogs": [{ "logRecords": records }] }] });
    let named = json!({ "eventName": "a", "attributes": [{ "key": "n", "value": { "intValue": "7" } }] });
    let (status, head, response) = post("application/json", &logs(json!([named])));
    assert_eq!((status, &response), (200, &json!({})));
    assert!(head.contains("content-type: application/json"), "{head}");
    let old = json!({ "eventName": "old", "timeUnixNano": "1000000000" });
    let mistyped = json!({ "eventName": 5 });
    let (status, _, response) =
        post("application/json; charset=utf-8", &logs(json!([named, {}, old, mistyped, named])));
    let partial = &response["partialSuccess"];
    assert_eq!((status, &partial["rejectedLogRecords"]), (200, &json!("3")), "{response}");
    let message = partial["errorMessage"].as_str().unwrap();
    for part in ["3 of 5 log records", "1: record has no event name", "2: timestamp", "3: record"] {
        assert!(message.contains(part), "{message:?} lacks {part:?}");
    }
    for (content_type, body, expected, part) in [
        ("application/json", json!([]), 400, "ExportLogsServiceRequest"),
        ("application/x-protobuf", json!([]), 400, "ExportLogsServiceRequest"),
        ("text/plain", json!({}), 415, "application/x-protobuf or application/json"),
        ("application/json", logs(json!(vec![json!({}); 20_001])), 400, "20001 were sent"),
    ] {
        let (status, head, problem) = post(content_type, &body);
        assert_eq!(status, expected, "{problem}");
        assert!(head.contains("application/problem+json"), "{head}");
        assert!(problem["detail"].as_str().unwrap().contains(part), "{problem}");
    }
    server.wait_until_landed().await;
    assert_eq!(server.sql("SELECT DISTINCT event_name, properties FROM events").await, "a\t{\"n\":7}");
}

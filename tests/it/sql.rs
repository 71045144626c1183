//! SQL of editors: executed like a panel's file, in the caller's project, with errors that name the line.

use std::sync::Arc;

use millrace_client::proto::v1;
use tonic::Code;

use crate::common::{TestServer, event, events_request, http_request};

async fn send(server: &TestServer, names: &[&str]) {
    let events = names.iter().map(|name| event(name)).collect();
    server.ingest().await.send_events(events_request(events)).await.unwrap();
    server.wait_until_landed().await;
}

fn request(sql: &str) -> v1::QuerySqlRequest {
    v1::QuerySqlRequest { sql: sql.to_owned(), ..Default::default() }
}

fn counts(frame: &v1::Frame, column: usize) -> Vec<u64> {
    match &frame.columns[column].values {
        Some(v1::frame_column::Values::Uint64Values(list)) => list.values.clone(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_statement_is_executed_like_a_panel_in_the_project_of_its_caller() {
    let folder = Arc::new(tempfile::tempdir().unwrap());
    let other = TestServer::start_on(Arc::clone(&folder), &[("MILLRACE_PROJECT", "other")]);
    send(&other, &["page_view"; 3]).await;
    assert!(other.stop().0.success());
    let server = TestServer::start_on(folder, &[]);
    send(&server, &["page_view", "login"]).await;
    let mut dashboard = server.dashboard().await;

    let plain = "SELECT event_name, count() AS found FROM events GROUP BY event_name ORDER BY event_name";
    let response = dashboard.query_sql(request(plain)).await.unwrap().into_inner();
    let frame = response.frame.unwrap();
    assert_eq!((frame.rows, counts(&frame, 1)), (2, vec![1, 1]));
    assert!(response.cost.unwrap().rows_read >= 2);

    // A header, a template, a parameter and a filter.
    let with_header = "-- title: Views\n-- chart: line\n-- parameter: least UInt16 = 0 from 0 to 9\n\
                       SELECT bucket, toUInt64(sum(events)) AS found FROM {{series('page_view')}} GROUP BY bucket \
                       HAVING found >= {least:UInt16}";
    let filter = v1::Filter { dimension: "event_name".to_owned(), values: vec!["login".to_owned()] };
    let sum = async |filters: Vec<v1::Filter>| {
        let mut dashboard = server.dashboard().await;
        let parameters = [("least".to_owned(), "0".to_owned())].into();
        let request = v1::QuerySqlRequest { filters, parameters, ..request(with_header) };
        let frame = dashboard.query_sql(request).await.unwrap().into_inner().frame.unwrap();
        counts(&frame, 1).iter().sum::<u64>()
    };
    assert_eq!((sum(Vec::new()).await, sum(vec![filter]).await), (1, 0));

    let body = serde_json::json!({ "sql": plain, "range": { "time_range": "TIME_RANGE_24H" } });
    let body = body.to_string();
    let (head, response) =
        http_request(&server, "POST", "/api/query/sql", "application/json", body.as_bytes());
    let response: serde_json::Value = serde_json::from_slice(&response).unwrap();
    assert_eq!((&head[9..12], &response["frame"]["rows"]), ("200", &serde_json::json!(2)), "{response}");
}

#[tokio::test]
async fn an_invalid_statement_names_its_line_and_a_forbidden_one_is_not_executed() {
    let server = TestServer::start();
    let mut dashboard = server.dashboard().await;
    for (sql, expected) in [
        ("SELECT 1,\n  nothing FROM events", "sql: line 2: "),
        ("SELECT\n\n  FRM events", "sql: line "),
        ("SELECT file('/etc/passwd')", "sql: line 1: "),
        ("SELECT 1;\nSELECT 2", "sql: line "),
        ("-- chart: pie\nSELECT 1", "sql: line 1: chart: \"pie\""),
        ("INSERT INTO events SELECT * FROM events", "sql: "),
        ("SELECT * FROM system.processes", "sql: "),
        ("SELECT * FROM people", "sql: "),
        ("", "sql: line 1: "),
    ] {
        let status = dashboard.query_sql(request(sql)).await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument, "{sql}: {status}");
        assert!(status.message().starts_with(expected), "{sql}: {}", status.message());
    }
    let long = format!("SELECT '{}'", "x".repeat(70_000));
    let status = dashboard.query_sql(request(&long)).await.unwrap_err();
    assert!(status.message().contains("the maximum is 65536"), "{status}");
    let parameters = [("nothing".to_owned(), "1".to_owned())].into();
    let status =
        dashboard.query_sql(v1::QuerySqlRequest { parameters, ..request("SELECT 1") }).await.unwrap_err();
    assert!(status.message().contains("has no parameter \"nothing\""), "{status}");
}

//! Bad queries, budgets, and projects.

use std::time::{Duration, Instant};

use millrace_client::proto::v1;
use tonic::Code;
use v1::explore_service_client::ExploreServiceClient;

use crate::common::{TIMEOUT, TestServer, event, events_request, http_request};

fn series(name: &str) -> v1::TrendSeries {
    v1::TrendSeries { event_name: name.to_owned(), ..Default::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_query_names_what_is_wrong() {
    let server = TestServer::start();
    let mut client = ExploreServiceClient::new(server.channel().await);
    let trend = |change: &dyn Fn(&mut v1::QueryTrendRequest)| {
        let mut request = v1::QueryTrendRequest { series: vec![series("a")], ..Default::default() };
        change(&mut request);
        request
    };
    let field = |field: &str, operator: v1::FieldOperator, values: &[&str]| v1::EventFilter {
        condition: Some(v1::event_filter::Condition::Field(v1::FieldCondition {
            field: field.to_owned(),
            operator: operator.into(),
            values: values.iter().map(|value| (*value).to_owned()).collect(),
        })),
    };
    use v1::FieldOperator as Operator;
    let mut deep = field("a", Operator::Is, &["b"]);
    for _ in 0..10 {
        deep = v1::EventFilter { condition: Some(v1::event_filter::Condition::Not(Box::new(deep))) };
    }
    for (request, expected) in [
        (trend(&|request| request.series.clear()), "series: 0 are given; expected 1 to 10"),
        (
            trend(&|request| request.formula = "A / B".into()),
            "formula: there is no series B; the query has 1",
        ),
        (trend(&|request| request.limit = Some(51)), "limit: 51 is given; expected 1 to 50"),
        (trend(&|request| request.breakdown = vec![String::new()]), "breakdown: the field is missing"),
        (trend(&|request| request.series[0].aggregation = 5), "property: AGGREGATION_SUM needs one"),
        (trend(&|request| request.series[0].aggregation = 99), "aggregation: 99 is not known"),
        (
            trend(&|request| {
                request.range =
                    Some(v1::QueryRange { time_zone: Some("Mars/X".into()), ..Default::default() });
            }),
            "Mars/X",
        ),
        (
            trend(&|request| request.filter = Some(field("amount", Operator::Greater, &["many"]))),
            "filter: amount: \"many\" is not a number",
        ),
        (
            trend(&|request| request.filter = Some(field("plan", Operator::Is, &[]))),
            "takes 1 to 100 values; 0 are given",
        ),
        (
            trend(&|request| request.filter = Some(field("plan", Operator::Matches, &["(a"]))),
            "filter: plan: \"(a\" is not a regular expression: unclosed group",
        ),
        (trend(&|request| request.filter = Some(deep.clone())), "filter: it is nested more than 10 deep"),
    ] {
        let status = client.query_trend(request).await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument, "{status:?}");
        assert!(status.message().contains(expected), "{expected}: {}", status.message());
    }
    let funnel = v1::QueryFunnelRequest { steps: vec![v1::FunnelStep::default()], ..Default::default() };
    let status = client.query_funnel(funnel).await.unwrap_err();
    assert!(status.message().contains("steps: 1 are given; expected 2 to 10"), "{status:?}");
    let json = |body: &str| {
        let (head, body) =
            http_request(&server, "POST", "/api/query/trend", "application/json", body.as_bytes());
        (head, String::from_utf8(body).unwrap())
    };
    let (head, body) = json(r#"{"series":[{"event":"a"}]}"#);
    assert!(head.starts_with("HTTP/1.1 400") && body.contains("event"), "{head} {body}");
    let (head, body) = json(r#"{"series":[{"event_name":"a"}]}"#);
    assert!(head.starts_with("HTTP/1.1 200") && body.contains("\"lines\""), "{head} {body}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_query_over_its_budget_is_refused_with_what_to_narrow() {
    let server = TestServer::start_with(&[("MILLRACE_EXPLORE_MAX_ROWS", "100"), ("PANEL_CACHE_MS", "0")]);
    let events: Vec<v1::Event> = (0..400).map(|_| event("a")).collect();
    server.ingest().await.send_events(events_request(events)).await.unwrap();
    server.wait_until_landed().await;
    let mut client = ExploreServiceClient::new(server.channel().await);
    let visitors = |name: &str| v1::QueryTrendRequest {
        series: vec![v1::TrendSeries { aggregation: v1::Aggregation::Visitors.into(), ..series(name) }],
        ..Default::default()
    };
    let status = client.query_trend(visitors("a")).await.unwrap_err();
    assert_eq!(status.code(), Code::ResourceExhausted, "{status:?}");
    assert!(status.message().contains("MILLRACE_EXPLORE_MAX_ROWS"), "{status:?}");
    assert!(status.message().contains("narrow the range"), "{status:?}");
    // The rollup has few rows.
    let request = v1::QueryTrendRequest { series: vec![series("a")], ..Default::default() };
    let response = client.query_trend(request).await.unwrap().into_inner();
    assert_eq!(response.lines[0].total.unwrap().value, Some(400.0));
    assert_eq!(response.context.unwrap().source(), v1::DataSource::Rollup);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_query_whose_caller_has_left_is_cancelled_and_frees_its_place() {
    let env = [("MILLRACE_EXPLORE_QUERIES_PER_KEY", "1"), ("MILLRACE_EXPLORE_TIMEOUT_MS", "600000")];
    let server = TestServer::start_with(&env);
    server
        .sql(
            "INSERT INTO events (project, event_name, timestamp, session_id, properties) SELECT 'default', 'slow', \
             now64(3) - INTERVAL 1 HOUR, toString(number), concat('{\"note\":\"', repeat('ab', 40), toString(number), '\"}') \
             FROM numbers(2000000)",
        )
        .await;
    // Takes minutes: every row is compared with a hundred expressions, and none matches.
    let values: Vec<String> = (0..100).map(|index| format!("(a.*b){{3}}.*x{index}$")).collect();
    let body = serde_json::json!({
        "series": [{ "event_name": "slow", "aggregation": "AGGREGATION_VISITORS" }],
        "filter": { "field": { "field": "properties.note", "operator": "FIELD_OPERATOR_MATCHES", "values": values } },
        "range": { "time_range": "TIME_RANGE_24H" },
    });
    let body = body.to_string();
    let mut connection = std::net::TcpStream::connect(&server.address).unwrap();
    let head = format!(
        "POST /api/query/trend HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    std::io::Write::write_all(&mut connection, [head.as_bytes(), body.as_bytes()].concat().as_slice())
        .unwrap();
    wait_until_running(&server, true).await;
    let other = || {
        http_request(
            &server,
            "POST",
            "/api/query/trend",
            "application/json",
            br#"{"series":[{"event_name":"a"}]}"#,
        )
    };
    let (head, refused) = other();
    let refused = String::from_utf8(refused).unwrap();
    assert!(
        head.starts_with("HTTP/1.1 429") && refused.contains("MILLRACE_EXPLORE_QUERIES_PER_KEY"),
        "{refused}"
    );
    drop(connection);
    wait_until_running(&server, false).await;
    let (head, _) = other();
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
}

async fn wait_until_running(server: &TestServer, expected: bool) {
    let running = "SELECT count() > 0 FROM system.processes WHERE query LIKE '%uniqExact%' AND query NOT LIKE '%processes%'";
    let deadline = Instant::now() + 2 * TIMEOUT;
    while server.sql_numbers(running).await[0] != u64::from(expected) {
        assert!(Instant::now() < deadline, "the statement still runs: {}\n{}", !expected, server.log());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

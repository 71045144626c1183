//! Limits per client: subscribed queries, concurrent queries, memory for results.

use std::collections::HashMap;
use std::io::Write as _;
use std::net::IpAddr;
use std::time::Duration;

use millrace_client::proto::v1;
use prost::Message;
use tonic::{Code, Status, Streaming};
use tonic_types::StatusExt as _;
use v1::dashboard_service_client::DashboardServiceClient;
use v1::value::Kind;

use crate::common::{TIMEOUT, TestServer, http_request_with, next_update};

type Dashboard = DashboardServiceClient<tonic::transport::Channel>;

async fn dashboard_from_address(server: &TestServer, address: [u8; 4]) -> Dashboard {
    let endpoint = tonic::transport::Channel::from_shared(server.url()).unwrap();
    let channel = endpoint.local_address(Some(IpAddr::from(address))).connect().await.unwrap();
    DashboardServiceClient::new(channel).max_decoding_message_size(64 << 20)
}

fn parameters(name: &str, value: impl Into<String>) -> HashMap<String, String> {
    [(name.to_owned(), value.into())].into()
}

async fn watch(
    dashboard: &mut Dashboard,
    panel: &str,
    name: &str,
    values: impl IntoIterator<Item = String>,
) -> Result<Streaming<v1::WatchPanelsResponse>, Status> {
    let query = |(number, value): (usize, String)| v1::PanelQuery {
        id: number.to_string(),
        panel: panel.into(),
        parameters: parameters(name, value),
        ..Default::default()
    };
    let queries = values.into_iter().enumerate().map(query).collect();
    Ok(dashboard.watch_panels(v1::WatchPanelsRequest { queries, ..Default::default() }).await?.into_inner())
}

fn numbers(numbers: std::ops::RangeInclusive<u32>) -> impl Iterator<Item = String> {
    numbers.map(|number| number.to_string())
}

async fn query_panel(
    dashboard: &mut Dashboard,
    panel: &str,
    name: &str,
    value: &str,
) -> Result<v1::PanelTable, Status> {
    let parameters = parameters(name, value);
    let request = v1::QueryPanelRequest { panel: panel.into(), parameters, ..Default::default() };
    Ok(dashboard.query_panel(request).await?.into_inner().table.unwrap())
}

/// Starts a server with the panel `mine`, and waits until it is published.
async fn with_panel(sql: &str, variables: &[(&str, &str)]) -> (TestServer, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let text = format!("-- title: A panel\n-- chart: table\n{sql}");
    std::fs::write(folder.path().join("mine.sql"), text).unwrap();
    let mut variables = variables.to_vec();
    let path = folder.path().to_str().unwrap().to_owned();
    variables.push(("MILLRACE_PANELS_DIR", &path));
    let server = TestServer::start_with(&variables);
    let mut dashboard = server.dashboard().await;
    let deadline = std::time::Instant::now() + TIMEOUT;
    loop {
        let list = dashboard.list_panels(v1::ListPanelsRequest {}).await.unwrap().into_inner();
        assert!(list.broken.is_empty() && std::time::Instant::now() < deadline, "{list:?}");
        if list.panels.iter().any(|panel| panel.name == "mine") {
            return (server, folder);
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn watched_queries_are_limited_per_address() {
    let server = TestServer::start_with(&[("MILLRACE_WATCH_MAX_QUERIES_PER_CLIENT", "20")]);
    let mut greedy = dashboard_from_address(&server, [127, 0, 0, 1]).await;
    let mut first = watch(&mut greedy, "top_pages", "limit", numbers(1..=15)).await.unwrap();
    // The same queries in another form do not count again, even on another connection of the address.
    let same = ["1", "+1", "0001"].map(str::to_owned);
    let mut again = dashboard_from_address(&server, [127, 0, 0, 1]).await;
    let _same = watch(&mut again, "top_pages", "limit", same).await.unwrap();
    let _rest = watch(&mut again, "top_pages", "limit", numbers(16..=20)).await.unwrap();
    let mut rejected = watch(&mut again, "top_pages", "limit", numbers(20..=21)).await.unwrap();
    let mut updates = [None, None];
    while updates.contains(&None) {
        let update = next_update(&mut rejected).await.unwrap().unwrap();
        let number: usize = update.id.parse().unwrap();
        updates[number] = Some(update);
    }
    let [served, rejected_query] = updates.map(Option::unwrap);
    assert!(served.value.is_some(), "the address has this query already: {served:?}");
    let error = rejected_query.error.unwrap();
    assert_eq!(error.code, i32::from(Code::ResourceExhausted), "{error:?}");
    assert!(error.message.contains("MILLRACE_WATCH_MAX_QUERIES_PER_CLIENT"), "{error:?}");
    // Another address has its own quota.
    let mut other = dashboard_from_address(&server, [127, 0, 0, 2]).await;
    let mut others = watch(&mut other, "top_pages", "limit", numbers(51..=70)).await.unwrap();
    assert_eq!(first_error(&mut others, 20).await, None);
    // The queries of a closed stream do not count any more.
    assert!(next_update(&mut first).await.unwrap().is_some());
    drop(first);
    let deadline = std::time::Instant::now() + TIMEOUT;
    loop {
        let mut more = watch(&mut again, "top_pages", "limit", numbers(71..=84)).await.unwrap();
        let Some(error) = first_error(&mut more, 14).await else { return };
        assert!(std::time::Instant::now() < deadline, "{error:?}");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
}

/// The first error of a stream's queries; `None` if all are served.
async fn first_error(
    stream: &mut Streaming<v1::WatchPanelsResponse>,
    queries: usize,
) -> Option<v1::QueryError> {
    let mut served = std::collections::HashSet::new();
    while served.len() < queries {
        let update = next_update(stream).await.unwrap().unwrap();
        if update.error.is_some() {
            return update.error;
        }
        served.insert(update.id);
    }
    None
}

#[tokio::test]
async fn excess_queries_are_rejected_with_a_retry_delay() {
    let sql = "-- parameter: n UInt32 = 1\n\
               SELECT max(cityHash64(number, {n:UInt32})) AS h \
               FROM numbers(100000000 * least(1, {n:UInt32} - 1) + 1)";
    let (server, _folder) = with_panel(sql, &[]).await;
    let dashboard = server.dashboard().await;
    let tasks: Vec<_> = (2..=200)
        .map(|number: u32| {
            let mut dashboard = dashboard.clone();
            tokio::spawn(async move { query_panel(&mut dashboard, "mine", "n", &number.to_string()).await })
        })
        .collect();
    let (mut answered, mut rejected) = (0, 0);
    for task in tasks {
        match task.await.unwrap() {
            Ok(_) => answered += 1,
            // On a busy machine a query may exceed its time limit.
            Err(status) if status.code() == Code::DeadlineExceeded => {}
            Err(status) => {
                assert_eq!(status.code(), Code::ResourceExhausted, "{status:?}");
                assert!(
                    status.get_error_details().retry_info().is_some_and(|retry| retry.retry_delay.is_some())
                );
                rejected += 1;
            }
        }
    }
    println!("{answered} answered, {rejected} rejected with a retry delay");
    assert!(rejected > 0);
    query_panel(&mut dashboard.clone(), "active_users", "window_minutes", "7").await.unwrap();
}

#[tokio::test]
async fn the_query_cache_bounds_memory() {
    const QUERIES: usize = 10_000;
    let sql =
        "-- parameter: text String = x\nSELECT {text:String} AS text, repeat({text:String}, 20) AS padding";
    let (server, _folder) = with_panel(sql, &[("PANEL_CACHE_MS", "3600000")]).await;
    let mut dashboard = server.dashboard().await;
    // Text is passed as a value, whatever it contains.
    for text in
        ["it's", "a\\tb\n\tc", "{x:Identifier}", "`\"$$", "\u{1f600}", "\\N", "'; DROP TABLE events; --"]
    {
        let table = query_panel(&mut dashboard, "mine", "text", text).await.unwrap();
        assert_eq!(table.rows[0].values[0].kind, Some(Kind::StringValue(text.into())));
    }
    let too_long = query_panel(&mut dashboard, "mine", "text", &"x".repeat(1_025)).await.unwrap_err();
    assert_eq!(too_long.code(), Code::InvalidArgument);
    assert!(too_long.message().contains("1025 bytes; the maximum is 1024"), "{too_long:?}");
    let before = server.rss_kib();
    let tasks: Vec<_> = (0..4)
        .map(|part| {
            let mut dashboard = dashboard.clone();
            tokio::spawn(async move {
                for number in (part..QUERIES).step_by(4) {
                    let text = format!("{number:01000}");
                    query_panel(&mut dashboard, "mine", "text", &text).await.unwrap();
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    let grown = server.rss_kib().saturating_sub(before) / 1_024;
    println!("{QUERIES} queries with results of 21 KB each: {grown} MiB more");
    assert!(grown < 128, "{grown} MiB more");
}

#[tokio::test]
async fn watched_values_share_a_memory_budget() {
    let sql =
        "-- parameter: n UInt32 = 1\nSELECT {n:UInt32} AS n, repeat(repeat('x', 3000), 3000) AS padding";
    let (server, _folder) = with_panel(sql, &[]).await;
    let mut dashboard = dashboard_from_address(&server, [127, 0, 0, 1]).await;
    let mut stream = watch(&mut dashboard, "mine", "n", numbers(1..=10)).await.unwrap();
    let (mut values, mut rejected_values) = (0, 0);
    while values + rejected_values < 10 {
        let update = next_update(&mut stream).await.unwrap().unwrap();
        match (&update.value, &update.stale_reason) {
            (Some(_), None) => values += 1,
            (None, Some(reason)) => {
                assert!(reason.contains("64 MiB"), "{reason}");
                rejected_values += 1;
            }
            other => panic!("{:?}", other.1),
        }
    }
    assert_eq!((values, rejected_values), (7, 3));
}

/// Without the cancellation, the statement would end after ten seconds as too slow: that is another error.
#[tokio::test]
async fn a_query_whose_caller_has_left_is_cancelled() {
    let sql = "-- parameter: rows UInt32 = 1\n\
               SELECT sum(cityHash64(number)) AS hash FROM numbers(1000000 * toUInt64({rows:UInt32}))";
    let (server, _folder) = with_panel(sql, &[]).await;
    let rows = "1000000";
    assert_eq!(cancellations(&server).await, 0);

    // A caller that closes its connection.
    let mut connection = std::net::TcpStream::connect(&server.address).unwrap();
    let request = format!("GET /api/panels/mine?rows={rows} HTTP/1.1\r\nHost: x\r\n\r\n");
    connection.write_all(request.as_bytes()).unwrap();
    wait_until_running(&server, true).await;
    drop(connection);
    wait_until_running(&server, false).await;
    let first = cancellations(&server).await;
    assert!(first > 0, "{}", server.log());

    // A caller with a deadline. It leaves it to the server to end the call: over gRPC-Web, since tonic's client ends calls, too.
    let query = v1::QueryPanelRequest {
        panel: "mine".into(),
        parameters: parameters("rows", rows),
        ..Default::default()
    };
    let deadline = std::time::Instant::now() + TIMEOUT;
    while cancellations(&server).await == first {
        // On a busy machine, the statement may not have started before its deadline.
        assert!(std::time::Instant::now() < deadline, "no statement is cancelled");
        let response = call_over_grpc_web(&server, "QueryPanel", "5S", &query);
        assert!(response.contains("grpc-status: 4") && response.contains("deadline"), "{response}");
        wait_until_running(&server, false).await;
    }
    let queries = vec![v1::PanelQuery { panel: "top_pages".into(), ..Default::default() }];
    let watch = v1::WatchPanelsRequest { queries, ..Default::default() };
    let response = call_over_grpc_web(&server, "WatchPanels", "500m", &watch);
    let status = ["grpc-status:4", "grpc-status: 4"].iter().any(|status| response.contains(status));
    assert!(status && response.contains("deadline"), "{response}");
    let response = call_over_grpc_web(&server, "WatchPanels", "soon", &watch);
    assert!(response.contains("grpc-status: 3") && response.contains("grpc-timeout"), "{response}");
}

async fn cancellations(server: &TestServer) -> u64 {
    server.sql_numbers("SELECT sum(value) FROM system.errors WHERE name = 'QUERY_WAS_CANCELLED'").await[0]
}

async fn wait_until_running(server: &TestServer, expected: bool) {
    let running = "SELECT count() > 0 FROM system.processes \
                   WHERE query LIKE '%cityHash64(number)%' AND query NOT LIKE '%processes%'";
    let waited = async {
        while server.sql_numbers(running).await[0] != u64::from(expected) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let waited = tokio::time::timeout(TIMEOUT, waited).await;
    assert!(waited.is_ok(), "the statement still runs: {}\n{}", !expected, server.log());
}

/// The response to a call of DashboardService with a deadline, up to its end.
fn call_over_grpc_web(server: &TestServer, method: &str, timeout: &str, message: &impl Message) -> String {
    let message = message.encode_to_vec();
    let body = [&[0][..], &(message.len() as u32).to_be_bytes(), &message].concat();
    let path = format!("/millrace.v1.DashboardService/{method}");
    let headers = format!("Content-Type: application/grpc-web+proto\r\ngrpc-timeout: {timeout}\r\n");
    let (head, body) = http_request_with(server, "POST", &path, &headers, &body);
    format!("{head}{}", String::from_utf8_lossy(&body))
}

//! Panel files that are added, changed, broken and removed while the server runs.

use std::path::Path;

use millrace_client::proto::v1;
use tonic::Code;
use v1::value::Kind;
use v1::watch_panels_response::Value;

use crate::common::{TIMEOUT, TestServer, event, events_request, next_update};

const HEADER: &str = "-- title: Sign-ups by name\n-- chart: bar\n-- unit: events\n";
const EVENTS_BY_NAME: &str = "\
-- title: Events by name
-- description: How many events of each name there were
-- unit: events
-- chart: horizontal-bar
-- refresh: 1s
-- parameter: least UInt32 = 1 from 1 to 100: how many events a name has at least
SELECT event_name, count() AS events
FROM events
WHERE timestamp >= {range_start:DateTime64(3, 'UTC')} AND timestamp < {range_end:DateTime64(3, 'UTC')}
GROUP BY event_name
HAVING events >= {least:UInt32}
ORDER BY events DESC, event_name
";

fn write_panel(folder: &Path, name: &str, text: &str) {
    // Renamed into place, as editors do, so that the server never reads half a file.
    let temporary = folder.join("half-written");
    std::fs::write(&temporary, text).unwrap();
    std::fs::rename(temporary, folder.join(name)).unwrap();
}

async fn wait_for_panels(
    server: &TestServer,
    predicate: impl Fn(&v1::ListPanelsResponse) -> bool,
) -> v1::ListPanelsResponse {
    let mut dashboard = server.dashboard().await;
    let deadline = std::time::Instant::now() + TIMEOUT;
    loop {
        let list = dashboard.list_panels(v1::ListPanelsRequest {}).await.unwrap().into_inner();
        if predicate(&list) {
            return list;
        }
        assert!(std::time::Instant::now() < deadline, "{list:?}\n{}", server.log());
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
}

fn has_panel(list: &v1::ListPanelsResponse, name: &str) -> bool {
    list.panels.iter().any(|panel| panel.name == name)
}

/// The header of a file need not name the time axis: its result has one.
#[tokio::test]
async fn a_panel_file_is_comparable_if_its_result_has_a_time_axis_or_figures() {
    let folder = tempfile::tempdir().unwrap();
    let bars = "-- title: x\n-- chart: bar\nSELECT";
    write_panel(folder.path(), "over_time.sql", &format!("{bars} toDateTime(0, 'UTC') AS time, 1 AS n"));
    write_panel(folder.path(), "ranking.sql", &format!("{bars} 'a' AS name, 1 AS n"));
    write_panel(folder.path(), "number.sql", "-- title: x\n-- chart: number\nSELECT 1 AS n");
    let server = TestServer::start_with(&[("MILLRACE_PANELS_DIR", folder.path().to_str().unwrap())]);
    let names = ["over_time", "ranking", "number"];
    let list = wait_for_panels(&server, |list| names.iter().all(|name| has_panel(list, name))).await;
    let comparable =
        names.map(|name| list.panels.iter().find(|panel| panel.name == name).unwrap().comparable);
    assert_eq!(comparable, [true, false, true]);
}

async fn query(
    server: &TestServer,
    panel: &str,
    least: Option<&str>,
) -> Result<v1::PanelTable, tonic::Status> {
    let parameters = least.map(|least| ("least".to_owned(), least.to_owned())).into_iter().collect();
    let request = v1::QueryPanelRequest { panel: panel.into(), parameters, ..Default::default() };
    let response = server.dashboard().await.query_panel(request).await?;
    Ok(response.into_inner().table.unwrap())
}

#[tokio::test]
async fn a_panel_file_can_be_added_queried_watched_and_removed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_str().unwrap();
    let server = TestServer::start_with(&[("MILLRACE_PANELS_DIR", path), ("PANEL_CACHE_MS", "60000")]);
    let events = vec![event("a"), event("a"), event("b")];
    server.ingest().await.send_events(events_request(events)).await.unwrap();
    server.wait_until_landed().await;

    write_panel(folder.path(), "by_name.sql", EVENTS_BY_NAME);
    let list = wait_for_panels(&server, |list| has_panel(list, "by_name")).await;
    let panel = list.panels.iter().find(|panel| panel.name == "by_name").unwrap();
    assert_eq!(
        (panel.title.as_str(), panel.unit.as_str(), panel.built_in),
        ("Events by name", "events", false)
    );
    assert_eq!(panel.chart(), v1::Chart::HorizontalBar);
    assert_eq!((panel.parameters.len(), list.broken.len()), (1, 0));

    let table = query(&server, "by_name", None).await.unwrap();
    assert_eq!(table.rows.len(), 2);
    assert_eq!(table.rows[0].values[1].kind, Some(Kind::Uint64Value(2)));
    assert_eq!(query(&server, "by_name", Some("2")).await.unwrap().rows.len(), 1);
    assert_eq!(query(&server, "by_name", Some("0")).await.unwrap_err().code(), Code::InvalidArgument);

    let request = v1::PanelQuery { panel: "by_name".into(), ..Default::default() };
    let request = v1::WatchPanelsRequest { queries: vec![request], ..Default::default() };
    let mut stream = server.dashboard().await.watch_panels(request).await.unwrap().into_inner();
    let rows = |update: v1::WatchPanelsResponse| match update.value {
        Some(Value::Table(table)) => table.rows.len(),
        other => panic!("{other:?}"),
    };
    assert_eq!(rows(next_update(&mut stream).await.unwrap().unwrap()), 2);

    // A changed file is a new query: the cached result does not count.
    write_panel(folder.path(), "by_name.sql", &format!("{EVENTS_BY_NAME}LIMIT 1"));
    assert_eq!(rows(next_update(&mut stream).await.unwrap().unwrap()), 1);
    assert_eq!(query(&server, "by_name", None).await.unwrap().rows.len(), 1);

    std::fs::remove_file(folder.path().join("by_name.sql")).unwrap();
    wait_for_panels(&server, |list| !has_panel(list, "by_name")).await;
    assert_eq!(query(&server, "by_name", None).await.unwrap_err().code(), Code::NotFound);
    let gone = next_update(&mut stream).await.unwrap().unwrap();
    let error = gone.error.expect("the query ends");
    assert_eq!(error.code, i32::from(Code::NotFound));
    assert!(error.message.contains("\"by_name\" is not known"), "{error:?}");
}

#[tokio::test]
async fn an_invalid_panel_file_is_reported_with_its_line() {
    let secret = tempfile::tempdir().unwrap();
    let secret_file = secret.path().join("secret.txt");
    std::fs::write(&secret_file, "secret").unwrap();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let address = listener.local_addr().unwrap();
    let (file, url) = (secret_file.display(), format!("http://{address}/"));
    let cases: Vec<(&str, String, u32, &str)> = vec![
        ("no_title", "-- chart: line\nSELECT 1".into(), 1, "no title"),
        ("syntax", format!("{HEADER}SELECT 1\nFROM (events\nWHERE 1"), 5, "Syntax error"),
        ("unknown_column", format!("{HEADER}SELECT\n  event_nme\nFROM events"), 5, "event_nme"),
        ("unknown_table", format!("{HEADER}SELECT 1\nFROM nothing"), 5, "nothing"),
        ("no_parameter", format!("{HEADER}SELECT {{mine:UInt8}}"), 4, "mine"),
        ("writes", format!("{HEADER}INSERT INTO events (event_name) VALUES ('x')"), 4, "one SELECT"),
        ("drops", format!("{HEADER}DROP TABLE events"), 4, "one SELECT"),
        ("two", format!("{HEADER}SELECT 1;\nDROP TABLE events"), 4, "one SELECT"),
        ("two_reads", format!("{HEADER}SELECT 1;\nSELECT file('{file}')"), 4, "one SELECT"),
        ("format", format!("{HEADER}SELECT 1 FORMAT CSV"), 4, "without FORMAT"),
        ("reads_file", format!("{HEADER}SELECT * FROM file('{file}', 'RawBLOB')"), 4, "file"),
        ("reads_file_too", format!("{HEADER}SELECT\n  file('{file}')"), 5, "file"),
        ("reads_file_hidden", format!("{HEADER}SELECT (SELECT \"file\"('{file}') AS x)"), 4, "file"),
        (
            "reads_file_by_cluster",
            format!("{HEADER}SELECT * FROM cluster('default', file('{file}', 'RawBLOB'))"),
            4,
            "file",
        ),
        (
            "opens_url_by_cluster",
            format!("{HEADER}SELECT * FROM clusterAllReplicas('default', url('{url}', 'RawBLOB'))"),
            4,
            "function cluster",
        ),
        ("opens_url", format!("{HEADER}SELECT * FROM url('{url}', 'RawBLOB')"), 4, "files, addresses"),
        ("writes_file", format!("{HEADER}SELECT 1 INTO OUTFILE '{file}.2'"), 4, "OUTFILE"),
        ("lifts_limits", format!("{HEADER}SELECT 1 SETTINGS max_memory_usage = 0"), 4, "max_memory_usage"),
        ("too_long", format!("{HEADER}SELECT max(cityHash64(number)) FROM numbers(1000000000000)"), 0, ""),
        ("too_many_rows", format!("{HEADER}SELECT number FROM numbers(1000000)"), 0, "rows"),
        ("distinct", format!("-- distinct: users\n{HEADER}SELECT 1"), 1, "no column \"users\""),
        (
            "column",
            format!("-- column: users hidden\n{HEADER}SELECT 1"),
            1,
            "column: the result has no column \"users\"",
        ),
        ("figure", format!("{HEADER}-- figure: sum(one) \"x\"\nSELECT 'a' AS one"), 4, "expected a number"),
        ("threshold", format!("{HEADER}-- threshold: users\nSELECT 1"), 4, "no column \"users\""),
        ("span", format!("{HEADER}-- span: minutes \"x\"\nSELECT 1"), 4, "{minutes} is not a parameter"),
        ("a name", format!("{HEADER}SELECT 1"), 0, "name"),
    ];
    let folder = tempfile::tempdir().unwrap();
    for (name, text, _, _) in &cases {
        write_panel(folder.path(), &format!("{name}.sql"), text);
    }
    write_panel(folder.path(), "sound.sql", &format!("{HEADER}SELECT 1 AS one"));
    write_panel(folder.path(), "active_users.sql", &format!("{HEADER}SELECT 1 AS one"));
    write_panel(folder.path(), "README.md", "not a panel");
    let server = TestServer::start_with(&[("MILLRACE_PANELS_DIR", folder.path().to_str().unwrap())]);
    let list = wait_for_panels(&server, |list| list.broken.len() > cases.len()).await;
    for (name, _, line, part) in &cases {
        let broken = list.broken.iter().find(|broken| broken.file == format!("{name}.sql"));
        let broken = broken.unwrap_or_else(|| panic!("{name} is not reported: {list:?}"));
        println!("{}:{}: {}", broken.file, broken.line, broken.message);
        assert!(broken.message.contains(part), "{broken:?} does not contain {part:?}");
        assert!(*line == 0 || broken.line == *line, "{broken:?} should name line {line}");
        assert!(!broken.message.contains("secret\\n"), "{broken:?}");
        assert!(!has_panel(&list, name), "{name}");
    }
    assert!(!secret.path().join("secret.txt.2").exists());
    assert_eq!(server.sql("SELECT count() FROM events").await, "0");
    assert!(listener.accept().is_err(), "the address was opened");
    assert_eq!(query(&server, "sound", None).await.unwrap().rows.len(), 1);
    // A file whose result does not fit the typed RPC does not replace the built-in panel.
    let built_in = list.panels.iter().find(|panel| panel.name == "active_users").unwrap();
    assert!(built_in.built_in);
    assert!(list.broken.iter().any(|broken| broken.file == "active_users.sql"));
    let typed = server.dashboard().await.get_active_users(v1::GetActiveUsersRequest::default()).await;
    assert_eq!(typed.unwrap().into_inner().active_users, 0);
}

#[tokio::test]
async fn panel_queries_run_as_their_own_clickhouse_user() {
    let address = crate::common::free_address();
    let data = tempfile::tempdir().unwrap();
    let _clickhouse = crate::common::TestClickHouse::start(&address, data.path());
    let url = format!("http://{address}");
    let mut server = TestServer::start_with(&[("CLICKHOUSE_URL", &url), ("CLICKHOUSE_PANEL_USER", "panels")]);
    server.ingest().await.send_events(events_request(vec![event("x")])).await.unwrap();
    server.wait_until_landed().await;
    // The engine has no such user, so only panel queries fail. The user's name is for the log, not for viewers.
    let error = query(&server, "active_users", None).await.unwrap_err();
    assert!(
        error.message().contains("AUTHENTICATION_FAILED") && !error.message().contains("panels:"),
        "{error:?}"
    );
    server.wait_for_log_line("panels: Authentication failed");
}

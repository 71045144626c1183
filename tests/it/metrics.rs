//! `GET /metrics`, the alert rules and the dashboards, with a real Prometheus and a real outage of the engine.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use millrace_client::proto::v1;
use serde_json::Value;

use crate::common::{
    TIMEOUT, TestClickHouse, TestServer, event, events_request, free_address, http_request_with, send_signal,
};
use crate::keys::{authorized, create_key, id_of};

/// Samples by name and labels, as they are in the text.
type Samples = BTreeMap<String, f64>;

fn scrape(server: &TestServer) -> String {
    let (head, body) = http_request_with(server, "GET", "/metrics", "", b"");
    assert!(head.contains("200 OK") && head.contains("text/plain; version=0.0.4"), "{head}");
    String::from_utf8(body).unwrap()
}

fn samples(text: &str) -> Samples {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines
        .map(|line| {
            let (name, value) = line.rsplit_once(' ').unwrap();
            (name.to_owned(), value.parse().unwrap_or_else(|error| panic!("{line}: {error}")))
        })
        .collect()
}

async fn wait_for_samples(
    server: &TestServer,
    description: &str,
    mut holds: impl FnMut(&Samples) -> bool,
) -> Samples {
    let deadline = Instant::now() + TIMEOUT;
    loop {
        let samples = samples(&scrape(server));
        if holds(&samples) {
            return samples;
        }
        assert!(Instant::now() < deadline, "never {description}: {samples:#?}\n{}", server.log());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

const AGE: &str = "millrace_oldest_unlanded_event_age_seconds";

#[tokio::test(flavor = "multi_thread")]
async fn names_and_types_are_those_of_the_documentation_and_figures_add_up() {
    let server = TestServer::start();
    let invalid = v1::Event { event_name: String::new(), ..event("x") };
    let mut ingest = server.ingest().await;
    let sent = ingest.send_events(events_request(vec![event("a"), event("b"), invalid])).await.unwrap();
    assert_eq!((sent.get_ref().accepted, sent.get_ref().rejected), (2, 1));
    let figures = wait_for_samples(&server, "landed", |samples| {
        samples["millrace_events_inserted_total"] == 2.0 && samples["millrace_events_unlanded"] == 0.0
    })
    .await;
    let expected = [
        ("millrace_events_accepted_total", 2.0),
        ("millrace_events_rejected_total{field=\"event_name\"}", 1.0),
        ("millrace_events_rejected_total{field=\"other\"}", 0.0),
        ("millrace_journal_writable", 1.0),
        ("millrace_clickhouse_up", 1.0),
        ("millrace_acknowledgement_seconds_count", 1.0),
        ("millrace_health{status=\"ok\"}", 1.0),
        ("millrace_journal_max_bytes", 8_589_934_592.0),
    ];
    for (name, value) in expected {
        assert_eq!(figures[name], value, "{name}");
    }
    for name in [
        "millrace_connections",
        "millrace_freshness_seconds_count",
        "millrace_insert_seconds_count",
        "millrace_flush_seconds_count",
        "millrace_journal_commit_seconds_count",
        "millrace_engine_resident_memory_bytes",
        "process_resident_memory_bytes",
    ] {
        assert!(figures[name] > 0.0, "{name}: {}", figures[name]);
    }

    let text = scrape(&server);
    let families: BTreeMap<&str, &str> =
        text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' ')).collect();
    let page = include_str!("../../docs/metrics.md");
    let (page, _) = page.split_once("## Traces").expect("spans have a table of their own");
    let documented: BTreeMap<&str, &str> = page
        .lines()
        .filter_map(|line| {
            let mut cells = line.strip_prefix("| `")?.split('|').map(str::trim);
            Some((cells.next()?.trim_end_matches('`'), cells.next()?))
        })
        .collect();
    assert_eq!(families, documented, "docs/metrics.md lists every metric with its type");
    let promtool = prometheus_tool("promtool");
    let mut check = Command::new(promtool)
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    check.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let checked = check.wait_with_output().unwrap();
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_own_listener_needs_no_key_and_stays_on_loopback_without_keys() {
    let address = free_address();
    let server = TestServer::start_with(&[("MILLRACE_METRICS_LISTEN", &address)]);
    let text = http_get(&address, "/metrics");
    assert!(text.contains("millrace_build_info{version="), "{text}");
    assert!(http_get(&address, "/health").starts_with("HTTP/1.1 404"), "only metrics are served there");
    assert!(server.stop().0.success());

    let mut server = TestServer::spawn(
        Path::new(env!("CARGO_BIN_EXE_millrace")),
        std::sync::Arc::new(tempfile::tempdir().unwrap()),
        &[("MILLRACE_METRICS_LISTEN", "0.0.0.0:0")],
    );
    assert!(!server.wait().success());
    assert!(
        server.log().contains("MILLRACE_METRICS_LISTEN (--metrics-listen): 0.0.0.0:0"),
        "{}",
        server.log()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn with_keys_metrics_need_an_admin_key_and_count_by_key_across_reloads() {
    let folder = std::sync::Arc::new(tempfile::tempdir().unwrap());
    let admin = create_key(folder.path(), &["--scope", "admin"]);
    let write = create_key(folder.path(), &["--scope", "write"]);
    let server = TestServer::start_on(std::sync::Arc::clone(&folder), &[]);
    let invalid = v1::Event { event_name: String::new(), ..event("x") };
    let mut ingest = server.ingest().await;
    let mut send = async || {
        let request = events_request(vec![event("a"), event("b"), invalid.clone()]);
        ingest.send_events(authorized(&write, request)).await.unwrap();
    };
    send().await;
    let later = create_key(folder.path(), &["--scope", "write"]);
    let scrape = |key: &str| {
        let header = format!("authorization: Bearer {key}\r\n");
        let (head, body) = http_request_with(&server, "GET", "/metrics", &header, b"");
        (head, String::from_utf8(body).unwrap())
    };
    wait_until("the new key is read", || scrape(&admin).1.contains(id_of(&later)));
    send().await;
    assert!(scrape(&write).0.contains("403"), "a write key is not enough");
    let (_, text) = scrape(&admin);
    let figures = samples(&text);
    for (metric, key, events) in
        [("accepted", &write, 4.0), ("rejected", &write, 2.0), ("accepted", &later, 0.0)]
    {
        let name = format!("millrace_key_events_{metric}_total{{key=\"{}\"}}", id_of(key));
        assert_eq!(figures[&name], events, "{name}");
    }
    for secret in [&admin, &write].map(|key| key.rsplit('_').next().unwrap()) {
        assert!(!text.contains(secret));
    }
}

fn http_get(address: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(TIMEOUT)).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").unwrap();
    let mut response = String::new();
    stream.read_to_string(&mut response).unwrap();
    response
}

/// A process that is killed when it is dropped.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

fn prometheus_tool(name: &str) -> PathBuf {
    let tools = std::env::var_os("MILLRACE_TEST_TOOLS");
    let tools =
        PathBuf::from(tools.expect("MILLRACE_TEST_TOOLS is set by `make test`, which installs Prometheus"));
    tools.join("prometheus/usr/bin").join(name)
}

/// The shipped configuration and rules, with shorter waits so that alerts fire within the test.
fn write_prometheus_config(folder: &Path, target: &str) {
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/prometheus");
    let config = std::fs::read_to_string(shipped.join("prometheus.yml")).unwrap();
    let adapted = config.replace("millrace:9464", target).replace("interval: 5s", "interval: 200ms");
    assert!(adapted.contains(target) && adapted.contains("200ms"));
    std::fs::write(folder.join("prometheus.yml"), adapted).unwrap();
    let rules = std::fs::read_to_string(shipped.join("millrace.rules.yml")).unwrap();
    let adapted = rules.replace("for: 1m\n", "for: 0s\n").replace(
        "millrace_oldest_unlanded_event_age_seconds > 60",
        "millrace_oldest_unlanded_event_age_seconds > 2",
    );
    assert_ne!(adapted, rules);
    std::fs::write(folder.join("millrace.rules.yml"), adapted).unwrap();
    for (kind, file) in
        [("rules", shipped.join("millrace.rules.yml")), ("config", folder.join("prometheus.yml"))]
    {
        let checked =
            Command::new(prometheus_tool("promtool")).args(["check", kind]).arg(file).output().unwrap();
        assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));
    }
}

/// The names of the alerts that fire.
fn firing_alerts(prometheus: &str) -> Vec<String> {
    let response = http_get(prometheus, "/api/v1/alerts");
    let body = response.split("\r\n\r\n").nth(1).unwrap_or_default();
    // The body may be chunked: the JSON is one of its lines.
    let json = body.lines().find(|line| line.starts_with('{')).unwrap_or_default();
    let Ok(alerts) = serde_json::from_str::<Value>(json) else { return Vec::new() };
    let alerts = alerts["data"]["alerts"].as_array().cloned().unwrap_or_default();
    let firing = alerts.into_iter().filter(|alert| alert["state"] == "firing");
    firing.map(|alert| alert["labels"]["alertname"].as_str().unwrap().to_owned()).collect()
}

fn wait_until(description: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + TIMEOUT;
    while !holds() {
        assert!(Instant::now() < deadline, "never: {description}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn in_an_outage_the_age_of_the_oldest_event_grows_prometheus_alerts_and_both_recover() {
    let clickhouse_address = free_address();
    let clickhouse_folder = tempfile::tempdir().unwrap();
    let clickhouse = TestClickHouse::start(&clickhouse_address, clickhouse_folder.path());
    let url = format!("http://{clickhouse_address}");
    let server = TestServer::start_with(&[("CLICKHOUSE_URL", &url)]);
    server.wait_for_health("ok", |health| health.status() == v1::Status::Ok).await;

    let folder = tempfile::tempdir().unwrap();
    write_prometheus_config(folder.path(), &server.address);
    let prometheus_address = free_address();
    let log = std::fs::File::create(folder.path().join("log")).unwrap();
    let _prometheus = Killed(
        Command::new(prometheus_tool("prometheus"))
            .arg(format!("--config.file={}", folder.path().join("prometheus.yml").display()))
            .arg(format!("--storage.tsdb.path={}", folder.path().join("data").display()))
            .arg(format!("--web.listen-address={prometheus_address}"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap(),
    );
    wait_until("Prometheus runs", || TcpStream::connect(&prometheus_address).is_ok());

    let mut ingest = server.ingest().await;
    ingest.send_events(events_request(vec![event("before")])).await.unwrap();
    wait_for_samples(&server, "landed", |samples| {
        samples["millrace_events_inserted_total"] == 1.0 && samples[AGE] == 0.0
    })
    .await;
    let query = "/api/v1/query?query=millrace_events_inserted_total%3D%3D1";
    wait_until("Prometheus has scraped the event", || {
        http_get(&prometheus_address, query).contains("\"__name__\":\"millrace_events_inserted_total\"")
    });
    assert_eq!(firing_alerts(&prometheus_address), [""; 0]);

    drop(clickhouse);
    ingest.send_events(events_request(vec![event("during")])).await.unwrap();
    let mut last_age = 0.0;
    // Also when the batch becomes a dead letter, the age never goes back.
    wait_for_samples(&server, "old", |samples| {
        let age = samples[AGE];
        assert!(age >= last_age, "{age} after {last_age}");
        last_age = age;
        age > 3.0 && samples["millrace_dead_letter_batches"] == 1.0
    })
    .await;
    wait_until("the alerts of an outage fire", || {
        let firing = firing_alerts(&prometheus_address);
        ["MillraceEventsDoNotLand", "MillraceClickHouseDown"]
            .iter()
            .all(|name| firing.iter().any(|other| other == name))
    });

    let clickhouse = TestClickHouse::start(&clickhouse_address, clickhouse_folder.path());
    wait_for_samples(&server, "landed again", |samples| {
        samples[AGE] == 0.0 && samples["millrace_events_inserted_total"] == 2.0
    })
    .await;
    wait_until("the alerts end", || firing_alerts(&prometheus_address).is_empty());
    assert!(clickhouse.stop().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_age_survives_a_restart_and_a_killed_engine_is_counted() {
    let folder = std::sync::Arc::new(tempfile::tempdir().unwrap());
    let address = free_address();
    let url = format!("http://{address}");
    let env = [("CLICKHOUSE_URL", url.as_str())];
    let server = TestServer::start_on(std::sync::Arc::clone(&folder), &env);
    server.ingest().await.send_events(events_request(vec![event("a")])).await.unwrap();
    wait_for_samples(&server, "old", |samples| samples[AGE] > 1.0).await;
    drop(server);
    let server = TestServer::start_on(std::sync::Arc::clone(&folder), &env);
    let samples = samples(&scrape(&server));
    assert!(samples[AGE] > 1.0, "{}", samples[AGE]);
    drop(server);

    let server = TestServer::start();
    send_signal(server.engine_pid().unwrap(), "KILL");
    wait_for_samples(&server, "restarted", |samples| {
        samples["millrace_engine_restarts_total"] >= 1.0
            && samples["millrace_engine_resident_memory_bytes"] > 0.0
            && samples["millrace_clickhouse_up"] == 1.0
    })
    .await;
}

/// Every string under this key, in order.
fn strings_of<'a>(value: &'a Value, key: &str, found: &mut Vec<&'a str>) {
    match value {
        Value::Object(fields) => {
            for (name, field) in fields {
                match field {
                    Value::String(text) if name == key => found.push(text),
                    field => strings_of(field, key, found),
                }
            }
        }
        Value::Array(elements) => elements.iter().for_each(|element| strings_of(element, key, found)),
        _ => {}
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_dashboards_query_what_exists() {
    let server = TestServer::start();
    let page_view = v1::Event { country_code: "ES".into(), ..event("page_view") };
    let events = vec![page_view, event("signup_started"), event("feature_used"), event("error_occurred")];
    server.ingest().await.send_events(events_request(events)).await.unwrap();
    server.wait_until_landed().await;

    let product: Value =
        serde_json::from_str(include_str!("../../deploy/grafana/dashboards/product.json")).unwrap();
    let mut statements = Vec::new();
    strings_of(&product["panels"], "rawSql", &mut statements);
    assert_eq!(statements.len(), product["panels"].as_array().unwrap().len());
    statements.push(product["templating"]["list"][0]["query"].as_str().unwrap());
    for statement in statements {
        // As the data source expands them.
        let sql = statement
            .replace(
                "$__timeInterval(timestamp)",
                "toStartOfInterval(toDateTime(timestamp), INTERVAL 60 second)",
            )
            .replace("$__timeFilter(timestamp)", "timestamp >= now() - 3600 AND timestamp <= now() + 60")
            .replace("${project}", "default");
        assert!(!sql.contains('$'), "{sql}");
        assert!(!server.sql(&sql).await.is_empty(), "no rows: {sql}");
    }

    let operators: Value =
        serde_json::from_str(include_str!("../../deploy/grafana/dashboards/operators.json")).unwrap();
    let mut expressions = Vec::new();
    strings_of(&operators["panels"], "expr", &mut expressions);
    assert!(expressions.len() > 12);
    let rules = include_str!("../../deploy/prometheus/millrace.rules.yml");
    let text = scrape(&server);
    let is_name = |c: char| c.is_ascii_lowercase() || c == '_';
    for expression in expressions.into_iter().chain(rules.lines()) {
        let names = expression.split(|c: char| !is_name(c)).filter(|name| name.starts_with("millrace_"));
        for name in names {
            assert!(
                text.lines()
                    .any(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with([' ', '{'])))
                    || text.contains(&format!("# TYPE {name} ")),
                "{name} does not exist: {expression}"
            );
        }
    }
}

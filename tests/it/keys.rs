//! Keys: who may call what, with which project, and until when.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use millrace_client::proto::v1;
use prost_reflect::DescriptorPool;
use serde_json::{Value, json};
use tempfile::TempDir;
use tonic::metadata::MetadataValue;
use tonic::{Code, Request};
use v1::admin_service_client::AdminServiceClient;

use crate::common::{TIMEOUT, TestServer, event, events_request, next_update};

/// What a call requires.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Needs {
    Nothing,
    Write,
    WriteOrBrowser,
    Read,
    Edit,
    Admin,
}
use Needs::{Admin, Edit, Nothing, Read, Write, WriteOrBrowser};

impl Needs {
    fn allows(self, scope: &str) -> bool {
        let allowed: &[&str] = match self {
            Nothing => return true,
            Write => &["write", "admin"],
            WriteOrBrowser => &["write", "browser", "admin"],
            Read => &["read", "admin"],
            Edit | Admin => &["admin"],
        };
        allowed.contains(&scope)
    }
}

/// Services and routes whose calls all require the same.
const SERVICES: &[(&str, Needs)] = &[
    ("millrace.v1.DashboardService", Read), // but SQL
    ("millrace.v1.ExploreService", Read),
    ("millrace.v1.EventsService", Read),
    ("millrace.v1.PeopleService", Read),
    ("millrace.v1.CatalogueService", Read),
    ("millrace.v1.InsightService", Read), // but saving and deleting
    ("millrace.v1.HealthService", Read),
    ("millrace.v1.AdminService", Admin),
    ("millrace.v1.OperationsService", Admin),
    ("opentelemetry.proto.collector.logs.v1.LogsService", Write),
    ("grpc.health.v1.Health", Nothing),
    ("grpc.reflection.v1.ServerReflection", Read),
    ("grpc.reflection.v1alpha.ServerReflection", Read),
];
const INGEST: &[(&str, Needs)] = &[
    ("SendEvents", WriteOrBrowser),
    ("StreamEvents", Write),
    ("UploadEvents", Write),
    ("GetProducer", Write),
];
/// Calls of Segment's API, in their long and short form.
const SEGMENT: &[&str] =
    &["track", "page", "screen", "identify", "group", "alias", "batch", "t", "p", "s", "i", "g", "a", "b"];
const ROUTES: &[(&str, &str, Needs)] = &[
    ("GET", "/livez", Nothing),
    ("GET", "/readyz", Nothing),
    ("GET", "/health", Read),
    ("GET", "/metrics", Admin),
    ("POST", "/events", WriteOrBrowser),
    ("POST", "/v1/logs", Write),
    ("GET", "/api/openapi.json", Nothing),
    ("GET", "/api/docs", Nothing),
    ("GET", "/api/docs.js", Nothing),
    ("GET", "/api/panels", Read),
    ("GET", "/api/panels/{name}", Read),
    ("GET", "/api/dashboard/{name}", Read),
    ("POST", "/api/query/trend", Read),
    ("POST", "/api/query/funnel", Read),
    ("POST", "/api/query/retention", Read),
    ("POST", "/api/query/paths", Read),
    ("POST", "/api/query/people", Read),
    ("POST", "/api/query/sql", Edit),
    ("GET", "/api/events", Read),
    ("GET", "/api/events/tail", Read),
    ("GET", "/api/events/rejected", Read),
    ("GET", "/api/sources", Read),
    ("GET", "/api/people", Read),
    ("GET", "/api/people/{id}", Read),
    ("GET", "/api/people/{id}/sessions", Read),
    ("GET", "/api/people/{id}/timeline", Read),
    ("GET", "/api/catalogue/events", Read),
    ("GET", "/api/catalogue/properties", Read),
    ("GET", "/api/catalogue/values", Read),
    ("GET", "/api/insights", Read),
    ("GET", "/api/insights/{name}", Read),
    ("PUT", "/api/insights/{name}", Edit),
    ("GET", "/api/annotations", Read),
    ("GET", "/api/annotations/{name}", Read),
    ("PUT", "/api/annotations/{name}", Edit),
    ("GET", "/api/dashboards", Read),
    ("GET", "/api/dashboards/{name}", Read),
    ("PUT", "/api/dashboards/{name}", Edit),
    ("GET", "/api/session", Nothing),
    ("PUT", "/api/session/project", Read),
    ("GET", "/api/session/oidc", Nothing),
    ("GET", "/api/session/oidc/callback", Nothing),
    ("GET", "/api", Nothing),
    ("GET", "/api/{*path}", Nothing),
];

pub(crate) fn keys_command(data_dir: &Path, arguments: &[&str]) -> (bool, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_millrace"))
        .args(["keys"])
        .args(arguments)
        .env("MILLRACE_DATA_DIR", data_dir)
        .output()
        .unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.success(), text(output.stdout), text(output.stderr))
}

pub(crate) fn create_key(data_dir: &Path, arguments: &[&str]) -> String {
    let (created, stdout, stderr) = keys_command(data_dir, &[&["create"], arguments].concat());
    assert!(created, "{stderr}");
    stdout.trim_end().to_owned()
}

pub(crate) fn id_of(key: &str) -> &str {
    key.split('_').nth(2).unwrap()
}

pub(crate) fn authorized<T>(key: &str, message: T) -> Request<T> {
    let mut request = Request::new(message);
    let value: MetadataValue<_> = format!("Bearer {key}").parse().unwrap();
    request.metadata_mut().insert("authorization", value);
    request
}

/// Sends an HTTP/1.1 request and reads the header of its response.
fn response_header(server: &TestServer, request: &str, body: &[u8]) -> String {
    let mut stream = TcpStream::connect(&server.address).unwrap();
    stream.set_read_timeout(Some(TIMEOUT)).unwrap();
    let length = body.len();
    let head = format!("{request}host: localhost\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n");
    stream.write_all(&[head.as_bytes(), body].concat()).unwrap();
    let (mut header, mut byte) = (Vec::new(), [0]);
    while !header.ends_with(b"\r\n\r\n") && stream.read(&mut byte).unwrap() > 0 {
        header.push(byte[0]);
    }
    String::from_utf8(header).unwrap().to_lowercase()
}

fn http_status(header: &str) -> u16 {
    header.split(' ').nth(1).unwrap().parse().unwrap()
}

/// The header lines of a key. Where browsers may call, a browser key comes with the origin of its page.
///
/// `role:ROLE` stands for a person with this role, whom a proxy names.
fn credentials(key: Option<&str>, needs: Needs) -> String {
    if let Some(role) = key.and_then(|key| key.strip_prefix("role:")) {
        return format!("x-forwarded-user: ada\r\nx-forwarded-groups: {role}s\r\n");
    }
    let is_page = needs == WriteOrBrowser && key.is_some_and(|key| key.starts_with("mr_browser_"));
    let origin = if is_page { "origin: https://shop.example\r\n" } else { "" };
    key.map_or_else(String::new, |key| format!("authorization: Bearer {key}\r\n{origin}"))
}

/// How a call ended that is or is not allowed.
#[derive(Debug, PartialEq)]
enum Outcome {
    Served,
    Unauthenticated,
    Forbidden,
}

fn call_rpc(server: &TestServer, path: &str, key: Option<&str>, needs: Needs) -> Outcome {
    let request = format!(
        "POST {path} HTTP/1.1\r\ncontent-type: application/grpc-web+proto\r\n{}",
        credentials(key, needs)
    );
    // An empty message.
    let header = response_header(server, &request, &[0; 5]);
    assert_eq!(http_status(&header), 200, "{path}: {header}");
    match header.split("grpc-status: ").nth(1).and_then(|rest| rest.split("\r\n").next()) {
        Some("16") => Outcome::Unauthenticated,
        Some("7") => Outcome::Forbidden,
        _ => Outcome::Served,
    }
}

fn call_http(server: &TestServer, method: &str, path: &str, key: Option<&str>, needs: Needs) -> Outcome {
    let path = path.replace("{name}", "active_users").replace("{*path}", "x");
    let request =
        format!("{method} {path} HTTP/1.1\r\ncontent-type: application/json\r\n{}", credentials(key, needs));
    let header = response_header(server, &request, b"[]");
    match http_status(&header) {
        401 => {
            assert!(header.contains("www-authenticate: bearer"), "{header}");
            Outcome::Unauthenticated
        }
        403 => Outcome::Forbidden,
        _ => Outcome::Served,
    }
}

#[tokio::test]
async fn every_call_is_served_to_those_who_may_and_to_nobody_else() {
    let folder = Arc::new(tempfile::tempdir().unwrap());
    let create = |arguments: &[&str]| create_key(folder.path(), arguments);
    let revoked = create(&["--scope", "admin"]);
    assert!(keys_command(folder.path(), &["revoke", id_of(&revoked)]).0);
    let wrong = create(&["--scope", "admin"]);
    assert!(keys_command(folder.path(), &["rotate", id_of(&wrong)]).0);
    assert!(keys_command(folder.path(), &["revoke", id_of(&wrong), "--old-secrets"]).0);
    let keys: BTreeMap<&str, String> = ["write", "browser", "read", "admin"]
        .into_iter()
        .map(|scope| match scope {
            "browser" => (scope, create(&["--scope", scope, "--origin", "https://shop.example"])),
            _ => (scope, create(&["--scope", scope])),
        })
        .collect();
    let people = folder.path().join("people.toml");
    let grants = ["viewer", "editor", "admin"]
        .map(|role| format!("[[grant]]\ngroup = \"{role}s\"\nrole = \"{role}\"\nprojects = [\"default\"]\n"));
    std::fs::write(&people, grants.concat() + "[proxy]\ngroups_header = \"x-forwarded-groups\"\n").unwrap();
    let env = [
        ("MILLRACE_LOG", "millrace=debug,info"),
        ("MILLRACE_PEOPLE_FILE", people.to_str().unwrap()),
        ("MILLRACE_TRUSTED_HEADER", "x-forwarded-user"),
        ("MILLRACE_TRUSTED_PROXIES", "127.0.0.0/8"),
    ];
    let server = TestServer::start_on(folder, &env);

    let pool = DescriptorPool::decode(millrace::internals::proto::FILE_DESCRIPTOR_SET).unwrap();
    let mut calls: Vec<(String, Needs)> = Vec::new();
    for service in pool.services() {
        for method in service.methods() {
            let path = format!("/{}/{}", service.full_name(), method.name());
            let is_edit = method.name() == "QuerySql"
                || service.name() == "InsightService"
                    && (method.name().starts_with("Save") || method.name().starts_with("Delete"));
            let needs = match SERVICES.iter().find(|(name, _)| *name == service.full_name()) {
                Some(_) if is_edit => Edit,
                Some((_, needs)) => *needs,
                None => INGEST.iter().find(|(name, _)| *name == method.name()).expect(&path).1,
            };
            calls.push((path, needs));
        }
    }
    assert!(calls.len() >= 20, "{calls:?}");
    for (service, needs) in SERVICES.iter().filter(|(service, _)| service.starts_with("grpc.")) {
        let methods: &[&str] =
            if service.contains("health") { &["Check", "Watch"] } else { &["ServerReflectionInfo"] };
        calls.extend(methods.iter().map(|method| (format!("/{service}/{method}"), *needs)));
    }
    type Call<'a> = Box<dyn Fn(Option<&str>) -> Outcome + 'a>;
    let mut checks: Vec<(String, Needs, Call<'_>)> = Vec::new();
    for (path, needs) in calls {
        let server = &server;
        checks.push((path.clone(), needs, Box::new(move |key| call_rpc(server, &path, key, needs))));
    }
    // The server names its routes; each must be in the table above.
    let log = server.log();
    let routes = log.lines().filter_map(|line| line.split("route path=").nth(1)).map(|line| {
        let path = line.split_whitespace().next().unwrap().trim_matches('"').to_owned();
        (path, line.split("requires=").nth(1).unwrap().to_owned())
    });
    let mut served = 0;
    for (path, requirement) in routes {
        served += 1;
        let is_segment = SEGMENT.iter().any(|call| path == format!("/v1/{call}"));
        let (method, needs) = match ROUTES
            .iter()
            .find(|(_, known, needs)| *known == path && (*needs == Edit) == (requirement == "Edit"))
        {
            Some((method, _, needs)) => (*method, *needs),
            None if is_segment => ("POST", WriteOrBrowser),
            None => panic!("{path} is in no table of this test"),
        };
        assert_eq!(requirement == "Open", needs == Nothing, "{path}");
        let server = &server;
        checks.push((path.clone(), needs, Box::new(move |key| call_http(server, method, &path, key, needs))));
    }
    assert!(served >= ROUTES.len(), "{log}");

    for (path, needs, call) in &checks {
        let refused = |outcome: Outcome, why: &str| {
            let expected = if *needs == Nothing { Outcome::Served } else { Outcome::Unauthenticated };
            assert_eq!(outcome, expected, "{path} with {why}");
        };
        refused(call(None), "no key");
        refused(call(Some(&revoked)), "a revoked key");
        refused(call(Some(&wrong)), "a revoked secret");
        refused(call(Some("mr_admin_x")), "a malformed key");
        for (scope, key) in &keys {
            let expected = if needs.allows(scope) { Outcome::Served } else { Outcome::Forbidden };
            assert_eq!(call(Some(key)), expected, "{path} with the scope {scope}");
        }
        for role in ["viewer", "editor", "admin", "other"] {
            let expected = match (needs, role) {
                (Nothing, _)
                | (Read, "viewer" | "editor" | "admin")
                | (Edit, "editor" | "admin")
                | (Admin, "admin") => Outcome::Served,
                // People send no events.
                (Write | WriteOrBrowser, _) => Outcome::Unauthenticated,
                _ => Outcome::Forbidden,
            };
            assert_eq!(call(Some(&format!("role:{role}"))), expected, "{path} with the role {role}");
        }
    }
    // Neither keys nor secrets are in the log.
    let log = server.log();
    for key in keys.values().chain([&revoked, &wrong]) {
        assert!(!log.contains(key.rsplit('_').next().unwrap()));
    }
}

#[tokio::test]
async fn a_key_sees_its_own_project_only() {
    let folder = Arc::new(tempfile::tempdir().unwrap());
    let create =
        |scope: &str, project: &str| create_key(folder.path(), &["--scope", scope, "--project", project]);
    let [shop, blog] = ["shop", "blog"].map(|project| (create("write", project), create("read", project)));
    let server = TestServer::start_on(Arc::clone(&folder), &[("PANEL_CACHE_MS", "0")]);
    let (mut ingest, mut dashboard) = (server.ingest().await, server.dashboard().await);
    let request = v1::SendEventsRequest {
        producer_id: "one".into(),
        sequence: 1,
        ..events_request(vec![event("page_view"), event("page_view")])
    };
    let sent = ingest.send_events(authorized(&shop.0, request.clone())).await.unwrap().into_inner();
    assert_eq!(sent.accepted, 2);
    let known = v1::GetProducerRequest { producer_id: "one".into() };
    for (key, expected) in [(&shop.0, true), (&blog.0, false)] {
        let producer = ingest.get_producer(authorized(key, known.clone())).await.unwrap().into_inner();
        assert_eq!(producer.known, expected);
    }
    let health = format!("GET /health HTTP/1.1\r\n{}", credentials(Some(&shop.1), Read));
    assert_eq!(http_status(&response_header(&server, &health, b"")), 200);
    for (key, views) in [(&shop.1, 2), (&blog.1, 0)] {
        let deadline = std::time::Instant::now() + TIMEOUT;
        loop {
            let query = v1::GetLiveVisitorsRequest::default();
            let visitors = dashboard.get_live_visitors(authorized(key, query)).await.unwrap().into_inner();
            if visitors.total_views == views {
                break;
            }
            assert!(std::time::Instant::now() < deadline, "{visitors:?}");
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    }
}

#[tokio::test]
async fn without_keys_only_loopback_addresses_are_served() {
    let folder = Arc::new(tempfile::tempdir().unwrap());
    let serve = |listen: &str| {
        Command::new(env!("CARGO_BIN_EXE_millrace"))
            .args(["serve", "--listen", listen])
            .env("MILLRACE_DATA_DIR", folder.path())
            .output()
            .unwrap()
    };
    let refused = serve("0.0.0.0:0");
    let line = String::from_utf8(refused.stderr).unwrap();
    assert!(!refused.status.success() && line.trim_end().lines().count() == 1, "{line}");
    assert!(line.contains("0.0.0.0:0") && line.contains("millrace keys create"), "{line}");

    let key = create_key(folder.path(), &["--scope", "read"]);
    let server = TestServer::start_on(Arc::clone(&folder), &[("MILLRACE_LISTEN", "0.0.0.0:0")]);
    let mut dashboard = server.dashboard().await;
    let error = dashboard.list_panels(v1::ListPanelsRequest {}).await.unwrap_err();
    assert_eq!(error.code(), Code::Unauthenticated);
    assert!(error.message().contains("authorization: Bearer"), "{error}");
    dashboard.list_panels(authorized(&key, v1::ListPanelsRequest {})).await.unwrap();
}

#[tokio::test]
async fn keys_change_while_the_server_runs() {
    let mut server = TestServer::start();
    let folder = server.shared_data_dir();
    // Without keys, everybody is served. The first key changes that.
    let mut anonymous = server.ingest().await;
    anonymous.send_events(events_request(vec![event("a")])).await.unwrap();
    let admin = create_key(folder.path(), &["--scope", "admin"]);
    server.wait_for_log_line("keys reloaded");
    let error = anonymous.send_events(events_request(vec![event("a")])).await.unwrap_err();
    assert_eq!(error.code(), Code::Unauthenticated);

    // A key made by AdminService is valid once the server has followed the file.
    let mut keys = AdminServiceClient::new(server.channel().await);
    let invalid = v1::CreateKeyRequest { scope: v1::KeyScope::Browser.into(), ..Default::default() };
    let error = keys.create_key(authorized(&admin, invalid)).await.unwrap_err();
    assert!(error.code() == Code::InvalidArgument && error.message().contains("origin"), "{error}");
    let request =
        v1::CreateKeyRequest { scope: v1::KeyScope::Read.into(), name: "wall".into(), ..Default::default() };
    let created = keys.create_key(authorized(&admin, request)).await.unwrap().into_inner();
    let (first, id) = (created.text, created.key.unwrap().id);
    let dashboard = server.dashboard().await;
    let mut first_watch = watch(&dashboard, &first).await;
    let rotate = v1::RotateKeyRequest { id: id.clone() };
    let second = keys.rotate_key(authorized(&admin, rotate)).await.unwrap().into_inner().text;
    let mut second_watch = watch(&dashboard, &second).await;
    next_update(&mut first_watch).await.unwrap();

    // Streams of a revoked secret end, those of the other go on.
    let revoke_old = v1::RevokeKeyRequest { id: id.clone(), old_secrets_only: true };
    keys.revoke_key(authorized(&admin, revoke_old)).await.unwrap();
    assert_eq!(end_of(&mut first_watch).await, Code::Unauthenticated);
    second_watch.message().await.unwrap().unwrap();

    // A broken file changes nothing, and health says so.
    let path = folder.path().join("keys.toml");
    let valid = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, valid.replace("scope", "colour")).unwrap();
    let mut health = v1::health_service_client::HealthServiceClient::new(server.channel().await);
    let mut reports = health.watch(authorized(&admin, v1::WatchRequest {})).await.unwrap().into_inner();
    loop {
        let report = reports.message().await.unwrap().unwrap().health.unwrap();
        if report.summary.contains("keys cannot be reloaded") {
            assert!(report.summary.contains("keys.toml"), "{}", report.summary);
            break;
        }
    }
    std::fs::write(&path, valid).unwrap();
    while reports.message().await.unwrap().unwrap().health.unwrap().summary != "ok" {}

    let list = keys.list_keys(authorized(&admin, v1::ListKeysRequest {})).await.unwrap().into_inner().keys;
    let listed: Vec<&str> = list.iter().map(|key| key.name.as_str()).collect();
    assert_eq!(listed, ["", "wall"]);
    keys.revoke_key(authorized(&admin, v1::RevokeKeyRequest { id, old_secrets_only: false })).await.unwrap();
    assert_eq!(end_of(&mut second_watch).await, Code::Unauthenticated);
    let log = server.log();
    for key in [admin, first, second] {
        assert!(!log.contains(key.rsplit('_').next().unwrap()));
    }
}

type Watch = tonic::Streaming<v1::WatchPanelsResponse>;

/// Watches a panel with a new key, as soon as the server knows it.
async fn watch(
    dashboard: &v1::dashboard_service_client::DashboardServiceClient<tonic::transport::Channel>,
    key: &str,
) -> Watch {
    let query = v1::PanelQuery { panel: "active_users".into(), ..Default::default() };
    let request = v1::WatchPanelsRequest { queries: vec![query], ..Default::default() };
    let deadline = std::time::Instant::now() + TIMEOUT;
    loop {
        match dashboard.clone().watch_panels(authorized(key, request.clone())).await {
            Ok(response) => return response.into_inner(),
            Err(error) if error.code() == Code::Unauthenticated && std::time::Instant::now() < deadline => {
                tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            }
            Err(error) => panic!("{error}"),
        }
    }
}

/// Reads a stream to its error.
async fn end_of(stream: &mut Watch) -> Code {
    loop {
        match stream.message().await {
            Ok(Some(_)) => {}
            Ok(None) => panic!("the stream ended without an error"),
            Err(status) => return status.code(),
        }
    }
}

#[tokio::test]
async fn a_browser_key_sends_named_events_from_named_origins() {
    let folder: Arc<TempDir> = Arc::new(tempfile::tempdir().unwrap());
    let origin = "https://shop.example";
    let browser =
        create_key(folder.path(), &["--scope", "browser", "--origin", origin, "--event", "page_view"]);
    let write = create_key(folder.path(), &["--scope", "write"]);
    let server = TestServer::start_on(folder, &[]);
    let events =
        |name: &str| json!([{ "event_name": name, "timestamp": jiff::Timestamp::now().to_string() }]);
    let post = |path: &str, headers: &str, body: &Value| {
        let request = format!("POST {path} HTTP/1.1\r\ncontent-type: application/json\r\n{headers}");
        response_header(&server, &request, body.to_string().as_bytes())
    };
    let bearer = format!("authorization: Bearer {browser}\r\n");
    let accepted = post("/events", &format!("{bearer}origin: {origin}\r\n"), &events("page_view"));
    assert_eq!(http_status(&accepted), 200, "{accepted}");
    assert!(accepted.contains(&format!("access-control-allow-origin: {origin}")), "{accepted}");
    assert!(accepted.contains("vary: ") && accepted.contains("retry-after"), "{accepted}");
    // A beacon has its key in the URL. Only a browser key may be there.
    let beacon =
        post(&format!("/events?key={browser}"), &format!("origin: {origin}\r\n"), &events("page_view"));
    assert_eq!(http_status(&beacon), 200, "{beacon}");
    let leaked = post(&format!("/events?key={write}"), "", &events("page_view"));
    assert_eq!(http_status(&leaked), 401, "{leaked}");
    for (headers, name, status) in [
        (format!("{bearer}origin: {origin}\r\n"), "signup", 400),
        (format!("{bearer}origin: https://other.example\r\n"), "page_view", 403),
        (bearer.clone(), "page_view", 403),
        (format!("authorization: Bearer {write}\r\norigin: https://other.example\r\n"), "page_view", 403),
    ] {
        let header = post("/events", &headers, &events(name));
        assert_eq!(http_status(&header), status, "{headers}: {header}");
    }
    let preflight = |path: &str, origin: &str| {
        let request = format!(
            "OPTIONS {path} HTTP/1.1\r\norigin: {origin}\r\naccess-control-request-method: POST\r\n\
             access-control-request-headers: authorization, content-type\r\n"
        );
        response_header(&server, &request, b"")
    };
    let allowed = preflight("/events", origin);
    assert_eq!(http_status(&allowed), 204, "{allowed}");
    assert!(allowed.contains("access-control-allow-headers: authorization, content-type"), "{allowed}");
    assert!(allowed.contains("access-control-max-age: 7200") && !allowed.contains("allow-credentials"));
    for (path, origin) in [("/events", "https://other.example"), ("/api/panels", origin), ("/health", origin)]
    {
        let refused = preflight(path, origin);
        assert_eq!(http_status(&refused), 403, "{path}: {refused}");
        assert!(!refused.contains("access-control-allow-origin"), "{refused}");
    }
    // Over gRPC, a browser is no producer.
    let mut request = authorized(
        &browser,
        v1::SendEventsRequest {
            producer_id: "one".into(),
            sequence: 1,
            ..events_request(vec![event("page_view")])
        },
    );
    request.metadata_mut().insert("origin", origin.parse().unwrap());
    let error = server.ingest().await.send_events(request).await.unwrap_err();
    assert!(error.code() == Code::PermissionDenied && error.message().contains("producer_id"), "{error}");
}

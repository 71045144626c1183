//! Insights and dashboards: files that change while the server runs, and calls that change files.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use millrace_client::proto::v1;
use serde_json::{Value, json};
use tonic::Code;
use tonic::transport::Channel;
use v1::dashboard_item::Content;
use v1::explore_service_client::ExploreServiceClient;
use v1::insight::Query;
use v1::insight_service_client::InsightServiceClient;

use crate::common::{TIMEOUT, TestServer, event, events_request, http_request_with};
use crate::keys::{authorized, create_key};

const SIGNUPS: &str = "title: Sign-ups\nchart: bar\ntrend:\n  series:\n    - event_name: signup_completed\n  range:\n    time_range: 24h\n";

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        for kind in ["insights", "dashboards"] {
            std::fs::create_dir(folder.path().join(kind)).unwrap();
        }
        Self(folder)
    }

    fn path(&self, file: &str) -> PathBuf {
        self.0.path().join(file)
    }

    /// Renamed into place, as editors do, so that the server never reads half a file.
    fn write(&self, file: &str, text: &str) {
        let temporary = self.path("half-written");
        std::fs::write(&temporary, text).unwrap();
        std::fs::rename(temporary, self.path(file)).unwrap();
    }

    fn read(&self, file: &str) -> String {
        std::fs::read_to_string(self.path(file)).unwrap()
    }

    fn server(&self) -> TestServer {
        TestServer::start_with(&[("MILLRACE_INSIGHTS_DIR", self.0.path().to_str().unwrap())])
    }
}

async fn client(server: &TestServer) -> InsightServiceClient<Channel> {
    InsightServiceClient::new(server.channel().await)
}

async fn list(server: &TestServer) -> v1::ListInsightsResponse {
    client(server).await.list_insights(v1::ListInsightsRequest {}).await.unwrap().into_inner()
}

async fn list_dashboards(server: &TestServer) -> v1::ListDashboardsResponse {
    client(server).await.list_dashboards(v1::ListDashboardsRequest {}).await.unwrap().into_inner()
}

async fn get(server: &TestServer, name: &str) -> v1::Insight {
    let request = v1::GetInsightRequest { name: name.into() };
    client(server).await.get_insight(request).await.unwrap().into_inner().insight.unwrap()
}

async fn dashboard(server: &TestServer, name: &str) -> v1::Dashboard {
    let request = v1::GetDashboardRequest { name: name.into() };
    client(server).await.get_dashboard(request).await.unwrap().into_inner().dashboard.unwrap()
}

async fn save(server: &TestServer, insight: v1::Insight) -> Result<v1::Insight, tonic::Status> {
    let request = v1::SaveInsightRequest { insight: Some(insight) };
    Ok(client(server).await.save_insight(request).await?.into_inner().insight.unwrap())
}

async fn delete(server: &TestServer, name: &str, etag: &str) -> Result<(), tonic::Status> {
    let request = v1::DeleteInsightRequest { name: name.into(), etag: etag.into() };
    client(server).await.delete_insight(request).await.map(drop)
}

async fn wait_for(
    server: &TestServer,
    predicate: impl Fn(&v1::ListInsightsResponse) -> bool,
) -> v1::ListInsightsResponse {
    let deadline = Instant::now() + TIMEOUT;
    loop {
        let list = list(server).await;
        if predicate(&list) {
            return list;
        }
        assert!(Instant::now() < deadline, "{list:?}\n{}", server.log());
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
}

fn names(list: &v1::ListInsightsResponse) -> Vec<&str> {
    list.insights.iter().map(|insight| insight.name.as_str()).collect()
}

fn trend(title: &str, name: &str) -> v1::Insight {
    let series = vec![v1::TrendSeries { event_name: "page_view".into(), ..Default::default() }];
    let query = Some(Query::Trend(v1::QueryTrendRequest { series, ..Default::default() }));
    v1::Insight { name: name.into(), title: title.into(), query, ..Default::default() }
}

#[tokio::test]
async fn files_are_picked_up_while_the_server_runs_and_broken_ones_are_listed() {
    let folder = Folder::new();
    folder.write("insights/sign-ups.yaml", SIGNUPS);
    folder.write("insights/broken.yaml", "title: x\ntrend:\n  series: [{}]\n  formula: \"A +\"\n");
    folder.write("insights/Upper.yaml", SIGNUPS);
    folder.write("insights/notes.txt", "not read");
    let server = folder.server();
    let first = list(&server).await;
    assert_eq!(names(&first), ["sign-ups", "signup_conversion"]);
    assert!(!first.read_only);
    let broken: Vec<_> = first.broken.iter().map(|broken| (broken.file.as_str(), broken.line)).collect();
    assert_eq!(broken, [("insights/broken.yaml", 4), ("insights/Upper.yaml", 0)]);
    assert!(first.broken[0].message.starts_with("formula"), "{:?}", first.broken);

    // The heartbeats say that something has changed.
    let mut dashboard = server.dashboard().await;
    let queries = vec![v1::PanelQuery { panel: "active_users".into(), ..Default::default() }];
    let request = v1::WatchPanelsRequest { queries, ..Default::default() };
    let mut stream = dashboard.watch_panels(request).await.unwrap().into_inner();
    let mut next_version = async || {
        loop {
            let update = tokio::time::timeout(TIMEOUT, stream.message()).await.unwrap().unwrap().unwrap();
            if let Some(heartbeat) = update.heartbeat {
                return heartbeat.insights_version;
            }
        }
    };
    assert_eq!(next_version().await, first.version);
    folder.write("insights/broken.yaml", SIGNUPS);
    folder.write("insights/sign-ups.yaml", "title: 'no end");
    while next_version().await == first.version {}
    let second =
        wait_for(&server, |list| list.broken.iter().any(|broken| broken.file.contains("sign-ups"))).await;
    assert_eq!(names(&second), ["broken", "sign-ups", "signup_conversion"]);
    assert_eq!(second.insights[1].title, "Sign-ups", "the version before stays");

    std::fs::remove_file(folder.path("insights/sign-ups.yaml")).unwrap();
    std::fs::remove_file(folder.path("insights/Upper.yaml")).unwrap();
    let third = wait_for(&server, |list| list.insights.len() == 2).await;
    assert_eq!((names(&third), &third.broken), (vec!["broken", "signup_conversion"], &vec![]));
}

#[tokio::test]
async fn an_insight_is_saved_with_the_version_that_it_replaces() {
    let folder = Folder::new();
    let server = folder.server();
    let insight = save(&server, trend("Views", "views")).await.unwrap();
    assert_eq!(insight, get(&server, "views").await);
    let file = "title: Views\ntrend:\n  series:\n    - event_name: page_view\n";
    assert_eq!(folder.read("insights/views.yaml"), file);

    // Without a version, with that of another file, and after a change by hand.
    let error = save(&server, trend("Other", "views")).await.unwrap_err();
    assert_eq!(error.code(), Code::FailedPrecondition, "{error}");
    let stale = v1::Insight { etag: "0".repeat(32), ..trend("Other", "views") };
    assert_eq!(save(&server, stale).await.unwrap_err().code(), Code::Aborted);
    folder.write("insights/views.yaml", "title: By hand\ntrend: {series: [{}]}\n");
    let error = save(&server, v1::Insight { title: "Lost".into(), ..insight.clone() }).await.unwrap_err();
    assert!(error.code() == Code::Aborted && error.message().starts_with("conflict"), "{error}");
    assert_eq!(delete(&server, "views", &insight.etag).await.unwrap_err().code(), Code::Aborted);
    assert!(folder.read("insights/views.yaml").starts_with("title: By hand"));

    // Two writers with the same version: one wins.
    wait_for(&server, |list| list.insights.iter().any(|insight| insight.title == "By hand")).await;
    let current = get(&server, "views").await;
    let version = |title: &str| v1::Insight { title: title.into(), ..current.clone() };
    let (one, two) = tokio::join!(save(&server, version("One")), save(&server, version("Two")));
    let (saved, error) = match (one, two) {
        (Ok(saved), Err(error)) | (Err(error), Ok(saved)) => (saved, error),
        other => panic!("{other:?}"),
    };
    assert_eq!(error.code(), Code::Aborted);
    assert_eq!(get(&server, "views").await, saved);

    // Deleted meanwhile.
    delete(&server, "views", &saved.etag).await.unwrap();
    assert!(!folder.path("insights/views.yaml").exists());
    assert_eq!(save(&server, saved.clone()).await.unwrap_err().code(), Code::Aborted);
    assert_eq!(delete(&server, "views", &saved.etag).await.unwrap_err().code(), Code::Aborted);
    assert_eq!(delete(&server, "views", "").await.unwrap_err().code(), Code::NotFound);

    // A file that is broken can be replaced with its version.
    folder.write("insights/views.yaml", "title: [");
    let list = wait_for(&server, |list| !list.broken.is_empty()).await;
    let repaired = v1::Insight { etag: list.broken[0].etag.clone(), ..trend("Repaired", "views") };
    save(&server, repaired).await.unwrap();

    for (insight, part) in [
        (trend("x", "../x"), "name: \"../x\" is invalid"),
        (trend("x", ""), "name: \"\" is invalid"),
        (trend("", "x"), "title: it is missing"),
        (v1::Insight { query: None, ..trend("x", "x") }, "the query is missing"),
        (v1::Insight { project: "shop".into(), ..trend("x", "x") }, "not your project \"default\""),
    ] {
        let error = save(&server, insight).await.unwrap_err();
        assert!(error.code() == Code::InvalidArgument && error.message().contains(part), "{error}");
    }
    assert_eq!(std::fs::read_dir(folder.path("insights")).unwrap().count(), 1, "no temporary files");
}

#[tokio::test]
async fn the_built_in_dashboard_lists_the_panels_and_a_file_replaces_it() {
    let folder = Folder::new();
    let server = folder.server();
    let built_in = dashboard(&server, "default").await;
    let shown: Vec<&str> = built_in
        .items
        .iter()
        .map(|item| match item.content.as_ref().unwrap() {
            Content::Panel(name) | Content::Insight(name) => name.as_str(),
            other => panic!("{other:?}"),
        })
        .collect();
    let expected = [
        "active_users",
        "live_visitors",
        "traffic_anomaly",
        "signup_conversion",
        "error_rate",
        "top_features",
        "traffic_by_country",
        "top_pages",
    ];
    assert_eq!(shown, expected);
    assert!(built_in.items.iter().all(|item| item.error.is_empty() && item.placement.is_some()));
    assert!(built_in.built_in && built_in.etag.is_empty());
    assert_eq!(list_dashboards(&server).await.dashboards, std::slice::from_ref(&built_in));

    let mut client = client(&server).await;
    let request = v1::DeleteDashboardRequest { name: "default".into(), etag: String::new() };
    let error = client.delete_dashboard(request).await.unwrap_err();
    assert!(error.code() == Code::PermissionDenied && error.message().contains("built in"), "{error}");
    let layout = v1::GridLayout { x: 6, y: 0, width: 6, height: 4 };
    let item = |content, layout| v1::DashboardItem { content: Some(content), layout, ..Default::default() };
    let items = vec![
        item(Content::Panel("error_rate".into()), None),
        item(Content::Insight("missing".into()), Some(layout)),
        item(Content::Panel("missing".into()), None),
    ];
    let request = v1::SaveDashboardRequest { dashboard: Some(v1::Dashboard { items, ..built_in }) };
    let saved = client.save_dashboard(request).await.unwrap().into_inner().dashboard.unwrap();
    assert!(!saved.built_in && !saved.etag.is_empty());
    let placed: Vec<_> = saved.items.iter().map(|item| item.placement.unwrap()).collect();
    let place = |x, y| v1::GridLayout { x, y, width: 6, height: 4 };
    assert_eq!(placed, [place(0, 0), place(6, 0), place(0, 4)]);
    let errors: Vec<&str> = saved.items.iter().map(|item| item.error.as_str()).collect();
    assert!(errors[0].is_empty(), "{errors:?}");
    assert!(errors[1].starts_with("there is no insight \"missing\""), "{errors:?}");
    assert!(errors[2].starts_with("there is no panel \"missing\""), "{errors:?}");
    let file = folder.read("dashboards/default.yaml");
    assert!(file.ends_with("    layout: {x: 6, y: 0, width: 6, height: 4}\n  - panel: missing\n"), "{file}");

    let request = v1::DeleteDashboardRequest { name: "default".into(), etag: saved.etag };
    client.delete_dashboard(request).await.unwrap();
    assert!(dashboard(&server, "default").await.built_in);
}

#[tokio::test]
async fn a_saved_query_gives_the_result_of_the_request() {
    let folder = Folder::new();
    let server = folder.server();
    let mut events = Vec::new();
    for visitor in 0..5 {
        let session_id = format!("s{visitor}");
        events.push(v1::Event { session_id: session_id.clone(), ..event("signup_started") });
        // Twice, so that there are more completions than starts.
        if visitor < 3 {
            events.push(v1::Event { session_id: session_id.clone(), ..event("signup_completed") });
            events.push(v1::Event { session_id, ..event("signup_completed") });
        }
    }
    server.ingest().await.send_events(events_request(events)).await.unwrap();
    server.wait_until_landed().await;
    let mut explore = ExploreServiceClient::new(server.channel().await);

    let Some(Query::Funnel(funnel)) = get(&server, "signup_conversion").await.query else {
        panic!("no funnel")
    };
    let result = explore.query_funnel(funnel).await.unwrap().into_inner().overall.unwrap();
    let counts: Vec<u64> = result.steps.iter().map(|step| step.count).collect();
    assert_eq!((counts, result.steps[1].from_first_pct), (vec![5, 3], Some(60.0)));

    folder.write("insights/sign-ups.yaml", SIGNUPS);
    wait_for(&server, |list| list.insights.len() == 2).await;
    let Some(Query::Trend(trend)) = get(&server, "sign-ups").await.query else { panic!("no trend") };
    let request = v1::QueryTrendRequest {
        series: vec![v1::TrendSeries { event_name: "signup_completed".into(), ..Default::default() }],
        range: Some(v1::QueryRange { time_range: v1::TimeRange::TimeRange24h.into(), ..Default::default() }),
        ..Default::default()
    };
    assert_eq!(trend, request);
    let result = explore.query_trend(trend).await.unwrap().into_inner();
    assert_eq!(result.lines[0].total.unwrap().value, Some(6.0));
}

/// The status, the ETag and the body of a response.
fn http(server: &TestServer, method: &str, path: &str, headers: &str, body: &Value) -> (u16, String, Value) {
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let (head, body) = http_request_with(server, method, path, headers, body.as_bytes());
    let etag = head.lines().find_map(|line| line.strip_prefix("etag: ")).unwrap_or_default().to_owned();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, etag, serde_json::from_slice(&body).unwrap_or_default())
}

#[tokio::test]
async fn the_http_api_has_versions_in_headers() {
    let folder = Folder::new();
    let server = folder.server();
    let path = "/api/insights/views";
    let query = json!({ "title": "Views", "trend": { "series": [{ "event_name": "page_view" }] } });
    let (status, first, saved) = http(&server, "PUT", path, "", &query);
    assert_eq!((status, &saved["name"], &saved["title"]), (200, &json!("views"), &json!("Views")));
    let (status, etag, body) = http(&server, "GET", path, "", &Value::Null);
    assert_eq!((status, &etag, body), (200, &first, saved));
    assert_eq!(http(&server, "PUT", path, "", &query).0, 428);
    assert_eq!(http(&server, "DELETE", path, "", &Value::Null).0, 428);
    let if_first = format!("If-Match: {first}\r\n");
    let (status, second, _) = http(&server, "PUT", path, &if_first, &json!({ "title": "x", "paths": {} }));
    assert!(status == 200 && second != first, "{second}");
    let (status, _, problem) = http(&server, "PUT", path, &if_first, &query);
    assert_eq!((status, problem["title"].as_str()), (412, Some("Precondition Failed")));
    assert!(problem["detail"].as_str().unwrap().contains("has changed since"), "{problem}");
    assert_eq!(http(&server, "DELETE", path, &if_first, &Value::Null).0, 412);
    assert_eq!(http(&server, "PUT", path, "If-Match: *\r\n", &query).0, 400);
    assert_eq!(http(&server, "PUT", path, &if_first, &json!({ "name": "y", "title": "x" })).0, 400);
    let (_, _, list) = http(&server, "GET", "/api/insights", "", &Value::Null);
    assert_eq!(list["insights"].as_array().unwrap().len(), 2);
    assert_eq!(http(&server, "DELETE", path, &format!("If-Match: W/{second}\r\n"), &Value::Null).0, 204);
    assert_eq!(http(&server, "GET", path, "", &Value::Null).0, 404);

    let items = json!([{ "insight": "signup_conversion" }]);
    let (status, etag, _) =
        http(&server, "PUT", "/api/dashboards/people", "", &json!({ "title": "People", "items": items }));
    assert_eq!(status, 200);
    let (_, _, list) = http(&server, "GET", "/api/dashboards", "", &Value::Null);
    assert_eq!(list["dashboards"][1]["items"][0]["insight"], "signup_conversion");
    let if_match = format!("If-Match: {etag}\r\n");
    assert_eq!(http(&server, "DELETE", "/api/dashboards/people", &if_match, &Value::Null).0, 204);
}

/// Below a file there is no folder, for root either.
#[tokio::test]
async fn a_folder_that_cannot_be_written_is_read_only() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, "").unwrap();
    let path = file.join("insights");
    let server = TestServer::start_with(&[("MILLRACE_INSIGHTS_DIR", path.to_str().unwrap())]);
    let list = list(&server).await;
    assert!(list.read_only && names(&list) == ["signup_conversion"], "{list:?}");
    assert!(list_dashboards(&server).await.read_only);
    let error = save(&server, trend("Views", "views")).await.unwrap_err();
    assert!(error.code() == Code::PermissionDenied, "{error}");
    assert!(
        error.message().contains("MILLRACE_INSIGHTS_DIR") && error.message().contains("not writable"),
        "{error}"
    );
}

#[tokio::test]
async fn a_missing_folder_is_made_by_the_first_save() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a/b");
    let server = TestServer::start_with(&[("MILLRACE_INSIGHTS_DIR", path.to_str().unwrap())]);
    assert!(!list(&server).await.read_only);
    save(&server, trend("Views", "views")).await.unwrap();
    assert!(path.join("insights/views.yaml").is_file());
}

#[tokio::test]
async fn a_project_sees_and_changes_its_own_and_what_is_for_every_project() {
    let folder = Folder::new();
    folder.write("insights/shared.yaml", SIGNUPS);
    folder.write("insights/shop.yaml", &format!("project: shop\n{SIGNUPS}"));
    folder.write("insights/half.yaml", "project: shop\ntitle: [");
    folder.write("dashboards/both.yaml", "title: Both\nitems:\n- insight: shared\n- insight: shop\n");
    let data_dir = Arc::new(tempfile::tempdir().unwrap());
    let key = |scope: &str, project: &str| {
        create_key(Path::new(data_dir.path()), &["--scope", scope, "--project", project])
    };
    let (shop, blog, viewer) = (key("admin", "shop"), key("admin", "blog"), key("read", "shop"));
    let path = folder.0.path().to_str().unwrap().to_owned();
    let server = TestServer::start_on(data_dir, &[("MILLRACE_INSIGHTS_DIR", &path)]);
    let mut client = client(&server).await;

    let mut of = async |key: &str| {
        let list =
            client.list_insights(authorized(key, v1::ListInsightsRequest {})).await.unwrap().into_inner();
        let request = v1::GetDashboardRequest { name: "both".into() };
        let both =
            client.get_dashboard(authorized(key, request)).await.unwrap().into_inner().dashboard.unwrap();
        let names = names(&list).join(" ");
        (names, list.broken.len(), both.items.iter().filter(|item| !item.error.is_empty()).count())
    };
    for key in [&shop, &viewer] {
        assert_eq!(of(key).await, ("shared shop signup_conversion".to_owned(), 1, 0));
    }
    assert_eq!(of(&blog).await, ("shared signup_conversion".to_owned(), 0, 1));

    let get = |name: &str| v1::GetInsightRequest { name: name.into() };
    let error = client.get_insight(authorized(&blog, get("shop"))).await.unwrap_err();
    assert_eq!(error.code(), Code::NotFound);
    let insight =
        client.get_insight(authorized(&shop, get("shop"))).await.unwrap().into_inner().insight.unwrap();
    let save = |insight: v1::Insight| v1::SaveInsightRequest { insight: Some(insight) };
    let delete = || v1::DeleteInsightRequest { name: "shop".into(), etag: insight.etag.clone() };

    // Another project may neither replace nor delete it, whatever it knows.
    let theirs = v1::Insight { etag: insight.etag.clone(), ..trend("x", "shop") };
    let error = client.save_insight(authorized(&blog, save(theirs))).await.unwrap_err();
    assert!(error.code() == Code::Aborted && error.message().contains("taken"), "{error}");
    assert_eq!(client.delete_insight(authorized(&blog, delete())).await.unwrap_err().code(), Code::Aborted);
    // Nor make one of another project.
    let theirs = v1::Insight { project: "shop".into(), ..trend("x", "new") };
    assert_eq!(
        client.save_insight(authorized(&blog, save(theirs))).await.unwrap_err().code(),
        Code::InvalidArgument
    );
    // A viewer may not save.
    let error = client.save_insight(authorized(&viewer, save(insight.clone()))).await.unwrap_err();
    assert!(error.code() == Code::PermissionDenied && error.message().contains("admin"), "{error}");
    assert_eq!(
        client.delete_insight(authorized(&viewer, delete())).await.unwrap_err().code(),
        Code::PermissionDenied
    );
    let authorization = format!("authorization: Bearer {viewer}\r\n");
    assert_eq!(http(&server, "GET", "/api/insights/shop", &authorization, &Value::Null).0, 200);
    assert_eq!(http(&server, "PUT", "/api/insights/shop", &authorization, &json!({})).0, 403);
    assert_eq!(http(&server, "DELETE", "/api/insights/shop", &authorization, &Value::Null).0, 403);
    client.delete_insight(authorized(&shop, delete())).await.unwrap();
}

#[tokio::test]
async fn an_annotation_is_a_file_with_a_time_and_appears_in_every_list() {
    let folder = Folder::new();
    let server = folder.server();
    let mut client = client(&server).await;
    let list = async || {
        let mut client = InsightServiceClient::new(server.channel().await);
        client.list_annotations(v1::ListAnnotationsRequest {}).await.unwrap().into_inner()
    };
    let at = Some(prost_types::Timestamp { seconds: 1_795_339_800, nanos: 0 });
    let annotation = v1::Annotation {
        name: "release-2-4".to_owned(),
        title: "Release 2.4".to_owned(),
        at,
        ..Default::default()
    };
    let without_time = v1::Annotation { at: None, ..annotation.clone() };
    let save = v1::SaveAnnotationRequest { annotation: Some(without_time) };
    let status = client.save_annotation(save).await.unwrap_err();
    assert!(status.code() == Code::InvalidArgument && status.message().starts_with("at: "), "{status}");

    let save = v1::SaveAnnotationRequest { annotation: Some(annotation.clone()) };
    let saved = client.save_annotation(save).await.unwrap().into_inner().annotation.unwrap();
    assert_eq!(folder.read("annotations/release-2-4.yaml"), "title: Release 2.4\nat: 2026-11-22T09:30:00Z\n");
    let listed = list().await;
    assert_eq!((&listed.annotations[..], listed.read_only), (&[saved.clone()][..], false));
    assert_eq!(saved.at, at);

    // Edited by hand in the meantime.
    folder.write("annotations/release-2-4.yaml", "title: Release 2.5\nat: 2026-11-22T09:30:00Z\n");
    let stale = v1::SaveAnnotationRequest { annotation: Some(v1::Annotation { title: "x".into(), ..saved }) };
    assert_eq!(client.save_annotation(stale).await.unwrap_err().code(), Code::Aborted);
    let current = list().await.annotations.remove(0);
    assert_eq!(current.title, "Release 2.5");
    let (name, etag) = (current.name, current.etag);
    client.delete_annotation(v1::DeleteAnnotationRequest { name, etag }).await.unwrap();
    assert_eq!(list().await.annotations, []);

    folder.write("annotations/broken.yaml", "title: When?\nat: yesterday\n");
    let deadline = Instant::now() + TIMEOUT;
    let broken = loop {
        if let [broken] = &list().await.broken[..] {
            break broken.clone();
        }
        assert!(Instant::now() < deadline, "the broken file is not listed");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    };
    assert_eq!((&*broken.file, broken.line), ("annotations/broken.yaml", 2));
    let (head, body) = http_request_with(&server, "GET", "/api/annotations", "", b"");
    assert!(
        head.starts_with("HTTP/1.1 200") && String::from_utf8_lossy(&body).contains("broken.yaml"),
        "{head}"
    );
}

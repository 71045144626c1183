//! Compares panels with the same figures computed in plain SQL over the events.

use std::collections::{BTreeMap, BTreeSet};

use crate::common::{TestServer, event, events_request, http_request};
use millrace_client::proto::v1;
use tonic::Code;
use v1::TimeRange;
use v1::frame_column::Values;

fn seconds(timestamp: Option<prost_types::Timestamp>) -> i64 {
    timestamp.unwrap().seconds
}

/// A frame's column of whole numbers, or of times in seconds.
fn numbers(frame: &v1::Frame, name: &str) -> Vec<u64> {
    let column = frame.columns.iter().find(|column| column.name == name).unwrap();
    match column.values.as_ref().unwrap() {
        Values::Uint64Values(values) => values.values.clone(),
        Values::TimestampValues(values) => {
            values.values.iter().map(|millis| (millis / 1_000) as u64).collect()
        }
        other => panic!("{name}: {other:?}"),
    }
}

fn texts(frame: &v1::Frame, name: &str) -> Vec<String> {
    let column = frame.columns.iter().find(|column| column.name == name).unwrap();
    match column.values.as_ref().unwrap() {
        Values::StringValues(values) => values.values.clone(),
        other => panic!("{name}: {other:?}"),
    }
}

/// The figures of plain SQL over the events of a frame's range, by the first columns of each row.
async fn plain_figures(
    server: &TestServer,
    project: &str,
    frame: &v1::Frame,
    keys: &str,
    figures: &str,
    condition: &str,
) -> BTreeMap<String, Vec<u64>> {
    let context = frame.context.as_ref().unwrap();
    let (start, end) = (seconds(context.range_start), seconds(context.range_end));
    let buckets = match keys.contains("bucket") {
        false => String::new(),
        true => {
            let starts: BTreeSet<u64> = numbers(frame, "bucket_start").into_iter().collect();
            let starts = Vec::from_iter(starts);
            // Without rows there must be no events: any would be in this bucket.
            let starts = if starts.is_empty() { vec![0] } else { starts };
            format!("WITH roundDown(toUnixTimestamp(timestamp), {starts:?}::Array(UInt32)) AS bucket ")
        }
    };
    let group = if keys == "''" { String::new() } else { format!(" GROUP BY {keys}") };
    let rows = server
        .sql(&format!(
            "{buckets}SELECT concat({keys}, ''), {figures} FROM events WHERE timestamp >= toDateTime64({start}, 3, 'UTC') \
             AND timestamp < toDateTime64({end}, 3, 'UTC') AND project = '{project}' AND {condition}{group}"
        ))
        .await;
    let figures_of = |row: &str| {
        let (key, figures) = row.split_once('\t').unwrap();
        (key.to_owned(), figures.split('\t').map(|figure| figure.parse().unwrap()).collect())
    };
    rows.lines().map(figures_of).collect()
}

const VISITORS: &str = "uniqExactIf(ifNull(user_id, session_id), ifNull(user_id, session_id) != '')";

/// Compares a frame of a built-in panel with plain SQL over the project's events that pass `filter`.
pub(crate) async fn assert_equals_plain_sql(
    server: &TestServer,
    project: &str,
    panel: &str,
    frame: &v1::Frame,
    filter: &str,
) {
    let (keys, figures, condition, columns) = match panel {
        "active_users" => ("toString(bucket)", "uniqExact(session_id)".to_owned(), "1", vec!["active_users"]),
        "error_rate" => (
            "toString(bucket)",
            "countIf(event_name = 'error_occurred'), count()".to_owned(),
            "1",
            vec!["errors", "events"],
        ),
        "signup_funnel" => (
            "toString(bucket)",
            "countIf(event_name = 'signup_started'), countIf(event_name = 'signup_completed')".to_owned(),
            "event_name LIKE 'signup%'",
            vec!["started", "completed"],
        ),
        "traffic_by_country" => (
            "toString(bucket), toString(country_code)",
            format!("count(), {VISITORS}"),
            "event_name = 'page_view'",
            vec!["views", "visitors"],
        ),
        "top_pages" => (
            "toString(page_url)",
            format!("count(), {VISITORS}"),
            "event_name = 'page_view' AND page_url != ''",
            vec!["views", "visitors"],
        ),
        "top_features" => (
            "toString(feature)",
            format!("count(), {VISITORS}"),
            "event_name = 'feature_used' AND feature != ''",
            vec!["events", "unique_users"],
        ),
        "live_visitors" => (
            "''",
            format!("count(), {VISITORS}"),
            "event_name = 'page_view'",
            vec!["total_views", "unique_visitors"],
        ),
        other => panic!("{other}"),
    };
    let expected =
        plain_figures(server, project, frame, keys, &figures, &format!("{condition} AND {filter}")).await;
    let rows = usize::try_from(frame.rows).unwrap();
    let keys: Vec<String> = match panel {
        "top_pages" => texts(frame, "page_url"),
        "top_features" => texts(frame, "feature"),
        "live_visitors" => vec![String::new()],
        "traffic_by_country" => {
            let countries = texts(frame, "country_code");
            numbers(frame, "bucket_start")
                .iter()
                .zip(countries)
                .map(|(bucket, country)| format!("{bucket}{country}"))
                .collect()
        }
        _ => numbers(frame, "bucket_start").iter().map(u64::to_string).collect(),
    };
    assert_eq!(keys.len(), rows);
    let values: Vec<Vec<u64>> = columns.iter().map(|column| numbers(frame, column)).collect();
    let mut found = 0;
    for (row, key) in keys.iter().enumerate() {
        let none = vec![0; columns.len()];
        let exact = expected.get(key);
        found += usize::from(exact.is_some());
        for (index, exact) in exact.unwrap_or(&none).iter().enumerate() {
            let (column, value) = (columns[index], values[index][row]);
            let is_distinct =
                matches!(column, "active_users" | "visitors" | "unique_users" | "unique_visitors");
            let allowed = if is_distinct && *exact > 100 { exact / 100 } else { 0 };
            assert!(
                value.abs_diff(*exact) <= allowed,
                "{panel} {filter}: {column} of {key:?} is {value}, not {exact}: {:?}",
                frame.context
            );
        }
    }
    assert_eq!(found, expected.len(), "{panel} {filter}: {expected:?}");
}

/// The built-in panels that [`assert_equals_plain_sql`] knows.
pub(crate) const PANELS: [&str; 7] = [
    "active_users",
    "error_rate",
    "signup_funnel",
    "traffic_by_country",
    "top_pages",
    "top_features",
    "live_visitors",
];

/// Whether a panel has a comparison: it has a time axis or figures.
pub(crate) fn is_compared(panel: &str) -> bool {
    !panel.starts_with("top")
}

/// A query for a frame with all rows. The comparison alternates with `turn`.
pub(crate) fn frame_request(panel: &str, turn: usize) -> v1::QueryPanelRequest {
    let compare = match (is_compared(panel), turn % 2) {
        (false, _) => v1::Compare::Unspecified,
        (true, 0) => v1::Compare::PreviousPeriod,
        (true, _) => v1::Compare::WeekAgo,
    };
    let limit = panel.starts_with("top").then(|| ("limit".to_owned(), "100".to_owned()));
    v1::QueryPanelRequest {
        panel: panel.into(),
        compare: compare.into(),
        parameters: limit.into_iter().collect(),
        result_format: v1::ResultFormat::Frame.into(),
        ..Default::default()
    }
}

pub(crate) fn filter(dimension: &str, values: &[&str]) -> v1::Filter {
    v1::Filter {
        dimension: dimension.into(),
        values: values.iter().map(|value| (*value).to_owned()).collect(),
    }
}

#[tokio::test]
async fn panels_match_plain_sql_for_every_range_filter_and_comparison() {
    let server = TestServer::start_with(&[("PANEL_CACHE_MS", "0")]);
    // 40 days of traffic, and the last hour with more of it.
    for arguments in [["--backfill", "960h", "--rate", "0.03"], ["--count", "60000", "--seed", "7"]] {
        let generate = tokio::process::Command::new(env!("CARGO_BIN_EXE_millrace"))
            .args(["generate", "--target", &server.url()])
            .args(arguments)
            .output();
        let generate = generate.await.unwrap();
        assert!(generate.status.success(), "{}", String::from_utf8_lossy(&generate.stderr));
    }
    server.wait_until_landed().await;
    // Another project has the same figures, which no panel shows.
    for table in ["events", "rollup"] {
        server.sql(&format!("INSERT INTO {table} SELECT * REPLACE ('other' AS project) FROM {table}")).await;
    }
    let now = jiff::Timestamp::now().as_second();
    let at = |second: i64| Some(prost_types::Timestamp { seconds: second, nanos: 0 });
    let interval = |start: i64, end: i64| Some(v1::Interval { start: at(now - start), end: at(now - end) });
    let preset = |range: TimeRange| (range, None, v1::Bucket::Unspecified, "UTC");
    let unset = TimeRange::Unspecified;
    let ranges = [
        preset(TimeRange::TimeRange1h),
        preset(TimeRange::TimeRange24h),
        preset(TimeRange::TimeRange7d),
        (TimeRange::TimeRange30d, None, v1::Bucket::Day, "Europe/Madrid"),
        (TimeRange::Today, None, v1::Bucket::Unspecified, "Asia/Kathmandu"),
        (TimeRange::Yesterday, None, v1::Bucket::Unspecified, "America/New_York"),
        (TimeRange::ThisWeek, None, v1::Bucket::Unspecified, "Asia/Tokyo"),
        preset(TimeRange::ThisMonth),
        (unset, interval(950_000, 33_333), v1::Bucket::Unspecified, "Asia/Kolkata"),
        (unset, interval(3_000_000, 90_000), v1::Bucket::Week, "Europe/Madrid"),
    ];
    let filters = [
        (vec![], "1", true),
        (vec![filter("country_code", &["US", "DE"])], "country_code IN ('US', 'DE')", true),
        (
            vec![filter("event_name", &["page_view", "error_occurred"])],
            "event_name IN ('page_view', 'error_occurred')",
            true,
        ),
        (
            vec![filter("device_type", &["mobile"]), filter("country_code", &["US"])],
            "device_type = 'mobile' AND country_code = 'US'",
            false,
        ),
    ];
    let mut dashboard = server.dashboard().await;
    for (index, (time_range, interval, bucket, zone)) in ranges.into_iter().enumerate() {
        for (filter_index, (filters, condition, in_rollup)) in filters.iter().enumerate() {
            // Each range with no filter and one more, each filter with several ranges.
            if filter_index > 0 && filter_index != 1 + index % 3 {
                continue;
            }
            for panel in PANELS {
                let is_compared = is_compared(panel);
                let request = v1::QueryPanelRequest {
                    time_range: time_range.into(),
                    interval,
                    bucket: bucket.into(),
                    filters: filters.clone(),
                    time_zone: Some(zone.into()),
                    ..frame_request(panel, index)
                };
                let frame = dashboard.query_panel(request).await.unwrap().into_inner().frame.unwrap();
                let source = frame.context.as_ref().unwrap().source();
                let is_crossed = panel == "top_pages" || panel == "top_features" || panel == "active_users";
                let is_event = filters.first().is_none_or(|filter| filter.dimension == "event_name");
                let from_rollup = *in_rollup && (!is_crossed || is_event);
                assert_eq!(source == v1::DataSource::Rollup, from_rollup, "{panel} {condition}");
                assert_equals_plain_sql(&server, "default", panel, &frame, condition).await;
                assert_eq!(frame.comparison.is_some(), is_compared);
                if let Some(comparison) = &frame.comparison {
                    assert!(comparison.rows <= frame.rows || panel == "traffic_by_country");
                    assert_equals_plain_sql(&server, "default", panel, comparison, condition).await;
                    let figures = frame.figures.iter().zip(&comparison.figures);
                    for (figure, earlier) in figures {
                        let compared = figure.comparison.as_ref().unwrap();
                        assert!(compared.label.len() > 5, "{figure:?}");
                        assert_eq!(compared.value.is_some(), earlier.value.is_some(), "{figure:?}");
                    }
                }
            }
        }
    }
}

#[tokio::test]
async fn dimensions_and_retention_are_listed_and_ranges_end_with_what_is_stored() {
    let server = TestServer::start_with(&[("RETENTION_DAYS", "20"), ("ROLLUP_RETENTION_DAYS", "50")]);
    let mut dashboard = server.dashboard().await;
    let list = dashboard.list_panels(v1::ListPanelsRequest {}).await.unwrap().into_inner();
    assert_eq!((list.events_retention_days, list.rollup_retention_days), (20, 50));
    assert!(list.panels.iter().all(|panel| panel.filterable));
    for panel in &list.panels {
        assert_eq!(panel.comparable, is_compared(&panel.name), "{}", panel.name);
        let compare = v1::Compare::WeekAgo.into();
        let request = v1::QueryPanelRequest { compare, ..frame_request(&panel.name, 0) };
        let frame = dashboard.query_panel(request).await.map(|response| response.into_inner().frame.unwrap());
        match panel.comparable {
            true => assert!(frame.unwrap().comparison.is_some(), "{}", panel.name),
            false => assert!(frame.unwrap_err().message().contains("cannot be compared"), "{}", panel.name),
        }
    }
    let page = list.dimensions.iter().find(|dimension| dimension.name == "page_url").unwrap();
    assert_eq!(page.events, ["page_view"]);
    for name in ["event_name", "country_code", "device_type", "browser", "referrer_domain", "utm_source"] {
        assert!(list.dimensions.iter().any(|dimension| dimension.name == name), "{name}");
    }
    let mut days = async |filters: Vec<v1::Filter>| {
        let request = v1::GetErrorRateRequest {
            time_range: TimeRange::TimeRange90d.into(),
            filters,
            ..Default::default()
        };
        let response = dashboard.get_error_rate(request).await.unwrap().into_inner();
        let context = response.context.unwrap();
        let (start, end) = (seconds(context.range_start), seconds(context.range_end));
        assert!(seconds(context.requested_start) < start);
        (end - start) / 86_400
    };
    assert!((49..=50).contains(&days(vec![]).await));
    let crossed = vec![filter("country_code", &["US"]), filter("device_type", &["mobile"])];
    assert!((19..=20).contains(&days(crossed).await));
}

#[tokio::test]
async fn panels_of_an_empty_database_are_zero() {
    let server = TestServer::start();
    let mut dashboard = server.dashboard().await;
    for (range, buckets) in [
        (TimeRange::TimeRange1h, 61),
        (TimeRange::TimeRange6h, 73),
        (TimeRange::TimeRange24h, 97),
        (TimeRange::TimeRange7d, 85),
    ] {
        let time_range = range.into();
        let active = v1::GetActiveUsersRequest { time_range, ..Default::default() };
        let active = dashboard.get_active_users(active).await.unwrap().into_inner();
        assert_eq!((active.active_users, active.series.len()), (0, buckets));
        assert!(active.series.iter().all(|point| point.active_users == 0));
        let funnel = v1::GetSignupFunnelRequest { time_range, ..Default::default() };
        let funnel = dashboard.get_signup_funnel(funnel).await.unwrap().into_inner();
        assert_eq!((funnel.started, funnel.conversion_pct), (0, None));
        assert!(funnel.buckets.iter().all(|bucket| bucket.conversion_pct.is_none()));
        let errors = v1::GetErrorRateRequest { time_range, ..Default::default() };
        let errors = dashboard.get_error_rate(errors).await.unwrap().into_inner();
        assert_eq!(errors.points.len(), buckets);
        assert!(errors.points.iter().all(|point| point.error_rate_pct == 0.0));
    }
    let live = dashboard.get_live_visitors(v1::GetLiveVisitorsRequest::default()).await.unwrap().into_inner();
    assert_eq!((live.total_views, live.unique_visitors, live.avg_duration_ms), (0, 0, 0.0));
    let anomaly =
        dashboard.get_traffic_anomaly(v1::GetTrafficAnomalyRequest::default()).await.unwrap().into_inner();
    assert_eq!((anomaly.current_views, anomaly.previous_views, anomaly.change_pct), (0, 0, None));
    let panels = dashboard.list_panels(v1::ListPanelsRequest {}).await.unwrap().into_inner().panels;
    assert_eq!(panels.len(), 8);
    for panel in panels {
        let request = v1::QueryPanelRequest { panel: panel.name.clone(), ..Default::default() };
        let table = dashboard.query_panel(request).await.unwrap().into_inner().table.unwrap();
        assert!(!table.columns.is_empty(), "{}", panel.name);
    }
}

#[tokio::test]
async fn invalid_queries_are_rejected_with_the_valid_values() {
    let server = TestServer::start();
    let mut dashboard = server.dashboard().await;
    let query = |panel: &str, time_range, zone: Option<&str>, parameter: Option<(&str, &str)>| {
        v1::QueryPanelRequest {
            panel: panel.into(),
            time_range,
            time_zone: zone.map(str::to_owned),
            parameters: parameter
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .into_iter()
                .collect(),
            ..Default::default()
        }
    };
    let cases = [
        (
            query("sales", 0, None, None),
            Code::NotFound,
            "\"sales\" is not known; available panels: active_users",
        ),
        (query("top_pages", 99, None, None), Code::InvalidArgument, "TIME_RANGE_7D"),
        (query("top_pages", 1, Some("Mars/Base"), None), Code::InvalidArgument, "\"Mars/Base\""),
        (query("top_pages", 1, None, Some(("limit", "0"))), Code::InvalidArgument, "from 1 to 100"),
        (
            query("top_pages", 1, None, Some(("limit", "5; DROP TABLE events"))),
            Code::InvalidArgument,
            "limit",
        ),
        (query("top_pages", 1, None, Some(("size", "5"))), Code::InvalidArgument, "it has limit"),
    ];
    for (query, code, part) in cases {
        let error = dashboard.query_panel(query).await.unwrap_err();
        assert_eq!(error.code(), code, "{error:?}");
        assert!(error.message().contains(part), "{} does not contain {part:?}", error.message());
    }
}

#[tokio::test]
async fn visitors_fall_back_to_sessions_and_malformed_properties_are_ignored() {
    let server = TestServer::start();
    let view = |user: Option<&str>, session: &str, properties: &str| v1::Event {
        user_id: user.map(str::to_owned),
        session_id: session.into(),
        properties_kind: Some(v1::event::PropertiesKind::PropertiesJson(properties.into())),
        ..event("page_view")
    };
    let long = format!(r#"{{"page_url":"/{}","duration_ms":"soon"}}"#, "x".repeat(10_000));
    let events = vec![
        view(Some("ada"), "s1", r#"{"page_url":"/a","duration_ms":100}"#),
        view(Some("ada"), "s2", r#"{"page_url":"/a","duration_ms":-5}"#),
        view(None, "s3", r#"{"page_url":"/a","duration_ms":1e300}"#),
        view(None, "", r#"{"page_url":["/a"]}"#),
        view(None, "s4", &long),
    ];
    let accepted =
        server.ingest().await.send_events(events_request(events)).await.unwrap().into_inner().accepted;
    assert_eq!(accepted, 5);
    server.wait_until_landed().await;
    let mut dashboard = server.dashboard().await;
    let pages = dashboard.get_top_pages(v1::GetTopPagesRequest::default()).await.unwrap().into_inner();
    assert!(!pages.context.unwrap().approximate);
    let page = &pages.pages[0];
    assert_eq!(
        (page.page_url.as_str(), page.views, page.visitors, page.avg_duration_ms),
        ("/a", 3, 2, 100.0)
    );
    assert_eq!(pages.pages[1].page_url.len(), 500);
    let live = dashboard.get_live_visitors(v1::GetLiveVisitorsRequest::default()).await.unwrap().into_inner();
    assert_eq!((live.total_views, live.unique_visitors, live.avg_duration_ms), (5, 3, 100.0));
}

#[tokio::test]
async fn http_queries_have_ranges_comparisons_and_filters() {
    let server = TestServer::start();
    let get = |path: &str| {
        let (head, body) = http_request(&server, "GET", &format!("/api/{path}"), "text/plain", b"");
        (head[9..12].to_owned(), serde_json::from_slice::<serde_json::Value>(&body).unwrap())
    };
    let (status, response) = get("panels/error_rate?range=7d&compare=previous&filter=country_code:US");
    assert_eq!((status.as_str(), &response["table"]["context"]["bucket_seconds"]), ("200", &7_200.into()));
    // The last bucket is running, and the previous period ends where this one starts.
    let rows = |frame: &serde_json::Value| frame["rows"].as_u64().unwrap();
    let (current, previous) = (rows(&response["frame"]), rows(&response["frame"]["comparison"]));
    assert!(previous == current || previous + 1 == current, "{previous} {current}");
    assert_eq!(response["frame"]["figures"][1]["comparison"]["label"], "previous period");
    let day = |days_ago: i64| {
        let date = jiff::Timestamp::now().to_zoned(jiff::tz::TimeZone::UTC).date();
        date.checked_sub(jiff::Span::new().days(days_ago)).unwrap()
    };
    let (first, last) = (day(30), day(28));
    let (status, response) = get(&format!("panels/top_pages?from={first}&to={last}"));
    assert_eq!(status, "200", "{response}");
    let context = &response["table"]["context"];
    assert_eq!(context["range_start"], format!("{first}T00:00:00Z"));
    assert_eq!(context["range_end"], format!("{}T00:00:00Z", day(27)), "the last day is included");
    let (status, response) = get("dashboard/error-rate?range=yesterday&bucket=1h");
    assert_eq!((status.as_str(), response["points"].as_array().unwrap().len()), ("200", 24));
    for (path, part) in [
        ("panels/top_pages?range=2h", "expected one of 1h, 6h, 24h, 7d, 30d, 90d, today"),
        (
            "panels/error_rate?range=7d&bucket=1m",
            "about 10080 buckets of this range; the maximum is 1000, so ask for 15m",
        ),
        (
            "panels/top_pages?filter=colour:red",
            "\"colour\" is not a dimension; available: event_name, country_code",
        ),
        ("panels/top_pages?from=2099-11-22T10:00:00Z", "is in the future"),
        ("panels/top_pages?from=2026-01-02&to=2026-01-01", "must be after the start"),
        ("panels/top_pages?from=2001-01-01", "the maximum is 10 years"),
        ("panels/top_features?compare=previous", "neither a time axis nor figures"),
        ("dashboard/error-rate?compare=previous", "use /api/panels/error_rate"),
    ] {
        let (status, response) = get(path);
        assert_eq!(status, "400", "{path}");
        assert!(response["detail"].as_str().unwrap().contains(part), "{path}: {response}");
    }
}

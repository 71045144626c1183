//! Frames: the built-in panels against their typed messages, and values of every type.

use std::collections::HashMap;

use millrace_client::proto::v1;
use v1::comparison::Value as EarlierValue;
use v1::figure::Value as FigureValue;
use v1::frame_column::Values;
use v1::{ColumnRole, TimeRange};

use crate::common::{TIMEOUT, TestServer, event, events_request};

type Dashboard = v1::dashboard_service_client::DashboardServiceClient<tonic::transport::Channel>;

async fn frame(dashboard: &mut Dashboard, panel: &str, range: TimeRange) -> v1::Frame {
    let request = v1::QueryPanelRequest {
        panel: panel.into(),
        time_range: range.into(),
        result_format: v1::ResultFormat::Frame.into(),
        ..Default::default()
    };
    let response = dashboard.query_panel(request).await.unwrap().into_inner();
    assert_eq!(response.table, None);
    response.frame.unwrap()
}

fn column<'a>(frame: &'a v1::Frame, name: &str) -> &'a v1::FrameColumn {
    frame.columns.iter().find(|column| column.name == name).unwrap_or_else(|| panic!("no column {name}"))
}

fn counts(frame: &v1::Frame, name: &str) -> Vec<u64> {
    match &column(frame, name).values {
        Some(Values::Uint64Values(counts)) => counts.values.clone(),
        other => panic!("{name}: {other:?}"),
    }
}

fn doubles(frame: &v1::Frame, name: &str) -> Vec<f64> {
    match &column(frame, name).values {
        Some(Values::DoubleValues(doubles)) => doubles.values.clone(),
        other => panic!("{name}: {other:?}"),
    }
}

fn strings(frame: &v1::Frame, name: &str) -> Vec<String> {
    match &column(frame, name).values {
        Some(Values::StringValues(strings)) => strings.values.clone(),
        other => panic!("{name}: {other:?}"),
    }
}

/// In seconds.
fn times(frame: &v1::Frame, name: &str) -> Vec<i64> {
    match &column(frame, name).values {
        Some(Values::TimestampValues(millis)) => millis.values.iter().map(|millis| millis / 1_000).collect(),
        other => panic!("{name}: {other:?}"),
    }
}

fn seconds(timestamp: Option<prost_types::Timestamp>) -> i64 {
    timestamp.unwrap().seconds
}

fn figures(frame: &v1::Frame) -> Vec<(&str, &str, Option<FigureValue>)> {
    let parts = |figure: &'_ v1::Figure| figure.value.clone();
    frame.figures.iter().map(|figure| (figure.label.as_str(), figure.unit.as_str(), parts(figure))).collect()
}

fn count(value: u64) -> Option<FigureValue> {
    Some(FigureValue::Uint64Value(value))
}

fn assert_close(figure: &v1::Figure, expected: Option<f64>) {
    match (&figure.value, expected) {
        (Some(FigureValue::DoubleValue(value)), Some(expected)) => {
            assert!((value - expected).abs() < 0.01, "{figure:?} is not {expected}");
        }
        (None, None) => {}
        _ => panic!("{figure:?} is not {expected:?}"),
    }
}

#[tokio::test]
async fn frames_have_the_values_of_the_typed_messages() {
    // Both forms come from the same cached result.
    let server = TestServer::start_with(&[("PANEL_CACHE_MS", "600000")]);
    let generate = tokio::process::Command::new(env!("CARGO_BIN_EXE_millrace"))
        .args(["generate", "--target", &server.url(), "--count", "20000", "--seed", "7"])
        .output()
        .await
        .unwrap();
    assert!(generate.status.success(), "{}", String::from_utf8_lossy(&generate.stderr));
    server.wait_until_landed().await;
    let mut dashboard = server.dashboard().await;
    let range = TimeRange::TimeRange1h;
    let time_range = range.into();

    let typed = v1::GetActiveUsersRequest { time_range, ..Default::default() };
    let typed = dashboard.get_active_users(typed).await.unwrap().into_inner();
    let shown = frame(&mut dashboard, "active_users", range).await;
    assert_eq!(shown.context, typed.context);
    assert_eq!(shown.rows as usize, typed.series.len());
    let series: Vec<u64> = typed.series.iter().map(|point| point.active_users).collect();
    assert_eq!(counts(&shown, "active_users"), series);
    let starts: Vec<i64> = typed.series.iter().map(|point| seconds(point.bucket)).collect();
    assert_eq!(times(&shown, "bucket_start"), starts);
    let most = series.iter().copied().max().unwrap();
    assert_eq!(
        figures(&shown),
        [
            ("sessions in the last 5 minutes", "", count(typed.active_users)),
            ("most in one bucket", "", count(most))
        ]
    );
    let roles: Vec<ColumnRole> = shown.columns.iter().map(v1::FrameColumn::role).collect();
    assert_eq!(roles, [ColumnRole::Time, ColumnRole::Measure, ColumnRole::Hidden, ColumnRole::Hidden]);
    let sessions = column(&shown, "active_users");
    assert_eq!(
        (sessions.label.as_str(), sessions.unit.as_str(), sessions.additive),
        ("Active sessions", "sessions", false)
    );
    let context = shown.context.unwrap();
    assert_eq!((seconds(context.partial_from), context.span.as_str()), (*starts.last().unwrap(), ""));
    assert_eq!(context.bucket_seconds, 60);
    assert!(typed.series.last().unwrap().incomplete);

    let typed = v1::GetSignupFunnelRequest { time_range, ..Default::default() };
    let typed = dashboard.get_signup_funnel(typed).await.unwrap().into_inner();
    let shown = frame(&mut dashboard, "signup_funnel", range).await;
    assert_eq!(shown.context, typed.context);
    assert_close(&shown.figures[0], typed.conversion_pct);
    let sums = [("started", "", count(typed.started)), ("completed", "", count(typed.completed))];
    assert_eq!(figures(&shown)[1..], sums);
    let started: Vec<u64> = typed.buckets.iter().map(|bucket| bucket.started).collect();
    assert_eq!(counts(&shown, "started"), started);
    let conversion = column(&shown, "conversion_pct");
    assert_eq!((conversion.role(), conversion.unit.as_str()), (ColumnRole::Detail, "%"));
    let nulls: Vec<u32> = (0..)
        .zip(&typed.buckets)
        .filter(|(_, bucket)| bucket.conversion_pct.is_none())
        .map(|(row, _)| row)
        .collect();
    assert_eq!(conversion.nulls, nulls);
    assert!(column(&shown, "started").additive);
    assert_eq!(shown.context.as_ref().unwrap().bucket_seconds, 3_600);

    let typed = v1::GetTopFeaturesRequest { time_range, ..Default::default() };
    let typed = dashboard.get_top_features(typed).await.unwrap().into_inner();
    let shown = frame(&mut dashboard, "top_features", range).await;
    assert_eq!(shown.context, typed.context);
    let users: Vec<u64> = typed.features.iter().map(|feature| feature.unique_users).collect();
    assert_eq!(counts(&shown, "unique_users"), users);
    let names: Vec<String> = typed.features.iter().map(|feature| feature.feature.clone()).collect();
    assert_eq!(strings(&shown, "feature"), names);
    assert_eq!(shown.context.as_ref().unwrap().partial_from, None, "there are no buckets");
    assert_eq!(shown.context.as_ref().unwrap().bucket_seconds, 0);

    let typed = v1::GetErrorRateRequest { time_range, ..Default::default() };
    let typed = dashboard.get_error_rate(typed).await.unwrap().into_inner();
    let shown = frame(&mut dashboard, "error_rate", range).await;
    let rates: Vec<f64> = typed.points.iter().map(|point| point.error_rate_pct).collect();
    assert_eq!(doubles(&shown, "error_rate_pct"), rates);
    assert_eq!(shown.threshold, Some(typed.threshold_pct));
    let (errors, events) =
        typed.points.iter().fold((0, 0), |(errors, events), p| (errors + p.errors, events + p.events));
    assert_close(&shown.figures[0], Some(100.0 * errors as f64 / events as f64));
    assert_eq!(figures(&shown)[1..], [("errors", "", count(errors)), ("events", "", count(events))]);

    let typed = v1::GetLiveVisitorsRequest { time_range, ..Default::default() };
    let typed = dashboard.get_live_visitors(typed).await.unwrap().into_inner();
    let shown = frame(&mut dashboard, "live_visitors", range).await;
    assert_eq!(shown.context, typed.context);
    assert_eq!(
        figures(&shown),
        [
            ("visitors on pages in the last 5 minutes", "", count(typed.unique_visitors)),
            ("page views", "", count(typed.total_views)),
            ("average view", "ms", Some(FigureValue::DoubleValue(typed.avg_duration_ms))),
        ]
    );
    let context = shown.context.unwrap();
    assert_eq!(context.span, "last 5 minutes");
    assert_eq!(seconds(context.range_end) - seconds(context.range_start), 300);

    let typed = v1::GetTopPagesRequest { time_range, ..Default::default() };
    let typed = dashboard.get_top_pages(typed).await.unwrap().into_inner();
    let shown = frame(&mut dashboard, "top_pages", range).await;
    let pages: Vec<v1::Page> = strings(&shown, "page_url")
        .into_iter()
        .zip(counts(&shown, "views"))
        .zip(counts(&shown, "visitors"))
        .zip(doubles(&shown, "avg_duration_ms"))
        .map(|(((page_url, views), visitors), avg_duration_ms)| v1::Page {
            page_url,
            views,
            visitors,
            avg_duration_ms,
        })
        .collect();
    assert_eq!(pages, typed.pages);
    let labels: Vec<&str> = shown.columns.iter().map(|column| column.label.as_str()).collect();
    assert_eq!(labels, ["Page", "Views", "Visitors", "Average duration"]);

    let typed = v1::GetTrafficByCountryRequest { time_range, ..Default::default() };
    let typed = dashboard.get_traffic_by_country(typed).await.unwrap().into_inner();
    let shown = frame(&mut dashboard, "traffic_by_country", range).await;
    let views: Vec<u64> = typed.points.iter().map(|point| point.views).collect();
    assert_eq!(counts(&shown, "views"), views);
    let country = column(&shown, "country_code");
    assert_eq!((country.role(), country.unit.as_str()), (ColumnRole::Dimension, "country"));

    let typed = v1::GetTrafficAnomalyRequest { time_range, ..Default::default() };
    let typed = dashboard.get_traffic_anomaly(typed).await.unwrap().into_inner();
    let shown = frame(&mut dashboard, "traffic_anomaly", range).await;
    assert_eq!(figures(&shown)[0], ("page views so far", "", count(typed.current_views)));
    let comparison = shown.figures[1].comparison.clone().unwrap();
    let missing =
        v1::Comparison { label: "the same minutes last week".into(), value: None, change_pct: None };
    assert_eq!(comparison, missing, "the history is an hour");
    assert_eq!((typed.previous_views, typed.change_pct), (0, None));
    assert_eq!(shown.context.unwrap().span, "this hour");
}

#[tokio::test]
async fn a_rate_or_a_mean_of_nothing_is_null() {
    let server = TestServer::start_with(&[("PANEL_CACHE_MS", "600000")]);
    let untimed = v1::Event {
        properties_kind: Some(v1::event::PropertiesKind::PropertiesJson(r#"{"page_url":"/"}"#.into())),
        ..event("page_view")
    };
    server.ingest().await.send_events(events_request(vec![untimed])).await.unwrap();
    server.wait_until_landed().await;
    let mut dashboard = server.dashboard().await;
    let range = TimeRange::TimeRange1h;

    let shown = frame(&mut dashboard, "error_rate", range).await;
    let empty: Vec<u32> =
        (0..).zip(counts(&shown, "events")).filter(|(_, events)| *events == 0).map(|(row, _)| row).collect();
    assert_eq!(empty.len(), 60, "one of the 61 minutes has the event");
    assert_eq!(column(&shown, "error_rate_pct").nulls, empty);
    let typed = v1::GetErrorRateRequest { time_range: range.into(), ..Default::default() };
    let typed = dashboard.get_error_rate(typed).await.unwrap().into_inner();
    assert!(typed.points.iter().all(|point| point.error_rate_pct == 0.0));

    for panel in ["live_visitors", "top_pages"] {
        let shown = frame(&mut dashboard, panel, range).await;
        assert_eq!((shown.rows, &*column(&shown, "avg_duration_ms").nulls), (1, &[0][..]), "{panel}");
    }
    let shown = frame(&mut dashboard, "live_visitors", range).await;
    assert_eq!(figures(&shown)[2], ("average view", "ms", None));
}

#[tokio::test]
async fn the_complete_minutes_of_the_hour_are_compared_with_those_of_last_week() {
    const WEEK: i64 = 7 * 86_400;
    let server = TestServer::start_with(&[("PANEL_CACHE_MS", "600000")]);
    let at = |seconds: i64, name: &str| v1::Event {
        timestamp: Some(prost_types::Timestamp { seconds, nanos: 0 }),
        ..event(name)
    };
    // Also of the next hour, in case this one ends.
    let now = jiff::Timestamp::now().as_second();
    let hour = now.div_euclid(3_600) * 3_600;
    let views: Vec<i64> = (0..120)
        .flat_map(|minute| [hour - WEEK + minute * 60, hour - WEEK + minute * 60 + 59])
        .chain((hour..=now).step_by(15))
        .collect();
    let mut events: Vec<_> = views.iter().map(|&view| at(view, "page_view")).collect();
    events.push(at(hour - WEEK - 60, "x"));
    server.ingest().await.send_events(events_request(events)).await.unwrap();
    server.wait_until_landed().await;
    let mut dashboard = server.dashboard().await;
    let shown = frame(&mut dashboard, "traffic_anomaly", TimeRange::TimeRange1h).await;
    let request =
        v1::GetTrafficAnomalyRequest { time_range: TimeRange::TimeRange1h.into(), ..Default::default() };
    let typed = dashboard.get_traffic_anomaly(request).await.unwrap().into_inner();

    let context = shown.context.clone().unwrap();
    let (start, end) = (seconds(context.range_start), seconds(context.range_end));
    let running_minute = end - 60;
    let views_in = |from: i64, to: i64| views.iter().filter(|view| (from..to).contains(*view)).count() as u64;
    let current = views_in(start, end);
    let (compared, previous) =
        (views_in(start, running_minute), views_in(start - WEEK, running_minute - WEEK));
    let change = (previous > 0).then(|| 100.0 * (compared as f64 - previous as f64) / previous as f64);
    // In the first minute of an hour there is nothing to compare.
    let is_compared = running_minute > start;
    assert_eq!(
        figures(&shown),
        [
            ("page views so far", "", count(current)),
            ("in complete minutes", "", is_compared.then_some(FigureValue::Uint64Value(compared))),
        ]
    );
    let comparison = shown.figures[1].comparison.clone().unwrap();
    assert_eq!(comparison.value, is_compared.then_some(EarlierValue::Uint64Value(previous)));
    assert_eq!((typed.current_views, typed.previous_views), (current, previous));
    for shown_change in [comparison.change_pct, typed.change_pct] {
        assert_eq!(shown_change.is_some(), change.is_some());
        assert!(
            (shown_change.unwrap_or(0.0) - change.unwrap_or(0.0)).abs() < 0.01,
            "{shown_change:?} {change:?}"
        );
    }
}

#[tokio::test]
async fn all_panels_of_a_range_cover_the_same_span() {
    let server = TestServer::start_with(&[("PANEL_CACHE_MS", "0")]);
    let mut dashboard = server.dashboard().await;
    for zone in ["UTC", "Europe/Madrid", "Asia/Kathmandu"] {
        for range in
            [TimeRange::TimeRange1h, TimeRange::TimeRange6h, TimeRange::TimeRange24h, TimeRange::TimeRange7d]
        {
            loop {
                let mut spans = HashMap::new();
                for panel in
                    ["active_users", "signup_funnel", "top_features", "error_rate", "traffic_by_country"]
                {
                    let request = v1::QueryPanelRequest {
                        panel: panel.into(),
                        time_range: range.into(),
                        time_zone: Some(zone.into()),
                        result_format: v1::ResultFormat::Frame.into(),
                        ..Default::default()
                    };
                    let frame = dashboard.query_panel(request).await.unwrap().into_inner().frame.unwrap();
                    let context = frame.context.unwrap();
                    spans.insert(panel, (seconds(context.range_start), seconds(context.range_end)));
                }
                let (start, end) = spans["active_users"];
                if spans.values().any(|span| span.1 != end) {
                    continue; // a minute has passed in between
                }
                assert!(spans.values().all(|span| span.0 == start), "{zone} {range:?}: {spans:?}");
                break;
            }
        }
    }
}

#[tokio::test]
async fn values_of_every_type_arrive_unchanged() {
    let folder = tempfile::tempdir().unwrap();
    let extremes = "\
-- title: Extremes
-- chart: table
-- unit: things
-- figure: sum(large) \"sum\"
-- figure: first(small) \"smallest\"
-- figure: last(day) \"last day\"
-- figure: max(day) \"newest day\"
-- threshold: -1.5
SELECT
    18446744073709551615 AS large,
    toInt64(-9223372036854775808) AS small,
    toNullable(toFloat64(-0.5)) AS half,
    CAST(NULL AS Nullable(Int32)) AS nothing,
    toDate('2026-11-21') AS day,
    toDate32('1969-12-31') AS before,
    toDateTime64('2026-11-21 05:00:00.250', 3, 'UTC') AS moment,
    CAST('x' AS Enum8('x' = 1)) AS kind,
    true AS flag,
    toDecimal64('1.25', 2) AS price,
    [1, 2] AS list";
    let many = "\
-- title: Many
-- chart: line
-- figure: sum(number) \"all\"
-- figure: ratio(odd, number) \"odd\"
SELECT number, toInt32(number) - 5000 AS shifted, number % 2 AS odd, if(number % 2 = 0, NULL, number) AS holes
FROM numbers(10000)";
    std::fs::write(folder.path().join("extremes.sql"), extremes).unwrap();
    std::fs::write(folder.path().join("many.sql"), many).unwrap();
    let server = TestServer::start_with(&[("MILLRACE_PANELS_DIR", folder.path().to_str().unwrap())]);
    let mut dashboard = server.dashboard().await;
    let deadline = std::time::Instant::now() + TIMEOUT;
    loop {
        let list = dashboard.list_panels(v1::ListPanelsRequest {}).await.unwrap().into_inner();
        assert!(list.broken.is_empty() && std::time::Instant::now() < deadline, "{list:?}");
        if list.panels.len() == 10 {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }

    let shown = frame(&mut dashboard, "extremes", TimeRange::TimeRange1h).await;
    let values = |name: &str| column(&shown, name).values.clone().unwrap();
    let ints = |value: i64| v1::Int64Values { values: vec![value] };
    assert_eq!(counts(&shown, "large"), [u64::MAX]);
    assert_eq!(values("small"), Values::Int64Values(ints(i64::MIN)));
    assert_eq!(doubles(&shown, "half"), [-0.5]);
    assert_eq!(
        (values("nothing"), &column(&shown, "nothing").nulls),
        (Values::Int64Values(ints(0)), &vec![0])
    );
    assert_eq!(values("day"), Values::DateValues(ints(20_778)));
    assert_eq!(values("before"), Values::DateValues(ints(-1)));
    assert_eq!(values("moment"), Values::TimestampValues(ints(1_795_237_200_250)));
    assert_eq!(strings(&shown, "kind"), ["x"]);
    assert_eq!(values("flag"), Values::BoolValues(v1::BoolValues { values: vec![true] }));
    assert_eq!(doubles(&shown, "price"), [1.25]);
    assert_eq!(strings(&shown, "list"), ["[1,2]"]);
    assert_eq!(
        figures(&shown),
        [
            ("sum", "", count(u64::MAX)),
            ("smallest", "", Some(FigureValue::Int64Value(i64::MIN))),
            ("last day", "", Some(FigureValue::StringValue("2026-11-21".into()))),
            ("newest day", "", Some(FigureValue::StringValue("2026-11-21".into()))),
        ]
    );
    assert_eq!(shown.threshold, Some(-1.5));

    let shown = frame(&mut dashboard, "many", TimeRange::TimeRange1h).await;
    assert_eq!((shown.rows, column(&shown, "holes").nulls.len()), (10_000, 5_000));
    assert!(counts(&shown, "number").into_iter().eq(0..10_000));
    assert_eq!(figures(&shown)[0], ("all", "", count(49_995_000)));
    assert_close(&shown.figures[1], Some(100.0 * 5_000.0 / 49_995_000.0));
    match &column(&shown, "shifted").values {
        Some(Values::Int64Values(ints)) => assert!(ints.values.iter().copied().eq(-5_000..5_000)),
        other => panic!("{other:?}"),
    }
    // The same panel as a table, for programs that read tables.
    let request = v1::QueryPanelRequest { panel: "extremes".into(), ..Default::default() };
    let table = dashboard.query_panel(request).await.unwrap().into_inner().table.unwrap();
    let day = v1::value::Kind::StringValue("2026-11-21".into());
    assert_eq!(table.rows[0].values[4].kind, Some(day));
}

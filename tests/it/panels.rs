//! Compares panels with the same figures computed in plain SQL over the events.

use crate::common::{TestServer, event, events_request};
use millrace_client::proto::v1;
use tonic::Code;
use v1::TimeRange;

/// Starts a server and sends generated traffic of the last hour.
async fn server_with_traffic(events: u64) -> TestServer {
    let server = TestServer::start_with(&[("PANEL_CACHE_MS", "0")]);
    let generate = tokio::process::Command::new(env!("CARGO_BIN_EXE_millrace"))
        .args(["generate", "--target", &server.url(), "--count", &events.to_string(), "--seed", "7"])
        .output()
        .await
        .unwrap();
    let stdout = String::from_utf8_lossy(&generate.stdout).into_owned();
    assert!(generate.status.success(), "{stdout}{}", String::from_utf8_lossy(&generate.stderr));
    assert!(stdout.contains(&format!("sent {events}, accepted {events}, rejected 0")), "{stdout}");
    assert!(stdout.trim_end().ends_with("events/s"), "{stdout}");
    server.wait_until_landed().await;
    assert_eq!(server.sql("SELECT count() FROM events").await, events.to_string());
    server
}

fn seconds(timestamp: Option<prost_types::Timestamp>) -> i64 {
    timestamp.unwrap().seconds
}

/// Within 1 % if the panel says that it is approximate, else equal.
fn assert_close(figure: u64, exact: &str, approximate: bool) {
    let exact: u64 = exact.parse().unwrap();
    if approximate {
        assert!(figure.abs_diff(exact) * 100 <= exact, "{figure} is more than 1 % off {exact}");
    } else {
        assert_eq!(figure, exact);
    }
}

#[tokio::test]
async fn panels_match_plain_sql_over_a_million_events() {
    let server = server_with_traffic(1_000_000).await;
    let mut dashboard = server.dashboard().await;
    for (range, step) in [(TimeRange::TimeRange1h, 60), (TimeRange::TimeRange24h, 900)] {
        let time_range = range.into();
        let active = v1::GetActiveUsersRequest { time_range, ..Default::default() };
        let active = dashboard.get_active_users(active).await.unwrap().into_inner();
        let approximate = active.context.unwrap().approximate;
        for at in [3, active.series.len() / 2, active.series.len() - 3] {
            let start = seconds(active.series[at].bucket);
            let distinct = format!(
                "SELECT uniqExact(session_id) FROM events WHERE toUnixTimestamp(timestamp) >= {start} \
                 AND toUnixTimestamp(timestamp) < {}",
                start + step
            );
            assert_close(active.series[at].active_users, &server.sql(&distinct).await, approximate);
        }
        assert!(active.series.iter().rev().skip(1).all(|point| !point.incomplete));
        assert!(active.series.last().unwrap().incomplete);

        let errors = v1::GetErrorRateRequest { time_range, ..Default::default() };
        let errors = dashboard.get_error_rate(errors).await.unwrap().into_inner();
        let context = errors.context.unwrap();
        let (start, end) = (seconds(context.range_start), seconds(context.range_end));
        let within = format!("toUnixTimestamp(timestamp) >= {start} AND toUnixTimestamp(timestamp) < {end}");
        let counted = server
            .sql(&format!(
                "SELECT countIf(event_name = 'error_occurred'), count() FROM events WHERE {within}"
            ))
            .await;
        let total: (u64, u64) =
            errors.points.iter().fold((0, 0), |(errors, events), p| (errors + p.errors, events + p.events));
        assert_eq!(format!("{}\t{}", total.0, total.1), counted);
        for point in &errors.points {
            let expected =
                if point.events == 0 { 0.0 } else { 100.0 * point.errors as f64 / point.events as f64 };
            assert!((point.error_rate_pct - expected).abs() < 0.0001, "{point:?}");
        }
        assert_eq!(errors.threshold_pct, 1.0);

        let funnel = v1::GetSignupFunnelRequest { time_range, ..Default::default() };
        let funnel = dashboard.get_signup_funnel(funnel).await.unwrap().into_inner();
        let context = funnel.context.unwrap();
        let (start, end) = (seconds(context.range_start), seconds(context.range_end));
        let counted = server
            .sql(&format!(
                "SELECT countIf(event_name = 'signup_started'), countIf(event_name = 'signup_completed') FROM events \
                 WHERE toUnixTimestamp(timestamp) >= {start} AND toUnixTimestamp(timestamp) < {end}"
            ))
            .await;
        assert_eq!(format!("{}\t{}", funnel.started, funnel.completed), counted);
        assert!(funnel.conversion_pct.unwrap() > 30.0);

        let features = v1::GetTopFeaturesRequest { time_range, limit: Some(5), ..Default::default() };
        let features = dashboard.get_top_features(features).await.unwrap().into_inner();
        assert_eq!(features.features.len(), 5);
        let context = features.context.unwrap();
        let (start, end) = (seconds(context.range_start), seconds(context.range_end));
        for feature in &features.features {
            let counted = server
                .sql(&format!(
                    "SELECT uniqExact(ifNull(user_id, session_id)), count() FROM events WHERE event_name = 'feature_used' \
                     AND JSONExtractString(properties, 'feature') = '{}' \
                     AND toUnixTimestamp(timestamp) >= {start} AND toUnixTimestamp(timestamp) < {end}",
                    feature.feature
                ))
                .await;
            let (users, events) = counted.split_once('\t').unwrap();
            assert_close(feature.unique_users, users, context.approximate);
            assert_eq!(feature.events.to_string(), events);
        }

        let pages = v1::GetTopPagesRequest { time_range, limit: Some(3), ..Default::default() };
        let pages = dashboard.get_top_pages(pages).await.unwrap().into_inner();
        let context = pages.context.unwrap();
        let (start, end) = (seconds(context.range_start), seconds(context.range_end));
        for page in &pages.pages {
            let counted = server
                .sql(&format!(
                    "SELECT count(), uniqExact(ifNull(user_id, session_id)), \
                     round(avg(JSONExtractFloat(properties, 'duration_ms')), 3) FROM events \
                     WHERE event_name = 'page_view' AND JSONExtractString(properties, 'page_url') = '{}' \
                     AND toUnixTimestamp(timestamp) >= {start} AND toUnixTimestamp(timestamp) < {end}",
                    page.page_url
                ))
                .await;
            let figures: Vec<&str> = counted.split('\t').collect();
            assert_eq!(page.views.to_string(), figures[0]);
            assert_close(page.visitors, figures[1], context.approximate);
            assert!((page.avg_duration_ms - figures[2].parse::<f64>().unwrap()).abs() < 0.01);
        }

        let countries = v1::GetTrafficByCountryRequest { time_range, ..Default::default() };
        let countries = dashboard.get_traffic_by_country(countries).await.unwrap().into_inner();
        let context = countries.context.unwrap();
        let (start, end) = (seconds(context.range_start), seconds(context.range_end));
        let views: u64 =
            countries.points.iter().filter(|point| point.country_code == "US").map(|point| point.views).sum();
        let counted = server
            .sql(&format!(
                "SELECT count() FROM events WHERE event_name = 'page_view' AND country_code = 'US' \
                 AND toUnixTimestamp(timestamp) >= {start} AND toUnixTimestamp(timestamp) < {end}"
            ))
            .await;
        assert_eq!(views.to_string(), counted);
    }
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
        (query("top_pages", 9, None, None), Code::InvalidArgument, "TIME_RANGE_7D"),
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

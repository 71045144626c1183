//! The same thing is the same figure everywhere, over the generator's traffic: in panels, trends, funnels and lists of people.

use std::collections::BTreeMap;

use millrace_client::proto::v1;
use v1::explore_service_client::ExploreServiceClient;
use v1::list_people_request::Figure;

use super::people;
use crate::common::TestServer;

/// Whole minutes that are over: nothing changes between two questions.
fn past() -> v1::Interval {
    let end = jiff::Timestamp::now().as_second() / 60 * 60 - 120;
    let at = |second| Some(prost_types::Timestamp { seconds: second, nanos: 0 });
    v1::Interval { start: at(end - 3_600), end: at(end) }
}

fn trend(name: &str, aggregation: v1::Aggregation, breakdown: &[&str]) -> v1::QueryTrendRequest {
    v1::QueryTrendRequest {
        series: vec![v1::TrendSeries {
            event_name: name.to_owned(),
            aggregation: aggregation.into(),
            ..Default::default()
        }],
        range: Some(v1::QueryRange { interval: Some(past()), ..Default::default() }),
        breakdown: breakdown.iter().map(|field| (*field).to_owned()).collect(),
        limit: Some(50),
        ..Default::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn panels_trends_funnels_and_people_agree() {
    let server = TestServer::start();
    let output = tokio::process::Command::new(env!("CARGO_BIN_EXE_millrace"))
        .args([
            "generate",
            "--target",
            &server.url(),
            "--backfill",
            "90m",
            "--rate",
            "20",
            "--duration",
            "1s",
        ])
        .output()
        .await
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    server.wait_until_landed().await;
    let mut explore = ExploreServiceClient::new(server.channel().await);
    let mut dashboard = server.dashboard().await;
    // One interval for all, even if a minute passes meanwhile.
    let interval = past();
    let with_interval = |request: v1::QueryTrendRequest| v1::QueryTrendRequest {
        range: Some(v1::QueryRange { interval: Some(interval), ..Default::default() }),
        ..request
    };
    let mut total = async |request: v1::QueryTrendRequest| {
        let response = explore.query_trend(with_interval(request)).await.unwrap().into_inner();
        response.lines[0].total.unwrap().value.unwrap() as u64
    };
    use v1::Aggregation::{Events, UnlinkedVisitors, Visitors};

    // Counts of events, from the rollup, against the panel of sign-ups.
    let request = v1::GetSignupFunnelRequest { interval: Some(interval), ..Default::default() };
    let signups = dashboard.get_signup_funnel(request).await.unwrap().into_inner();
    assert!(signups.started > 10, "{signups:?}");
    assert_eq!(total(trend("signup_started", Events, &[])).await, signups.started);
    assert_eq!(total(trend("signup_completed", Events, &[])).await, signups.completed);

    // The error rate: the panel, and the same as a formula, in each bucket and over the whole range.
    let request = v1::GetErrorRateRequest { interval: Some(interval), ..Default::default() };
    let points = dashboard.get_error_rate(request).await.unwrap().into_inner().points;
    let mut rate = with_interval(trend("error_occurred", Events, &[]));
    rate.series.push(v1::TrendSeries { aggregation: Events.into(), ..Default::default() });
    rate.formula = "A / B".to_owned();
    let mut client = ExploreServiceClient::new(server.channel().await);
    let response = client.query_trend(rate).await.unwrap().into_inner();
    assert_eq!(response.buckets, points.iter().map(|point| point.bucket.unwrap()).collect::<Vec<_>>());
    let is_rate = |value: &v1::TrendValue, errors: u64, events: u64| {
        let expected = (events > 0).then(|| errors as f64 / events as f64);
        assert!(
            (value.value.unwrap_or(-1.0) - expected.unwrap_or(-1.0)).abs() < 1e-12,
            "{value:?}, not {errors} of {events}"
        );
    };
    for (value, point) in response.lines[0].values.iter().zip(&points) {
        is_rate(value, point.errors, point.events);
        assert!((100.0 * value.value.unwrap_or_default() - point.error_rate_pct).abs() < 1e-4, "{point:?}");
    }
    let sum = |of: fn(&v1::ErrorRatePoint) -> u64| points.iter().map(of).sum::<u64>();
    let (errors, events) = (sum(|point| point.errors), sum(|point| point.events));
    assert!(errors > 10, "{errors} errors of {events}");
    is_rate(&response.lines[0].total.unwrap(), errors, events);

    // Views by country and by page, as rows of panels and as lines of trends.
    let lines = async |aggregation, field: &str| {
        let mut explore = ExploreServiceClient::new(server.channel().await);
        let request = with_interval(trend("page_view", aggregation, &[field]));
        let lines = explore.query_trend(request).await.unwrap().into_inner().lines;
        let values = lines.into_iter().filter(|line| !line.is_other);
        values
            .map(|line| (line.breakdown[0].clone(), line.total.unwrap().value.unwrap() as u64))
            .collect::<BTreeMap<String, u64>>()
    };
    let request = v1::GetTrafficByCountryRequest { interval: Some(interval), ..Default::default() };
    let mut countries = BTreeMap::<String, u64>::new();
    for point in dashboard.get_traffic_by_country(request).await.unwrap().into_inner().points {
        *countries.entry(point.country_code).or_default() += point.views;
    }
    assert_eq!(lines(Events, "country_code").await, countries);
    let request = v1::GetTopPagesRequest { interval: Some(interval), limit: Some(100), ..Default::default() };
    let pages = dashboard.get_top_pages(request).await.unwrap().into_inner().pages;
    let figures = |of: fn(&v1::Page) -> u64| -> BTreeMap<String, u64> {
        pages.iter().map(|page| (page.page_url.clone(), of(page))).collect()
    };
    assert_eq!(lines(Events, "page_url").await, figures(|page| page.views));
    let unlinked = lines(UnlinkedVisitors, "page_url").await;
    for (page, visitors) in figures(|page| page.visitors) {
        // Above 100 a distinct count of the rollup is an estimate.
        let tolerance = if visitors > 100 { visitors.div_ceil(50) } else { 0 };
        assert!(unlinked[&page].abs_diff(visitors) <= tolerance, "{page}: {unlinked:?} {visitors}");
    }

    // People: in a trend, as entries of a funnel, and as lists behind both.
    let people_of = total(trend("signup_started", Visitors, &[])).await;
    let step = |name: &str| v1::FunnelStep { event_name: name.to_owned(), filter: None };
    let funnel = v1::QueryFunnelRequest {
        steps: vec![step("signup_started"), step("signup_completed")],
        range: Some(v1::QueryRange { interval: Some(interval), ..Default::default() }),
        ..Default::default()
    };
    let mut explore = ExploreServiceClient::new(server.channel().await);
    let steps = explore.query_funnel(funnel.clone()).await.unwrap().into_inner().overall.unwrap().steps;
    assert_eq!((steps[0].count, steps[0].count > 10), (people_of, true));
    let query = Some(with_interval(trend("signup_started", Visitors, &[])));
    let started = Figure::Trend(v1::TrendFigure { query, ..Default::default() });
    let entered = |step, dropped| {
        Figure::Funnel(v1::FunnelFigure { query: Some(funnel.clone()), step, dropped, ..Default::default() })
    };
    let started = people(&mut explore, started).await;
    assert_eq!(started, people(&mut explore, entered(1, false)).await);
    assert_eq!(started.len() as u64, people_of);
    let mut both = people(&mut explore, entered(2, false)).await;
    assert_eq!(both.len() as u64, steps[1].count);
    both.extend(people(&mut explore, entered(2, true)).await);
    both.sort_unstable();
    assert_eq!(both, started);
}

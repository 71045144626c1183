//! Queries of Explore over two months of events with 200 names, and the statements that other products' designs lead to on the
//! same engine and data. Nothing is cached; a tenth of the events have the names that are asked for.

use std::time::{Duration, Instant};

use millrace_client::proto::v1;
use v1::explore_service_client::ExploreServiceClient;

use crate::common::TestServer;
use crate::figures::Figures;
use crate::traffic::generate;

const SAMPLES: usize = 5;
const DAYS: u64 = 60;
const OTHER_NAMES: u64 = 194;

/// Fills a server with this many events, and queries it.
pub(crate) async fn measure(events: u64, figures: &mut Figures) {
    let env = [("PANEL_CACHE_MS", "0"), ("MILLRACE_LOG", "info"), ("MILLRACE_EXPLORE_TIMEOUT_MS", "120000")];
    let server = TestServer::start_with(&env);
    fill(&server, events).await;
    let mut client = ExploreServiceClient::new(server.channel().await).max_decoding_message_size(64 << 20);
    for (name, request) in trends() {
        let mut times = Vec::new();
        let mut from = v1::DataSource::Unspecified;
        for _ in 0..SAMPLES {
            let started_at = Instant::now();
            let response = client.query_trend(request.clone()).await.unwrap().into_inner();
            times.push(started_at.elapsed());
            from = response.context.unwrap().source();
        }
        add(figures, &format!("{name} ({})", from.as_str_name()), times);
    }
    let mut times = Vec::new();
    for _ in 0..SAMPLES {
        let started_at = Instant::now();
        client.query_funnel(funnel()).await.unwrap();
        times.push(started_at.elapsed());
    }
    add(figures, "funnel of three steps, 7 days", times);
    let mut times = Vec::new();
    for _ in 0..SAMPLES {
        let started_at = Instant::now();
        client.query_retention(retention()).await.unwrap();
        times.push(started_at.elapsed());
    }
    add(figures, "retention, 8 weeks", times);
    let mut search = v1::events_service_client::EventsServiceClient::new(server.channel().await);
    let mut times = Vec::new();
    for _ in 0..SAMPLES {
        let request = v1::SearchEventsRequest {
            range: Some(v1::QueryRange {
                time_range: v1::TimeRange::TimeRange30d.into(),
                ..Default::default()
            }),
            ..Default::default()
        };
        let started_at = Instant::now();
        search.search_events(request).await.unwrap();
        times.push(started_at.elapsed());
    }
    add(figures, "search, first page, 30 days", times);
    for (name, ours, statement) in others() {
        let mut times = Vec::new();
        for _ in 0..SAMPLES {
            let started_at = Instant::now();
            server.sql(&statement).await;
            times.push(started_at.elapsed());
        }
        add(figures, name, times);
        if let (Some(other), Some(own)) = (figures.median(name), figures.median(ours)) {
            figures.add(format!("{name} over ours"), "times", vec![other / own]);
        }
    }
}

fn add(figures: &mut Figures, name: &str, mut times: Vec<Duration>) {
    times.sort_unstable();
    figures.add(name.to_owned(), "ms", times.iter().map(|time| time.as_secs_f64() * 1_000.0).collect());
}

/// A tenth of the events come from the generator; the others are copies under other names, without rollup.
async fn fill(server: &TestServer, events: u64) {
    let rate = events as f64 / 10.0 / (DAYS * 86_400) as f64;
    generate(server, &["--backfill", &format!("{}h", DAYS * 24), "--rate", &rate.to_string()]).await;
    server.wait_until_landed().await;
    for copy in 0..9 {
        server
            .sql(&format!(
                "INSERT INTO events SELECT * REPLACE (concat('event_', toString((batch_row + {copy}) % {OTHER_NAMES})) AS event_name) \
                 FROM events WHERE NOT startsWith(event_name, 'event_')"
            ))
            .await;
    }
    let mut idle_seconds = 0;
    while idle_seconds < 5 {
        let merges = server.sql("SELECT count() FROM system.merges").await;
        idle_seconds = if merges == "0" { idle_seconds + 1 } else { 0 };
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

fn range(time_range: v1::TimeRange) -> Option<v1::QueryRange> {
    Some(v1::QueryRange { time_range: time_range.into(), ..Default::default() })
}

fn is(field: &str, value: &str) -> Option<v1::EventFilter> {
    let condition = v1::FieldCondition {
        field: field.to_owned(),
        operator: v1::FieldOperator::Is.into(),
        values: vec![value.to_owned()],
    };
    Some(v1::EventFilter { condition: Some(v1::event_filter::Condition::Field(condition)) })
}

const ROLLUP_TREND: &str = "trend, 30 days";
const PROMOTED_TREND: &str = "trend of visitors with a filter on a declared property, 24 hours";
const JSON_TREND: &str = "trend with a filter on another property, 24 hours";

fn trends() -> Vec<(&'static str, v1::QueryTrendRequest)> {
    let series = |aggregation: v1::Aggregation| v1::TrendSeries {
        event_name: "page_view".to_owned(),
        aggregation: aggregation.into(),
        ..Default::default()
    };
    vec![
        (
            ROLLUP_TREND,
            v1::QueryTrendRequest {
                series: vec![series(v1::Aggregation::Events)],
                range: range(v1::TimeRange::TimeRange30d),
                ..Default::default()
            },
        ),
        (
            PROMOTED_TREND,
            v1::QueryTrendRequest {
                series: vec![series(v1::Aggregation::Visitors)],
                filter: is("page_url", "/pricing"),
                range: range(v1::TimeRange::TimeRange24h),
                ..Default::default()
            },
        ),
        (
            JSON_TREND,
            v1::QueryTrendRequest {
                series: vec![series(v1::Aggregation::Events)],
                filter: is("properties.page_url", "/pricing"),
                range: range(v1::TimeRange::TimeRange24h),
                ..Default::default()
            },
        ),
    ]
}

fn step(name: &str) -> v1::FunnelStep {
    v1::FunnelStep { event_name: name.to_owned(), filter: None }
}

fn funnel() -> v1::QueryFunnelRequest {
    v1::QueryFunnelRequest {
        steps: vec![step("signup_started"), step("signup_completed"), step("login")],
        range: range(v1::TimeRange::TimeRange7d),
        ..Default::default()
    }
}

fn retention() -> v1::QueryRetentionRequest {
    v1::QueryRetentionRequest {
        start: Some(step("login")),
        r#return: Some(step("login")),
        periods: Some(8),
        ..Default::default()
    }
}

/// Statements as other designs lead to them: name, ours, and the statement. Written from how those products work: PostHog keeps properties
/// as JSON, joins a table of persons by distinct id, and computes funnels and retention with arrays per person; OpenPanel
/// groups by session or profile with windowFunnel.
fn others() -> Vec<(&'static str, &'static str, String)> {
    let since = |days: u64| format!("timestamp >= now64(3) - INTERVAL {days} DAY");
    let persons = "(SELECT distinct_id, argMax(person, version) AS person FROM (SELECT session_id AS distinct_id, \
                   ifNull(user_id, session_id) AS person, timestamp AS version FROM events WHERE user_id IS NOT NULL AND event_name IN \
                   ('login', 'signup_completed', 'signup_started')) GROUP BY distinct_id)";
    vec![
        (
            "PostHog's design: trend, 30 days",
            "trend, 30 days (DATA_SOURCE_ROLLUP)",
            format!(
                "SELECT toStartOfDay(timestamp) AS day, count() FROM events WHERE project = 'default' AND event_name = 'page_view' \
                 AND {} GROUP BY day ORDER BY day",
                since(30)
            ),
        ),
        (
            "PostHog's design: trend with a filter on a property, 24 hours",
            "trend of visitors with a filter on a declared property, 24 hours (DATA_SOURCE_EVENTS)",
            format!(
                "SELECT toStartOfHour(timestamp) AS hour, count(DISTINCT ifNull(user_id, session_id)) FROM events WHERE project = 'default' \
                 AND event_name = 'page_view' AND JSONExtractString(properties, 'page_url') = '/pricing' AND {} GROUP BY hour",
                since(1)
            ),
        ),
        (
            "PostHog's design: funnel, 7 days",
            "funnel of three steps, 7 days",
            format!(
                "SELECT max_step, count() FROM (SELECT person, arraySort(groupArray((toUnixTimestamp64Milli(timestamp), event_name))) AS steps, \
                 arrayFold((level, event) -> if(event.2 = ['signup_started', 'signup_completed', 'login'][level + 1], level + 1, level), \
                 steps, toInt64(0)) AS max_step FROM events AS e LEFT JOIN {persons} AS p ON e.session_id = p.distinct_id \
                 WHERE project = 'default' AND event_name IN ('signup_started', 'signup_completed', 'login') AND {} GROUP BY person) GROUP BY max_step",
                since(7)
            ),
        ),
        (
            "OpenPanel's design: funnel, 7 days",
            "funnel of three steps, 7 days",
            format!(
                "SELECT level, count() FROM (SELECT session_id, windowFunnel(1209600000, 'strict_increase')(toUInt64(toUnixTimestamp64Milli(timestamp)), \
                 event_name = 'signup_started', event_name = 'signup_completed', event_name = 'login') AS level FROM events \
                 WHERE project = 'default' AND event_name IN ('signup_started', 'signup_completed', 'login') AND {} GROUP BY session_id) GROUP BY level",
                since(7)
            ),
        ),
        (
            "PostHog's design: retention, 8 weeks",
            "retention, 8 weeks",
            format!(
                "SELECT start, intDiv(dateDiff('day', start, back), 7) AS week, count() FROM (SELECT ifNull(user_id, session_id) AS person, \
                 arrayMin(groupUniqArray(toMonday(timestamp)) AS weeks) AS start, arrayJoin(weeks) AS back FROM events \
                 WHERE project = 'default' AND event_name = 'login' AND {} GROUP BY person) GROUP BY start, week",
                since(63)
            ),
        ),
    ]
}

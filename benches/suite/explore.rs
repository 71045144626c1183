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
    let mut catalogue = v1::catalogue_service_client::CatalogueServiceClient::new(server.channel().await);
    let mut times = Vec::new();
    for _ in 0..SAMPLES {
        let started_at = Instant::now();
        catalogue.list_event_names(v1::ListEventNamesRequest::default()).await.unwrap();
        times.push(started_at.elapsed());
    }
    add(figures, "picker: names of events", times);
    for (name, field) in [("a declared property", "page_url"), ("another property", "properties.page_url")] {
        let mut times = Vec::new();
        for _ in 0..SAMPLES {
            let request = v1::ListValuesRequest {
                event_name: "page_view".to_owned(),
                field: field.to_owned(),
                ..Default::default()
            };
            let started_at = Instant::now();
            catalogue.list_values(request).await.unwrap();
            times.push(started_at.elapsed());
        }
        add(figures, &format!("picker: values of {name}"), times);
    }
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
    for statement in OTHER_TABLES {
        server.sql(statement).await;
    }
    let mut idle_seconds = 0;
    while idle_seconds < 5 {
        let merges = server.sql("SELECT count() FROM system.merges").await;
        idle_seconds = if merges == "0" { idle_seconds + 1 } else { 0 };
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

pub(crate) fn range(time_range: v1::TimeRange) -> Option<v1::QueryRange> {
    Some(v1::QueryRange { time_range: time_range.into(), ..Default::default() })
}

pub(crate) fn is(field: &str, value: &str) -> Option<v1::EventFilter> {
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

pub(crate) fn funnel() -> v1::QueryFunnelRequest {
    v1::QueryFunnelRequest {
        steps: vec![step("signup_started"), step("signup_completed"), step("login")],
        range: range(v1::TimeRange::TimeRange7d),
        ..Default::default()
    }
}

pub(crate) fn retention() -> v1::QueryRetentionRequest {
    v1::QueryRetentionRequest {
        start: Some(step("login")),
        r#return: Some(step("login")),
        periods: Some(8),
        ..Default::default()
    }
}

/// The same events in tables as other products lay them out. From their documentation and migrations: PostHog sorts by
/// day, event and person, keeps properties as JSON, and resolves a person who has been identified later through a table of
/// overrides by distinct id. OpenPanel sorts by time.
const OTHER_TABLES: [&str; 6] = [
    "CREATE TABLE posthog_events (project LowCardinality(String), event LowCardinality(String), timestamp DateTime64(3, 'UTC'), \
     distinct_id String, person_id UInt128, properties String CODEC(ZSTD(3))) ENGINE = MergeTree PARTITION BY toYYYYMM(timestamp) \
     ORDER BY (project, toDate(timestamp), event, cityHash64(distinct_id))",
    "INSERT INTO posthog_events SELECT project, event_name, timestamp, session_id, \
     reinterpretAsUInt128(MD5(ifNull(user_id, session_id))), properties FROM events",
    "CREATE TABLE posthog_overrides (project LowCardinality(String), distinct_id String, person_id UInt128, version Int64) \
     ENGINE = ReplacingMergeTree(version) ORDER BY (project, distinct_id)",
    "INSERT INTO posthog_overrides SELECT project, session_id, reinterpretAsUInt128(MD5(assumeNotNull(argMin(user_id, timestamp)))), 1 \
     FROM events WHERE user_id IS NOT NULL AND session_id IN (SELECT session_id FROM events WHERE user_id IS NULL) \
     GROUP BY project, session_id",
    "CREATE TABLE openpanel_events (project_id LowCardinality(String), name LowCardinality(String), created_at DateTime64(3), \
     session_id String CODEC(ZSTD(3)), profile_id String CODEC(ZSTD(3)), properties String CODEC(ZSTD(3))) ENGINE = MergeTree \
     PARTITION BY toYYYYMM(created_at) ORDER BY (project_id, toDate(created_at), created_at, name)",
    "INSERT INTO openpanel_events SELECT project, event_name, timestamp, session_id, ifNull(user_id, session_id), properties FROM events",
];

/// Statements as those designs lead to them: name, ours, and the statement. Written from how the products work.
fn others() -> Vec<(&'static str, &'static str, String)> {
    let since = |column: &str, days: u64| format!("{column} >= now64(3) - INTERVAL {days} DAY");
    // The people of PostHog's events, those who were identified later included.
    let people = "posthog_events AS e LEFT JOIN (SELECT argMax(person_id, version) AS person_id, distinct_id FROM posthog_overrides \
                  WHERE project = 'default' GROUP BY distinct_id) AS o ON e.distinct_id = o.distinct_id";
    let person = "if(o.person_id != 0, o.person_id, e.person_id)";
    vec![
        (
            "PostHog's design: trend, 30 days",
            "trend, 30 days (DATA_SOURCE_ROLLUP)",
            format!(
                "SELECT toStartOfDay(timestamp) AS day, count() FROM posthog_events WHERE project = 'default' AND event = 'page_view' \
                 AND {} GROUP BY day ORDER BY day",
                since("timestamp", 30)
            ),
        ),
        (
            "PostHog's design: trend of people with a filter on a property, 24 hours",
            "trend of visitors with a filter on a declared property, 24 hours (DATA_SOURCE_EVENTS)",
            format!(
                "SELECT toStartOfHour(e.timestamp) AS hour, count(DISTINCT {person}) FROM {people} WHERE e.project = 'default' \
                 AND e.event = 'page_view' AND JSONExtractString(e.properties, 'page_url') = '/pricing' AND {} GROUP BY hour",
                since("e.timestamp", 1)
            ),
        ),
        (
            "OpenPanel's design: trend with a filter on a property, 24 hours",
            "trend with a filter on another property, 24 hours (DATA_SOURCE_EVENTS)",
            format!(
                "SELECT toStartOfHour(created_at) AS hour, count() FROM openpanel_events WHERE project_id = 'default' AND name = 'page_view' \
                 AND JSONExtractString(properties, 'page_url') = '/pricing' AND {} GROUP BY hour",
                since("created_at", 1)
            ),
        ),
        (
            "PostHog's design: funnel, 7 days",
            "funnel of three steps, 7 days",
            format!(
                "SELECT steps, count() FROM (SELECT aggregation_target, arrayFold((level, event) -> \
                 if(event.2 = level + 1, toUInt8(level + 1), level), arraySort(groupArray((t, step))), toUInt8(0)) AS steps FROM \
                 (SELECT {person} AS aggregation_target, toUnixTimestamp64Milli(e.timestamp) AS t, \
                 indexOf(['signup_started', 'signup_completed', 'login'], toString(e.event)) AS step FROM {people} \
                 WHERE e.project = 'default' AND e.event IN ('signup_started', 'signup_completed', 'login') AND {}) \
                 GROUP BY aggregation_target) GROUP BY steps",
                since("e.timestamp", 7)
            ),
        ),
        (
            "OpenPanel's design: funnel of sessions, 7 days",
            "funnel of three steps, 7 days",
            format!(
                "SELECT level, count() FROM (SELECT session_id, windowFunnel(1209600000, 'strict_increase')(toUInt64(toUnixTimestamp64Milli(created_at)), \
                 name = 'signup_started', name = 'signup_completed', name = 'login') AS level FROM openpanel_events \
                 WHERE project_id = 'default' AND name IN ('signup_started', 'signup_completed', 'login') AND {} GROUP BY session_id) GROUP BY level",
                since("created_at", 7)
            ),
        ),
        (
            "PostHog's design: first-time retention, 8 weeks",
            "retention, 8 weeks",
            format!(
                "SELECT first_week, week, count() FROM (SELECT person, toMonday(min(time)) AS first_week, \
                 arrayJoin(groupUniqArray(toRelativeWeekNum(time))) AS week FROM (SELECT {person} AS person, e.timestamp AS time \
                 FROM {people} WHERE e.project = 'default' AND e.event = 'login') GROUP BY person HAVING min(time) >= now64(3) - INTERVAL 63 DAY) \
                 GROUP BY first_week, week"
            ),
        ),
        (
            "OpenPanel's design: search, first page",
            "search, first page, 30 days",
            format!(
                "SELECT * FROM openpanel_events WHERE project_id = 'default' AND {} ORDER BY created_at DESC LIMIT 100",
                since("created_at", 30)
            ),
        ),
    ]
}

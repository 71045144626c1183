//! Random events, late and unordered, over 400 days, of three projects, with two properties that are promoted half-way: every
//! panel, range, comparison and filter equals plain SQL over the events.
//!
//! `make correctness-test EVENTS=1000000` runs it with a million events.

use std::process::Command;
use std::sync::Arc;

use millrace::internals::properties::BUILT_IN;
use millrace_client::ProducerConfig;
use millrace_client::proto::v1;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use rand::{Rng as _, SeedableRng as _};
use v1::TimeRange;

use crate::common::{TestServer, now};
use crate::panels::{PANELS, assert_equals_plain_sql, filter, frame_request, is_compared};

const PROJECTS: [&str; 3] = ["alpha", "beta", "gamma"];
/// Promoted half-way through the first project.
const LATER: [&str; 2] = ["os", "utm_source"];
fn random_event(random: &mut StdRng) -> v1::Event {
    let names =
        ["page_view", "page_view", "feature_used", "signup_started", "signup_completed", "error_occurred"];
    let offset_seconds = match random.random_range(0..10) {
        0..4 => -random.random_range(0..3_600_i64),
        4..7 => -random.random_range(0..3 * 86_400),
        7 => random.random_range(0..300),
        _ => -random.random_range(0..400 * 86_400),
    };
    let properties = format!(
        r#"{{"page_url":"/p{}/{}","referrer":"https://www.r{}.org/x","os":"{}","utm_source":"S{}","feature":"f{}","duration_ms":{}}}"#,
        random.random_range(0..20),
        random.random_range(0..1_000),
        random.random_range(0..5),
        ["iOS", "Android", ""].choose(random).unwrap(),
        random.random_range(0..4),
        random.random_range(0..15),
        random.random_range(0..9_000),
    );
    v1::Event {
        event_name: (*names.choose(random).unwrap()).into(),
        timestamp: Some(prost_types::Timestamp {
            seconds: now().seconds + offset_seconds,
            nanos: random.random_range(0..1_000) * 1_000_000,
        }),
        session_id: format!("session-{}", random.random_range(0..40_000)),
        user_id: random.random_bool(0.5).then(|| format!("user-{}", random.random_range(0..10_000))),
        country_code: (*["ES", "DE", "us", ""].choose(random).unwrap()).into(),
        device_type: (*["mobile", "desktop", ""].choose(random).unwrap()).into(),
        properties_kind: Some(v1::event::PropertiesKind::PropertiesJson(properties)),
        ..Default::default()
    }
}

async fn send(server: &TestServer, random: &mut StdRng, events: u64) {
    let producer = ProducerConfig::new(server.url()).connect().await.unwrap();
    for _ in 0..events {
        producer.send(random_event(random)).await.unwrap();
    }
    let totals = producer.close().await.unwrap();
    assert_eq!((totals.accepted, totals.rejected), (events, 0));
    server.wait_until_landed().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_panel_equals_plain_sql() {
    let events: u64 = std::env::var("CORRECTNESS_EVENTS").map_or(6_000, |text| text.parse().unwrap());
    let declarations = tempfile::tempdir().unwrap();
    let file = declarations.path().join("properties.toml");
    let is_later =
        |declaration: &&str| LATER.iter().any(|name| declaration.contains(&format!("\nname = \"{name}\"")));
    let earlier: Vec<&str> =
        BUILT_IN.split("[[property]]").filter(|declaration| !is_later(declaration)).collect();
    std::fs::write(&file, earlier.join("[[property]]")).unwrap();
    let folder = Arc::new(tempfile::tempdir().unwrap());
    let start = |project: &str| {
        TestServer::start_on(
            Arc::clone(&folder),
            &[
                ("MILLRACE_PROJECT", project),
                ("MILLRACE_PROPERTIES_FILE", file.to_str().unwrap()),
                ("RETENTION_DAYS", "420"),
                ("ROLLUP_RETENTION_DAYS", "420"),
                ("PANEL_CACHE_MS", "0"),
            ],
        )
    };
    let mut random = StdRng::seed_from_u64(12);
    for (index, project) in PROJECTS.into_iter().enumerate() {
        let server = start(project);
        send(&server, &mut random, events / 6).await;
        if index == 0 {
            std::fs::write(&file, BUILT_IN).unwrap();
            let applied = Command::new(env!("CARGO_BIN_EXE_millrace"))
                .args(["properties", "apply", "--data-dir"])
                .arg(folder.path())
                .env("MILLRACE_PROPERTIES_FILE", &file)
                .output()
                .unwrap();
            assert!(applied.status.success(), "{applied:?}\n{}", server.log());
        }
        send(&server, &mut random, events / 6).await;
        assert!(server.stop().0.success());
    }
    for project in PROJECTS {
        let server = start(project);
        check(&server, project).await;
        assert!(server.stop().0.success());
    }
}

async fn check(server: &TestServer, project: &str) {
    let now = jiff::Timestamp::now().as_second();
    let at = |second: i64| Some(prost_types::Timestamp { seconds: second, nanos: 0 });
    let days = |first: i64, last: i64| {
        Some(v1::Interval { start: at(now - first * 86_400), end: at(now - last * 86_400) })
    };
    let unset = TimeRange::Unspecified;
    let ranges = [
        (TimeRange::TimeRange1h, None, "UTC"),
        (TimeRange::TimeRange6h, None, "Asia/Kathmandu"),
        (TimeRange::TimeRange24h, None, "UTC"),
        (TimeRange::TimeRange7d, None, "Europe/Madrid"),
        (TimeRange::TimeRange30d, None, "America/New_York"),
        (TimeRange::TimeRange90d, None, "UTC"),
        (TimeRange::Today, None, "Asia/Tokyo"),
        (TimeRange::Yesterday, None, "UTC"),
        (TimeRange::ThisWeek, None, "Europe/Madrid"),
        (TimeRange::ThisMonth, None, "UTC"),
        (unset, days(400, 0), "Europe/Madrid"),
        (unset, days(220, 100), "Asia/Kolkata"),
    ];
    let filters = [
        (vec![], "1"),
        (vec![filter("country_code", &["US", "DE"])], "country_code IN ('US', 'DE')"),
        (vec![filter("os", &["iOS"])], "JSONExtractString(properties, 'os') = 'iOS'"),
        (
            vec![filter("utm_source", &["s1"]), filter("device_type", &["mobile"])],
            "lower(JSONExtractString(properties, 'utm_source')) = 's1' AND device_type = 'mobile'",
        ),
        (
            vec![filter("referrer_domain", &["r1.org", "r2.org"])],
            "properties LIKE '%www.r1.org%' OR properties LIKE '%www.r2.org%'",
        ),
    ];
    let thorough = std::env::var_os("CORRECTNESS_EVENTS").is_some();
    let filters_count = filters.len();
    let mut dashboard = server.dashboard().await;
    for (index, (time_range, interval, zone)) in ranges.into_iter().enumerate() {
        // By default every other range for the first project, in which properties were promoted, and the rest for one of the others.
        let project_of_range = [0, 1, 0, 2][index % 4];
        if !thorough && PROJECTS[project_of_range] != project {
            continue;
        }
        for (filter_index, (filters, condition)) in filters.iter().enumerate() {
            // By default each range with no filter and one more, each filter with several ranges.
            if !thorough && filter_index > 0 && filter_index != 1 + index % (filters_count - 1) {
                continue;
            }
            for panel in PANELS {
                let request = v1::QueryPanelRequest {
                    time_range: time_range.into(),
                    interval,
                    filters: filters.clone(),
                    time_zone: Some(zone.into()),
                    ..frame_request(panel, index + filter_index)
                };
                let frame = dashboard.query_panel(request).await.unwrap().into_inner().frame.unwrap();
                let condition = format!("({condition})");
                assert_equals_plain_sql(server, project, panel, &frame, &condition).await;
                assert_eq!(frame.comparison.is_some(), is_compared(panel));
                if let Some(comparison) = &frame.comparison {
                    assert_equals_plain_sql(server, project, panel, comparison, &condition).await;
                }
            }
        }
    }
}

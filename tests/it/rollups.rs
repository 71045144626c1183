//! Compares the rollup's distinct counts with plain SQL over random events.
//!
//! `make correctness-test EVENTS=1000000` runs it with a million events.

use millrace_client::ProducerConfig;
use millrace_client::proto::v1;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use rand::{Rng as _, SeedableRng as _};

use crate::common::{TestServer, now};

/// Out of order: late by up to two days, early by up to nine minutes.
fn random_event(random: &mut StdRng) -> v1::Event {
    let names =
        ["page_view", "page_view", "feature_used", "signup_started", "signup_completed", "error_occurred"];
    let name = *names.choose(random).unwrap();
    let offset_seconds = if random.random_bool(0.7) {
        -random.random_range(0..600_i64)
    } else if random.random_bool(0.3) {
        random.random_range(0..540)
    } else {
        -random.random_range(0..172_800)
    };
    let now = now();
    let properties = match name {
        "page_view" => format!(
            r#"{{"page_url":"/page-{}","duration_ms":{}}}"#,
            ["a", "b", "c", "d", "e"].choose(random).unwrap(),
            random.random_range(0..9_000)
        ),
        "feature_used" => format!(r#"{{"feature":"f{}"}}"#, random.random_range(0..20)),
        _ => "{}".to_owned(),
    };
    v1::Event {
        event_name: name.into(),
        timestamp: Some(prost_types::Timestamp {
            seconds: now.seconds + offset_seconds,
            nanos: random.random_range(0..1_000) * 1_000_000,
        }),
        session_id: format!("session-{}", random.random_range(0..200_000)),
        user_id: random.random_bool(0.5).then(|| format!("user-{}", random.random_range(0..50_000))),
        country_code: (*["ES", "DE", "us", ""].choose(random).unwrap()).into(),
        properties_kind: Some(v1::event::PropertiesKind::PropertiesJson(properties)),
        ..Default::default()
    }
}

/// Events, and distinct people by linear counting.
const ROLLUP_FIGURES: &str = "sum(rollup.events) AS events, uniqUpToMerge(100)(few_SET) AS few, \
                              if(few <= 100, few, round(-1048576 * log(1 - groupBitmapMerge(SET) / 1048576))) AS people";

#[tokio::test(flavor = "multi_thread")]
async fn the_rollup_counts_random_events() {
    let events: u64 = std::env::var("CORRECTNESS_EVENTS").map_or(250_000, |text| text.parse().unwrap());
    let server = TestServer::start();
    let producer = ProducerConfig::new(server.url()).connect().await.unwrap();
    let mut random = StdRng::seed_from_u64(11);
    for _ in 0..events {
        producer.send(random_event(&mut random)).await.unwrap();
    }
    let totals = producer.close().await.unwrap();
    assert_eq!((totals.accepted, totals.rejected), (events, 0));
    server.wait_until_landed().await;

    let visitors = "uniqExact(ifNull(user_id, session_id))";
    for (set, people, step, dimension, key, event_key, filter) in [
        (
            "sessions",
            "uniqExact(session_id)",
            1,
            "",
            "start",
            "toStartOfMinute(timestamp)",
            "event_name = ''",
        ),
        (
            "sessions",
            "uniqExact(session_id)",
            15,
            "",
            "start",
            "toStartOfFifteenMinutes(timestamp)",
            "event_name = ''",
        ),
        ("visitors", visitors, 60, "", "start", "toStartOfHour(timestamp)", "event_name = 'page_view'"),
        ("visitors", visitors, 1, "page_url", "value", "toString(page_url)", "event_name = 'page_view'"),
        ("visitors", visitors, 360, "feature", "value", "toString(feature)", "event_name = 'feature_used'"),
        (
            "visitors",
            visitors,
            1_440,
            "country_code",
            "value",
            "toString(country_code)",
            "event_name = 'error_occurred'",
        ),
        ("visitors", visitors, 1_440, "", "event_name", "toString(event_name)", "event_name != ''"),
    ] {
        let figures = ROLLUP_FIGURES.replace("SET", set);
        let rollup = format!(
            "SELECT {key} AS key, {figures} FROM rollup WHERE step = {step} AND dimension = '{dimension}' AND {filter} \
             GROUP BY key"
        );
        let event_filter = if filter == "event_name = ''" { "1" } else { filter };
        let has_value = if key == "value" { "key != ''" } else { "1" };
        let events = format!(
            "SELECT {event_key} AS key, count() AS events, {people} AS people FROM events WHERE {event_filter} \
             AND {has_value} GROUP BY key"
        );
        let comparison = format!(
            "SELECT count() > 1, countIf(r.events != e.events), countIf(abs(r.people - e.people) > 0.01 * e.people) FROM \
             ({rollup}) AS r FULL JOIN ({events}) AS e ON r.key = e.key",
        );
        assert_eq!(server.sql(&comparison).await, "1\t0\t0", "{comparison}");
    }
}

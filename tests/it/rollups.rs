//! Compares rollups with plain SQL over a million random events.

use millrace_client::ProducerConfig;
use millrace_client::proto::v1;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use rand::{Rng as _, SeedableRng as _};

use crate::common::{TestServer, now};

const EVENTS: usize = 1_000_000;

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
            r#"{{"page_url":"/{}","duration_ms":{}}}"#,
            random.random_range(0..30),
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

const PEOPLE: &str = "ifNull(uniqUpToMerge(100)(few_SET), 0) AS few, if(few <= 100, few, round(-1048576 * log(1 - \
                      ifNull(groupBitmapMerge(SET), 0) / 1048576))) AS people";
const VISITORS: &str = "uniqExact(ifNull(user_id, session_id)) AS people FROM events WHERE event_name =";

#[tokio::test(flavor = "multi_thread")]
async fn rollups_match_a_million_random_events() {
    let server = TestServer::start();
    let producer = ProducerConfig::new(server.url()).connect().await.unwrap();
    let mut random = StdRng::seed_from_u64(11);
    for _ in 0..EVENTS {
        producer.send(random_event(&mut random)).await.unwrap();
    }
    let totals = producer.close().await.unwrap();
    assert_eq!((totals.accepted, totals.rejected), (EVENTS as u64, 0));
    server.wait_until_landed().await;

    let people = |set: &str| PEOPLE.replace("SET", set);
    let mut comparisons = vec![(
        "minute",
        format!(
            "(sum(minutes.events), sum(errors), sum(signups_started), sum(signups_completed)) AS counts, {} FROM minutes \
             GROUP BY minute",
            people("sessions")
        ),
        "toStartOfMinute(timestamp) AS minute, (count(), countIf(event_name = 'error_occurred'), countIf(event_name = \
         'signup_started'), countIf(event_name = 'signup_completed')) AS counts, uniqExact(session_id) AS people FROM \
         events GROUP BY minute".to_owned(),
    )];
    for (table, levels_table, key, key_expression, name, count) in [
        (
            "feature_minutes",
            "feature_steps",
            "feature",
            "JSONExtractString(properties, 'feature')",
            "feature_used",
            "events",
        ),
        (
            "page_minutes",
            "page_steps",
            "page_url",
            "JSONExtractString(properties, 'page_url')",
            "page_view",
            "views",
        ),
        ("country_minutes", "country_steps", "country_code", "toString(country_code)", "page_view", "views"),
    ] {
        let set = if table == "feature_minutes" { "users" } else { "visitors" };
        comparisons.push((
            key,
            format!("sum({table}.{count}) AS counts, {} FROM {table} GROUP BY {key}", people(set)),
            format!("{key_expression} AS {key}, count() AS counts, {VISITORS} '{name}' GROUP BY {key}"),
        ));
        comparisons.push((
            "start",
            format!(
                "sum({levels_table}.{count}) AS counts, {} FROM {levels_table} WHERE step = 60 GROUP BY start",
                people(set)
            ),
            format!(
                "toStartOfHour(timestamp) AS start, count() AS counts, {VISITORS} '{name}' GROUP BY start"
            ),
        ));
    }
    comparisons.push((
        "start",
        format!("toUInt64(0) AS counts, {} FROM session_steps WHERE step = 15 GROUP BY start", people("sessions")),
        "toStartOfFifteenMinutes(timestamp) AS start, toUInt64(0) AS counts, uniqExact(session_id) AS people FROM events \
         GROUP BY start".to_owned(),
    ));
    for (key, rollup, events) in comparisons {
        let comparison = format!(
            "SELECT count() > 1, countIf(r.counts != e.counts), countIf(abs(r.people - e.people) > 0.01 * e.people) FROM \
             (SELECT {key}, {rollup}) AS r FULL JOIN (SELECT {events}) AS e ON r.{key} = e.{key}",
        );
        assert_eq!(server.sql(&comparison).await, "1\t0\t0", "{comparison}");
    }
}

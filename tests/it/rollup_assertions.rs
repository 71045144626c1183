//! Compares every rollup with plain SQL over the events.

use crate::common::TestServer;

/// For each rollup table: its name, a query of its rows, and a query that computes the same rows from the events. A row is
/// one text.
fn rollup_comparisons() -> Vec<(&'static str, String, String)> {
    let set_bits = |person: &str| format!("uniqExactIf(cityHash64({person}) % 1048576, {person} != '')");
    let capped_count = |person: &str| format!("least(101, uniqExactIf({person}, {person} != ''))");
    let merged_set =
        |set: &str| format!("ifNull(groupBitmapMerge({set}), 0), ifNull(uniqUpToMerge(100)(few_{set}), 0)");
    let start = "toDateTime(intDiv(toUnixTimestamp(timestamp), step * 60) * step * 60, 'UTC')";
    let duration = "if((JSONExtract(properties, 'duration_ms', 'Nullable(Float64)') AS given) >= 0 AND given <= 1e9, \
                    given, NULL)";
    let visitor = "(ifNull(user_id, session_id) AS visitor)";
    let rows = |columns: &str, rest: &str| format!("SELECT toString(tuple({columns})) FROM {rest}");
    let mut comparisons = vec![
        (
            "minutes",
            rows(
                &format!(
                    "minute, sum(minutes.events), sum(errors), sum(signups_started), sum(signups_completed), {}",
                    merged_set("sessions")
                ),
                "minutes GROUP BY minute",
            ),
            rows(
                &format!(
                    "toStartOfMinute(timestamp) AS minute, count(), countIf(event_name = 'error_occurred'), \
                     countIf(event_name = 'signup_started'), countIf(event_name = 'signup_completed'), {}, {}",
                    set_bits("session_id"),
                    capped_count("session_id")
                ),
                "events GROUP BY toStartOfMinute(timestamp)",
            ),
        ),
        (
            "session_steps",
            rows(
                &format!("step, start, sum(session_steps.events), {}", merged_set("sessions")),
                "session_steps GROUP BY step, start",
            ),
            rows(
                &format!(
                    "step, {start}, count(), {}, {}",
                    set_bits("session_id"),
                    capped_count("session_id")
                ),
                &format!(
                    "(SELECT *, arrayJoin([15, 60])::UInt16 AS step FROM events) GROUP BY step, {start}"
                ),
            ),
        ),
    ];
    let page = "substringUTF8(JSONExtractString(properties, 'page_url'), 1, 500)";
    let feature = "substringUTF8(JSONExtractString(properties, 'feature'), 1, 200)";
    let durations = format!(", round(sum(ifNull({duration}, 0))), count({duration})");
    let duration_sums = ", round(sum(duration_ms)), sum(duration_views)";
    // The table of minutes and that of longer levels; their key, and its expression over the events; which events count;
    // the levels; columns of the tables; whether there are durations: `Some(true)` if the longer levels have them too.
    for (name, levels_name, key, key_expression, filter, levels, count, set, durations_in_levels) in [
        (
            "feature_minutes",
            "feature_steps",
            "feature",
            feature,
            "event_name = 'feature_used' AND key != ''",
            "[15, 60, 360]",
            "events",
            "users",
            None,
        ),
        (
            "page_minutes",
            "page_steps",
            "page_url",
            page,
            "event_name = 'page_view' AND key != ''",
            "[15, 60, 360]",
            "views",
            "visitors",
            Some(true),
        ),
        (
            "country_minutes",
            "country_steps",
            "country_code",
            "toString(country_code)",
            "event_name = 'page_view'",
            "[15, 60]",
            "views",
            "visitors",
            Some(false),
        ),
    ] {
        let only_if = |condition: bool, text: &str| if condition { text.to_owned() } else { String::new() };
        let visitors = format!("{}, {}", set_bits("visitor"), capped_count("visitor"));
        comparisons.push((
            name,
            rows(
                &format!(
                    "minute, toString({key}), sum({name}.{count}), {}{}",
                    merged_set(set),
                    only_if(durations_in_levels.is_some(), duration_sums)
                ),
                &format!("{name} GROUP BY minute, {key}"),
            ),
            rows(
                &format!(
                    "toStartOfMinute(timestamp) AS minute, key, count(), {visitors}{}",
                    only_if(durations_in_levels.is_some(), &durations)
                ),
                &format!(
                    "(SELECT *, {key_expression} AS key, {visitor} FROM events WHERE {filter}) \
                     GROUP BY toStartOfMinute(timestamp), key"
                ),
            ),
        ));
        let has_durations = durations_in_levels == Some(true);
        comparisons.push((
            levels_name,
            rows(
                &format!(
                    "step, start, toString({key}), sum({levels_name}.{count}), {}{}",
                    merged_set(set),
                    only_if(has_durations, duration_sums)
                ),
                &format!("{levels_name} GROUP BY step, start, {key}"),
            ),
            rows(
                &format!("step, {start}, key, count(), {visitors}{}", only_if(has_durations, &durations)),
                &format!(
                    "(SELECT *, {key_expression} AS key, {visitor}, arrayJoin({levels})::UInt16 AS step FROM events \
                     WHERE {filter}) GROUP BY step, {start}, key"
                ),
            ),
        ));
    }
    comparisons
}

/// Panics with the first rows that differ.
pub(crate) async fn assert_rollups_match_events(server: &TestServer) {
    for (name, rollup, events) in rollup_comparisons() {
        let unexpected = server.sql(&format!("{rollup} EXCEPT {events}")).await;
        let missing = server.sql(&format!("{events} EXCEPT {rollup}")).await;
        let first = |rows: &str| rows.lines().take(3).collect::<Vec<_>>().join("\n");
        assert!(
            unexpected.is_empty() && missing.is_empty(),
            "{name}: {} unexpected rows, such as\n{}\n{} missing rows, such as\n{}",
            unexpected.lines().count(),
            first(&unexpected),
            missing.lines().count(),
            first(&missing)
        );
    }
}

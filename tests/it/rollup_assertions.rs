//! Every rollup against plain SQL over the events.

use crate::common::TestServer;

/// What a rollup says, and what the events say; a row of each is one text.
fn rollup_comparisons() -> Vec<(&'static str, String, String)> {
    let bits = |who: &str| format!("uniqExactIf(cityHash64({who}) % 1048576, {who} != '')");
    let few = |who: &str| format!("least(101, uniqExactIf({who}, {who} != ''))");
    let merged =
        |set: &str| format!("ifNull(groupBitmapMerge({set}), 0), ifNull(uniqUpToMerge(100)(few_{set}), 0)");
    let start = "toDateTime(intDiv(toUnixTimestamp(timestamp), step * 60) * step * 60, 'UTC')";
    let duration = "if((JSONExtract(properties, 'duration_ms', 'Nullable(Float64)') AS given) >= 0 AND given <= 1e9, given, NULL)";
    let who = "(ifNull(user_id, session_id) AS who)";
    let text = |columns: &str, rest: &str| format!("SELECT toString(tuple({columns})) FROM {rest}");
    let mut all = vec![
        (
            "minutes",
            text(
                &format!(
                    "minute, sum(minutes.events), sum(errors), sum(signups_started), sum(signups_completed), {}",
                    merged("sessions")
                ),
                "minutes GROUP BY minute",
            ),
            text(
                &format!(
                    "toStartOfMinute(timestamp) AS minute, count(), countIf(event_name = 'error_occurred'), \
                     countIf(event_name = 'signup_started'), countIf(event_name = 'signup_completed'), {}, {}",
                    bits("session_id"),
                    few("session_id")
                ),
                "events GROUP BY toStartOfMinute(timestamp)",
            ),
        ),
        (
            "session_steps",
            text(
                &format!("step, start, sum(session_steps.events), {}", merged("sessions")),
                "session_steps GROUP BY step, start",
            ),
            text(
                &format!("step, {start}, count(), {}, {}", bits("session_id"), few("session_id")),
                &format!(
                    "(SELECT *, arrayJoin([15, 60])::UInt16 AS step FROM events) GROUP BY step, {start}"
                ),
            ),
        ),
    ];
    let page = "substringUTF8(JSONExtractString(properties, 'page_url'), 1, 500)";
    let feature = "substringUTF8(JSONExtractString(properties, 'feature'), 1, 200)";
    // Rollup, its key, what the key is in an event, which events, the steps, its columns, what they are in an event.
    let durations = format!(", round(sum(ifNull({duration}, 0))), count({duration})");
    let kept = ", round(sum(duration_ms)), sum(duration_views)";
    for (name, steps_name, key, value, events, steps, count, set, has_duration_steps) in [
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
        let with = |has: bool, text: &str| if has { text.to_owned() } else { String::new() };
        let people = format!("{}, {}", bits("who"), few("who"));
        all.push((
            name,
            text(
                &format!(
                    "minute, toString({key}), sum({name}.{count}), {}{}",
                    merged(set),
                    with(has_duration_steps.is_some(), kept)
                ),
                &format!("{name} GROUP BY minute, {key}"),
            ),
            text(
                &format!(
                    "toStartOfMinute(timestamp) AS minute, key, count(), {people}{}",
                    with(has_duration_steps.is_some(), &durations)
                ),
                &format!("(SELECT *, {value} AS key, {who} FROM events WHERE {events}) GROUP BY toStartOfMinute(timestamp), key"),
            ),
        ));
        let timed = has_duration_steps == Some(true);
        all.push((
            steps_name,
            text(
                &format!("step, start, toString({key}), sum({steps_name}.{count}), {}{}", merged(set), with(timed, kept)),
                &format!("{steps_name} GROUP BY step, start, {key}"),
            ),
            text(
                &format!("step, {start}, key, count(), {people}{}", with(timed, &durations)),
                &format!(
                    "(SELECT *, {value} AS key, {who}, arrayJoin({steps})::UInt16 AS step FROM events WHERE {events}) \
                     GROUP BY step, {start}, key"
                ),
            ),
        ));
    }
    all
}

/// Fails with the first rows that differ.
pub(crate) async fn assert_rollups_match_events(server: &TestServer) {
    for (name, rollup, events) in rollup_comparisons() {
        let unexpected = server.sql(&format!("{rollup} EXCEPT {events}")).await;
        let missing = server.sql(&format!("{events} EXCEPT {rollup}")).await;
        let first = |rows: &str| rows.lines().take(3).collect::<Vec<_>>().join("\n");
        assert!(
            unexpected.is_empty() && missing.is_empty(),
            "{name}: {} rows are not as in the events, such as\n{}\n{} are missing, such as\n{}",
            unexpected.lines().count(),
            first(&unexpected),
            missing.lines().count(),
            first(&missing)
        );
    }
}

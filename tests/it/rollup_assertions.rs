//! Compares the rollup with plain SQL over the events.

use crate::common::TestServer;

/// Every row of the rollup, merged, as one text.
const ROLLUP_ROWS: &str = "\
    SELECT toString(tuple(
        project, event_name, dimension, step, start, value, sum(rollup.events),
        groupBitmapMerge(visitors), uniqUpToMerge(100)(few_visitors), groupBitmapMerge(sampled_visitors),
        groupBitmapMerge(sessions), uniqUpToMerge(100)(few_sessions), groupBitmapMerge(sampled_sessions),
        round(sum(rollup.measure_sum)), sum(rollup.measure_count)))
    FROM rollup
    GROUP BY project, event_name, dimension, step, start, value";

/// The same rows computed from the events.
const EVENT_ROWS: &str = "\
    WITH
        [(NAME, '', ''), ('', '', '')] AS totals,
        [('country_code', toString(country_code)), ('device_type', toString(device_type)),
         ('page_url', toString(page_url)), ('referrer_domain', toString(referrer_domain)),
         ('browser', toString(browser)), ('os', toString(os)), ('utm_source', toString(utm_source)),
         ('feature', toString(feature))] AS dimensions
    SELECT toString(tuple(
        project, name, dimension, step, start, value, count(),
        uniqExactIf(visitor_hash % 1048576, visitor != ''),
        least(101, uniqExactIf(visitor, visitor != '')),
        uniqExactIf(bitShiftRight(visitor_hash, 24) % 1048576, visitor != '' AND bitShiftRight(visitor_hash, 60) = 0),
        uniqExactIf(session_hash % 1048576, has_sessions),
        least(101, uniqExactIf(session_id, has_sessions)),
        uniqExactIf(bitShiftRight(session_hash, 24) % 1048576, has_sessions AND bitShiftRight(session_hash, 60) = 0),
        if(name = '', 0, round(sum(ifNull(duration_ms, 0)))), if(name = '', 0, count(duration_ms))))
    FROM
    (
        SELECT
            project,
            arrayJoin(arrayConcat(totals, arrayMap(d -> (NAME, d.1, d.2), arrayFilter(d -> d.2 != '', dimensions)))) AS key,
            key.1 AS name, key.2 AS dimension, key.3 AS value,
            arrayJoin([1, 15, 60, 360, 1440])::UInt16 AS step,
            toDateTime(intDiv(toUnixTimestamp(timestamp), step * 60) * step * 60, 'UTC') AS start,
            ifNull(user_id, session_id) AS visitor,
            xxh3(visitor) AS visitor_hash,
            session_id,
            xxh3(session_id) AS session_hash,
            dimension = '' AND session_id != '' AS has_sessions,
            duration_ms
        FROM events
    )
    GROUP BY project, name, dimension, step, start, value";

/// Panics with the first rows that differ.
pub(crate) async fn assert_rollup_matches_events(server: &TestServer) {
    let event_rows = EVENT_ROWS.replace("NAME", "toString(event_name)");
    let unexpected = server.sql(&format!("{ROLLUP_ROWS} EXCEPT {event_rows}")).await;
    let missing = server.sql(&format!("{event_rows} EXCEPT {ROLLUP_ROWS}")).await;
    let first = |rows: &str| rows.lines().take(3).collect::<Vec<_>>().join("\n");
    assert!(
        unexpected.is_empty() && missing.is_empty(),
        "{} unexpected rows, such as\n{}\n{} missing rows, such as\n{}",
        unexpected.lines().count(),
        first(&unexpected),
        missing.lines().count(),
        first(&missing)
    );
}

-- The rows of the rollup by minute (level 1) of a span's events. The writer computes the same rows from a batch.
--
-- First the rows without a breakdown, of all events and of each: only these have sessions.
SELECT
    project,
    -- Empty in the set that does not have it.
    event_name,
    '' AS dimension,
    1 AS step,
    start,
    '' AS value,
    count() AS events,
    groupBitmapStateIf(toUInt32(visitor_hash % 1048576), visitor != '') AS visitors,
    uniqUpToStateIf(100)(visitor_hash, visitor != '') AS few_visitors,
    groupBitmapStateIf(
        toUInt32(bitShiftRight(visitor_hash, 24) % 1048576), visitor != '' AND bitShiftRight(visitor_hash, 60) = 0)
        AS sampled_visitors,
    groupBitmapStateIf(toUInt32(session_hash % 1048576), session_id != '') AS sessions,
    uniqUpToStateIf(100)(session_hash, session_id != '') AS few_sessions,
    groupBitmapStateIf(
        toUInt32(bitShiftRight(session_hash, 24) % 1048576), session_id != '' AND bitShiftRight(session_hash, 60) = 0)
        AS sampled_sessions,
    -- Measures of different events cannot be added up.
    if(grouping(event_name) = 0, sum(ifNull(measure, 0)), 0) AS measure_sum,
    if(grouping(event_name) = 0, count(measure), 0) AS measure_count
FROM
(
    {{rows}}
)
GROUP BY GROUPING SETS ((project, start), (project, event_name, start))

UNION ALL

-- Then the rows of each dimension. An event that does not have it is in none.
SELECT
    project,
    event_name,
    {{dimension}} AS dimension,
    1 AS step,
    start,
    {{value}} AS value,
    count() AS events,
    groupBitmapStateIf(toUInt32(visitor_hash % 1048576), visitor != '') AS visitors,
    uniqUpToStateIf(100)(visitor_hash, visitor != '') AS few_visitors,
    groupBitmapStateIf(
        toUInt32(bitShiftRight(visitor_hash, 24) % 1048576), visitor != '' AND bitShiftRight(visitor_hash, 60) = 0)
        AS sampled_visitors,
    groupBitmapStateIf(0::UInt32, 0) AS sessions,
    uniqUpToStateIf(100)(0::UInt64, 0) AS few_sessions,
    groupBitmapStateIf(0::UInt32, 0) AS sampled_sessions,
    sum(ifNull(measure, 0)) AS measure_sum,
    count(measure) AS measure_count
FROM
(
    {{rows}}
)
GROUP BY GROUPING SETS ({{dimension_sets}})
HAVING value != ''

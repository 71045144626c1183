-- title: Active sessions
-- description: Distinct sessions with an event, over time and right now
-- unit: sessions
-- chart: area
-- order: 10
-- size: medium
-- refresh: 5s
-- Distinct counts are exact up to 100 and estimated above (docs/decisions/0003-rollups.md).
-- distinct: active_users, active_now
-- parameter: window_minutes UInt16 = 5 from 1 to 60: length of the window for active_now, in minutes
-- figure: first(active_now) "sessions in the last {window_minutes} minutes"
-- figure: max(active_users) "most in one bucket"
-- column: bucket_start time "Time"
-- column: active_users measure "Active sessions"
-- column: active_now hidden
-- column: incomplete hidden
WITH per_bucket AS
(
    -- Merging the states of a bucket's rows counts a session once, however many minutes it spans.
    SELECT
        roundDown(toUnixTimestamp(start), {buckets:Array(UInt32)}) AS bucket,
        ifNull(uniqUpToMerge(100)(few_sessions), 0) AS capped_count,
        ifNull(groupBitmapMerge(sessions), 0) AS set_bits,
        {{distinct_count(capped_count, set_bits)}} AS active
    FROM
    (
        SELECT start, sessions, few_sessions
        FROM session_steps
        WHERE step = {step:UInt16} AND start >= {range_start:DateTime('UTC')} AND start < {steps_end:DateTime('UTC')}
        UNION ALL
        -- The current bucket, and all buckets if they are narrower than the rollup's levels.
        SELECT minute AS start, sessions, few_sessions
        FROM minutes
        WHERE minute >= {steps_end:DateTime('UTC')} AND minute < {range_end:DateTime('UTC')}
    )
    GROUP BY bucket
),
active_window AS
(
    SELECT
        ifNull(uniqUpToMerge(100)(few_sessions), 0) AS capped_count,
        ifNull(groupBitmapMerge(sessions), 0) AS set_bits,
        {{distinct_count(capped_count, set_bits)}} AS active
    FROM minutes
    WHERE minute >= {range_end:DateTime('UTC')} - toIntervalMinute({window_minutes:UInt16})
      AND minute < {range_end:DateTime('UTC')}
)
SELECT
    toDateTime(all_buckets.bucket, 'UTC') AS bucket_start,
    -- Buckets without sessions have no row.
    ifNull(per_bucket.active, 0) AS active_users,
    ifNull((SELECT active FROM active_window), 0) AS active_now,
    all_buckets.bucket = {buckets:Array(UInt32)}[-1] AS incomplete
FROM (SELECT arrayJoin({buckets:Array(UInt32)}) AS bucket) AS all_buckets
LEFT JOIN per_bucket ON per_bucket.bucket = all_buckets.bucket
ORDER BY bucket_start

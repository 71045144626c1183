-- title: Active users
-- description: How many sessions were active in each bucket, and how many are now
-- unit: users
-- chart: line
-- refresh: 5s
-- Up to 100 people are counted; beyond, their number follows from the bits that they set (queries/schema/0002_minutes.sql).
-- distinct: active_users, active_now
-- parameter: window_minutes UInt16 = 5 from 1 to 60: how many minutes back a session counts as active now
WITH per_bucket AS
(
    -- States of steps and minutes merge to the distinct sessions of a bucket: a session counts once however long it lasts.
    SELECT
        roundDown(toUnixTimestamp(start), {buckets:Array(UInt32)}) AS bucket,
        ifNull(uniqUpToMerge(100)(few_sessions), 0) AS capped_count,
        ifNull(groupBitmapMerge(sessions), 0) AS set_bits,
        if(capped_count <= 100, capped_count, greatest(101, toUInt64(round(-1048576 * log(1 - least(set_bits, 1048575) / 1048576))))) AS active
    FROM
    (
        SELECT start, sessions, few_sessions
        FROM session_steps
        WHERE step = {step:UInt16} AND start >= {range_start:DateTime('UTC')} AND start < {steps_end:DateTime('UTC')}
        UNION ALL
        -- The bucket of the present, and all of them where they are shorter than a step.
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
        if(capped_count <= 100, capped_count, greatest(101, toUInt64(round(-1048576 * log(1 - least(set_bits, 1048575) / 1048576))))) AS active
    FROM minutes
    WHERE minute >= {range_end:DateTime('UTC')} - toIntervalMinute({window_minutes:UInt16})
      AND minute < {range_end:DateTime('UTC')}
)
SELECT
    toDateTime(all_buckets.bucket, 'UTC') AS bucket_start,
    -- A bucket without sessions has no state to merge.
    ifNull(per_bucket.active, 0) AS active_users,
    ifNull((SELECT active FROM active_window), 0) AS active_now,
    all_buckets.bucket = {buckets:Array(UInt32)}[-1] AS incomplete
FROM (SELECT arrayJoin({buckets:Array(UInt32)}) AS bucket) AS all_buckets
LEFT JOIN per_bucket ON per_bucket.bucket = all_buckets.bucket
ORDER BY bucket_start

-- title: Active users
-- description: How many sessions were active in each bucket, and how many are now
-- unit: users
-- chart: line
-- refresh: 5s
-- distinct: active_users, active_now
-- parameter: window_minutes UInt16 = 5 from 1 to 60: how many minutes back a session counts as active now
WITH per_bucket AS
(
    -- States of minutes merge to the distinct sessions of a bucket: a session counts once however long it lasts.
    SELECT
        roundDown(toUnixTimestamp(minute), {buckets:Array(UInt32)}) AS start,
        uniqCombined64Merge(16)(sessions) AS active
    FROM minutes
    WHERE minute >= {range_start:DateTime('UTC')} AND minute < {range_end:DateTime('UTC')}
    GROUP BY start
),
live AS
(
    SELECT uniqCombined64Merge(16)(sessions) AS active
    FROM minutes
    WHERE minute >= {range_end:DateTime('UTC')} - toIntervalMinute({window_minutes:UInt16})
      AND minute < {range_end:DateTime('UTC')}
)
SELECT
    toDateTime(bucket, 'UTC') AS bucket_start,
    -- A bucket without sessions has no state to merge.
    ifNull(per_bucket.active, 0) AS active_users,
    ifNull((SELECT active FROM live), 0) AS active_now,
    bucket = {buckets:Array(UInt32)}[-1] AS incomplete
FROM (SELECT arrayJoin({buckets:Array(UInt32)}) AS bucket) AS all_buckets
LEFT JOIN per_bucket ON per_bucket.start = bucket
ORDER BY bucket

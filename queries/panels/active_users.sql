-- title: Active sessions
-- description: Distinct sessions with an event, over time and right now
-- unit: sessions
-- chart: area
-- order: 10
-- size: medium
-- refresh: 5s
-- Distinct counts are exact up to 100 and estimated above (docs/decisions/0009-distinct-counts.md).
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
    -- Merging the sets of a bucket's rows counts a session once, however many minutes it spans.
    SELECT bucket, {{distinct_count(sessions)}} AS active
    FROM {{series('')}}
    GROUP BY bucket
)
SELECT
    toDateTime(all_buckets.bucket, 'UTC') AS bucket_start,
    -- Buckets without sessions have no row.
    per_bucket.active AS active_users,
    ifNull((SELECT {{distinct_count(sessions)}} FROM {{window('', window_minutes)}}), 0) AS active_now,
    all_buckets.bucket = {running_bucket:UInt32} AS incomplete
FROM (SELECT arrayJoin({buckets:Array(UInt32)}) AS bucket) AS all_buckets
LEFT JOIN per_bucket ON per_bucket.bucket = all_buckets.bucket
ORDER BY bucket_start

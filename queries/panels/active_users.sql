-- title: Active sessions
-- description: Distinct sessions with an event, over time and right now
-- unit: sessions
-- chart: area
-- order: 10
-- size: medium
-- refresh: 5s
-- Distinct counts are exact up to 100 and estimated above (docs/decisions/0010-distinct-counts.md).
-- distinct: active_users, active_now
-- parameter: window_minutes UInt16 = 5 from 1 to 60: length of the window for active_now, in minutes
-- figure: first(active_now) "sessions in the last {window_minutes} minutes"
-- figure: max(active_users) "most in one bucket"
-- column: bucket_start time "Time"
-- column: active_users measure "Active sessions"
-- column: active_now hidden
-- column: incomplete hidden
WITH
counts AS
(
    -- Merging the sets of a bucket's rows counts a session once, however many minutes it spans.
    SELECT bucket, {{distinct_count(sessions)}} AS active
    FROM
    (
        SELECT bucket, sessions, few_sessions, sampled_sessions FROM {{series('')}}
        UNION ALL
        -- As one more bucket, 0: a subquery of its own would be a second statement for ClickHouse.
        SELECT 0 AS bucket, sessions, few_sessions, sampled_sessions FROM {{window('', window_minutes)}}
    )
    GROUP BY bucket
),
all_counts AS
(
    SELECT groupArray(bucket) AS starts, groupArray(active) AS counts FROM counts
)
-- Buckets without sessions have no row: element 0 of an array is 0.
SELECT
    toDateTime(bucket, 'UTC') AS bucket_start,
    counts[indexOf(starts, bucket)] AS active_users,
    counts[indexOf(starts, 0)] AS active_now,
    bucket = {running_bucket:UInt32} AS incomplete
FROM all_counts
ARRAY JOIN {buckets:Array(UInt32)} AS bucket
ORDER BY bucket_start

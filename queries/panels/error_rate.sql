-- title: Error rate
-- description: Share of events that are errors
-- unit: %
-- chart: line
-- order: 50
-- size: medium
-- events: error_occurred
-- refresh: 5s
-- parameter: threshold_pct Float64 = 1 from 0 to 100: the highest acceptable rate
-- figure: ratio(errors, events) "of all events"
-- figure: sum(errors) "errors"
-- figure: sum(events) "events"
-- threshold: threshold_pct
-- column: bucket_start time "Time"
-- column: error_rate_pct measure "Error rate"
-- column: errors detail errors "Errors"
-- column: events detail events "Events"
-- column: threshold_pct hidden
-- column: incomplete hidden
WITH per_bucket AS
(
    SELECT bucket, sumIf(rows.events, event_name != '') AS errors, sumIf(rows.events, event_name = '') AS events
    FROM {{series(['', 'error_occurred'])}} AS rows
    GROUP BY bucket
)
SELECT
    toDateTime(all_buckets.bucket, 'UTC') AS bucket_start,
    -- NULL for a bucket without events.
    if(per_bucket.events = 0, NULL, round(100 * per_bucket.errors / per_bucket.events, 4)) AS error_rate_pct,
    per_bucket.errors AS errors,
    per_bucket.events AS events,
    {threshold_pct:Float64} AS threshold_pct,
    all_buckets.bucket = {running_bucket:UInt32} AS incomplete
FROM (SELECT arrayJoin({buckets:Array(UInt32)}) AS bucket) AS all_buckets
LEFT JOIN per_bucket ON per_bucket.bucket = all_buckets.bucket
ORDER BY bucket_start

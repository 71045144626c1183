-- title: Sign-ups
-- description: Sign-ups started and completed, per hour, or per day for longer ranges
-- unit: sign-ups
-- chart: bar
-- order: 40
-- size: medium
-- events: signup_started, signup_completed
-- refresh: 5s
-- grain: coarse
-- figure: ratio(completed, started) "completed per started"
-- figure: sum(started) "started"
-- figure: sum(completed) "completed"
-- column: bucket_start time "Time"
-- column: started measure "Started"
-- column: completed measure "Completed"
-- column: conversion_pct detail % "Completed per started"
-- column: incomplete hidden
WITH per_bucket AS
(
    SELECT
        bucket,
        sumIf(events, event_name = 'signup_started') AS started,
        sumIf(events, event_name = 'signup_completed') AS completed
    FROM {{series(['signup_started', 'signup_completed'])}}
    GROUP BY bucket
)
SELECT
    toDateTime(all_buckets.bucket, 'UTC') AS bucket_start,
    per_bucket.started AS started,
    per_bucket.completed AS completed,
    -- NULL if none was started. Above 100 if sign-ups that started in an earlier bucket were completed in this one.
    if(started = 0, NULL, round(100 * completed / started, 2)) AS conversion_pct,
    all_buckets.bucket = {running_bucket:UInt32} AS incomplete
FROM (SELECT arrayJoin({buckets:Array(UInt32)}) AS bucket) AS all_buckets
LEFT JOIN per_bucket ON per_bucket.bucket = all_buckets.bucket
ORDER BY bucket_start

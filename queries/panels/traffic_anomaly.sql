-- title: Page views this hour, week over week
-- description: Page views of the current hour so far; its complete minutes compared with the same minutes a week ago
-- unit: views
-- chart: number
-- order: 30
-- size: small
-- events: page_view
-- span: hour_start "this hour"
-- refresh: 5s
-- figure: first(current_views) "page views so far"
-- figure: first(compared_views) "in complete minutes" versus first(previous_views) "the same minutes last week"
-- column: current_views measure views "This hour"
-- column: compared_views detail views "In complete minutes"
-- column: previous_views measure views "The same minutes a week ago"
-- column: change_pct detail % "Change"
WITH
-- The running minute is not compared: that of last week is over, and rollups have no part of a minute.
{hour_start:DateTime('UTC')} < {minute_start:DateTime('UTC')} AS has_complete_minute
SELECT
    sumIf(events, part IN ('complete', 'running')) AS current_views,
    -- NULL in the first minute of the hour.
    if(has_complete_minute, sumIf(events, part = 'complete'), NULL) AS compared_views,
    -- Also NULL if the history does not go back to the start of that hour: part of it would be a wrong comparison.
    if(has_complete_minute AND countIf(part = 'history') > 0, sumIf(events, part = 'week ago'), NULL)
        AS previous_views,
    if(previous_views = 0, NULL, round(100 * (toInt64(compared_views) - toInt64(previous_views)) / previous_views, 2))
        AS change_pct
FROM
(
    SELECT 'complete' AS part, events FROM {{span('page_view', hour_start, minute_start)}}
    UNION ALL
    SELECT 'running' AS part, events FROM {{span('page_view', minute_start, minute_end)}}
    UNION ALL
    SELECT 'week ago' AS part, events FROM {{span('page_view', week_ago_start, week_ago_minute)}}
    UNION ALL
    SELECT 'history' AS part, 0 AS events
    FROM
    (
        SELECT start
        FROM rollup
        WHERE event_name = '' AND dimension = '' AND step = 1 AND start <= {week_ago_start:DateTime('UTC')}
        LIMIT 1
    )
)

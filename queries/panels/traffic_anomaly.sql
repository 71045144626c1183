-- title: This hour against last week
-- description: Page views of the current hour so far, compared with the same part of that hour a week ago
-- unit: views
-- chart: number
-- refresh: 5s
SELECT
    ifNull((
        SELECT sum(views)
        FROM country_minutes
        WHERE minute >= {hour_start:DateTime('UTC')} AND minute < {range_end:DateTime('UTC')}
    ), 0) AS current_views,
    ifNull((
        -- Includes the current minute, like the sum above.
        SELECT sum(views)
        FROM country_minutes
        WHERE minute >= {week_ago_start:DateTime('UTC')} AND minute <= {week_ago_now:DateTime('UTC')}
    ), 0) AS previous_views,
    if(previous_views = 0, NULL, round(100 * (toInt64(current_views) - toInt64(previous_views)) / previous_views, 2))
        AS change_pct

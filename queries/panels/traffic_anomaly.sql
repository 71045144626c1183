-- title: This hour against last week
-- description: Page views of this hour so far, against the same part of the same hour a week ago
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
        -- Up to the minute that is running now, so that both sides are equally long to the minute.
        SELECT sum(views)
        FROM country_minutes
        WHERE minute >= {week_ago_start:DateTime('UTC')} AND minute <= {week_ago_now:DateTime('UTC')}
    ), 0) AS previous_views,
    if(previous_views = 0, NULL, round(100 * (toInt64(current_views) - toInt64(previous_views)) / previous_views, 2))
        AS change_pct

-- title: Page views this hour, week over week
-- description: Page views of the current hour so far, compared with the same part of that hour a week ago
-- unit: views
-- chart: number
-- order: 30
-- size: small
-- events: page_view
-- span: hour_start "this hour"
-- refresh: 5s
-- figure: first(current_views) "page views so far" versus first(previous_views) "at the same time last week"
-- column: current_views measure views "This hour"
-- column: previous_views measure views "A week ago"
-- column: change_pct detail % "Change"
SELECT
    ifNull((
        SELECT sum(views)
        FROM country_minutes
        WHERE minute >= {hour_start:DateTime('UTC')} AND minute < {range_end:DateTime('UTC')}
    ), 0) AS current_views,
    -- NULL if the history does not go back to the start of that hour: part of an hour would be a wrong comparison.
    if(
        (SELECT minute FROM minutes WHERE minute <= {week_ago_start:DateTime('UTC')} LIMIT 1) IS NULL,
        NULL,
        ifNull((
            -- Includes the current minute, like the sum above.
            SELECT sum(views)
            FROM country_minutes
            WHERE minute >= {week_ago_start:DateTime('UTC')} AND minute <= {week_ago_now:DateTime('UTC')}
        ), 0)
    ) AS previous_views,
    if(previous_views = 0, NULL, round(100 * (toInt64(current_views) - toInt64(previous_views)) / previous_views, 2))
        AS change_pct

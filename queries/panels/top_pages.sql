-- title: Top pages
-- description: Pages by views, with visitors and average duration
-- unit: views
-- chart: table
-- order: 80
-- size: large
-- events: page_view
-- refresh: 10s
-- Distinct counts are exact up to 100 and estimated above (docs/decisions/0003-rollups.md).
-- distinct: visitors
-- parameter: limit UInt16 = 20 from 1 to 100: maximum number of pages
-- column: page_url dimension "Page"
-- column: views measure "Views"
-- column: visitors measure visitors "Visitors"
-- column: avg_duration_ms measure ms "Average duration"
WITH rollup_rows AS
(
    -- The fewest rows that cover the range: 6 hours in the middle, then hours, quarter hours and minutes towards its ends.
    SELECT page_url, views, visitors, few_visitors, duration_ms, duration_views
    FROM page_steps
    WHERE
        (step = 360 AND start >= {six_hours_from:DateTime('UTC')} AND start < {six_hours_to:DateTime('UTC')})
        OR (step = 60 AND start >= {hours_from:DateTime('UTC')} AND start < {six_hours_from:DateTime('UTC')})
        OR (step = 60 AND start >= {six_hours_to:DateTime('UTC')} AND start < {hours_to:DateTime('UTC')})
        OR (step = 15 AND start >= {quarters_from:DateTime('UTC')} AND start < {hours_from:DateTime('UTC')})
        OR (step = 15 AND start >= {hours_to:DateTime('UTC')} AND start < {quarters_to:DateTime('UTC')})
    UNION ALL
    SELECT page_url, views, visitors, few_visitors, duration_ms, duration_views
    FROM page_minutes
    WHERE
        (minute >= {range_start:DateTime('UTC')} AND minute < {quarters_from:DateTime('UTC')})
        OR (minute >= {quarters_to:DateTime('UTC')} AND minute < {range_end:DateTime('UTC')})
),
per_page AS
(
    SELECT
        page_url,
        sum(rollup_rows.views) AS views,
        ifNull(uniqUpToMerge(100)(few_visitors), 0) AS capped_count,
        ifNull(groupBitmapMerge(rollup_rows.visitors), 0) AS set_bits,
        sum(duration_ms) AS total_duration_ms,
        sum(duration_views) AS timed_views
    FROM rollup_rows
    GROUP BY page_url
)
SELECT
    page_url,
    views,
    {{distinct_count(capped_count, set_bits)}} AS visitors,
    -- Only views with a duration count. NULL if there are none.
    if(timed_views = 0, NULL, total_duration_ms / timed_views) AS avg_duration_ms
FROM per_page
ORDER BY views DESC, page_url
LIMIT {limit:UInt16}

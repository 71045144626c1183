-- title: Live visitors
-- description: Distinct visitors who viewed a page in the last minutes
-- unit: visitors
-- chart: number
-- order: 20
-- size: small
-- events: page_view
-- span: window_minutes "last {window_minutes} minutes"
-- refresh: 5s
-- Distinct counts are exact up to 100 and estimated above (docs/decisions/0003-rollups.md).
-- distinct: unique_visitors
-- parameter: window_minutes UInt16 = 5 from 1 to 60: length of the window, in minutes
-- figure: first(unique_visitors) "visitors on pages in the last {window_minutes} minutes"
-- figure: first(total_views) "page views"
-- figure: first(avg_duration_ms) ms "average view"
-- column: unique_visitors measure visitors "Visitors"
-- column: total_views measure views "Page views"
-- column: avg_duration_ms measure ms "Average duration"
SELECT
    {{distinct_count(capped_count, set_bits)}} AS unique_visitors,
    views AS total_views,
    -- Only views with a duration count. NULL if there are none.
    if(timed_views = 0, NULL, total_duration_ms / timed_views) AS avg_duration_ms
FROM
(
    SELECT
        ifNull(uniqUpToMerge(100)(few_visitors), 0) AS capped_count,
        ifNull(groupBitmapMerge(visitors), 0) AS set_bits,
        sum(country_minutes.views) AS views,
        sum(duration_ms) AS total_duration_ms,
        sum(duration_views) AS timed_views
    FROM country_minutes
    WHERE minute >= {range_end:DateTime('UTC')} - toIntervalMinute({window_minutes:UInt16})
      AND minute < {range_end:DateTime('UTC')}
)

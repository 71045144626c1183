-- title: Live visitors
-- description: People viewing pages right now
-- unit: visitors
-- chart: number
-- refresh: 5s
-- Distinct counts are exact up to 100 and estimated above (docs/decisions/0003-rollups.md).
-- distinct: unique_visitors
-- parameter: window_minutes UInt16 = 5 from 1 to 60: length of the window, in minutes
SELECT
    {{distinct_count(capped_count, set_bits)}} AS unique_visitors,
    views AS total_views,
    -- Only views with a duration count.
    if(timed_views = 0, 0, total_duration_ms / timed_views) AS avg_duration_ms
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

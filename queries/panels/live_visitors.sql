-- title: Live visitors
-- description: How many people look at pages now
-- unit: visitors
-- chart: number
-- refresh: 5s
-- distinct: unique_visitors
-- parameter: window_minutes UInt16 = 5 from 1 to 60: how many minutes back counts as now
SELECT
    ifNull(uniqCombined64Merge(16)(visitors), 0) AS unique_visitors,
    sum(views) AS total_views,
    -- Over the views that say how long they lasted.
    if(sum(duration_views) = 0, 0, sum(duration_ms) / sum(duration_views)) AS avg_duration_ms
FROM country_minutes
WHERE minute >= {range_end:DateTime('UTC')} - toIntervalMinute({window_minutes:UInt16})
  AND minute < {range_end:DateTime('UTC')}

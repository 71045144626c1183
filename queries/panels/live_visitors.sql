-- title: Live visitors
-- description: How many people look at pages now
-- unit: visitors
-- chart: number
-- refresh: 5s
-- The number of distinct people follows from the bits that they set: see queries/schema/0002_minutes.sql.
-- distinct: unique_visitors
-- parameter: window_minutes UInt16 = 5 from 1 to 60: how many minutes back counts as now
SELECT
    toUInt64(round(-2097152 * log(1 - least(ifNull(groupBitmapMerge(visitors), 0), 2097151) / 2097152))) AS unique_visitors,
    sum(views) AS total_views,
    -- Over the views that say how long they lasted.
    if(sum(duration_views) = 0, 0, sum(duration_ms) / sum(duration_views)) AS avg_duration_ms
FROM country_minutes
WHERE minute >= {range_end:DateTime('UTC')} - toIntervalMinute({window_minutes:UInt16})
  AND minute < {range_end:DateTime('UTC')}

-- title: Traffic by country
-- description: Which countries the page views come from
-- unit: views
-- chart: line
-- refresh: 10s
-- distinct: visitors
WITH
per_bucket AS
(
    SELECT
        roundDown(toUnixTimestamp(minute), {buckets:Array(UInt32)}) AS start,
        country_code AS country,
        sum(country_minutes.views) AS views,
        uniqCombined64Merge(16)(country_minutes.visitors) AS visitors
    FROM country_minutes
    WHERE minute >= {range_start:DateTime('UTC')} AND minute < {range_end:DateTime('UTC')}
    GROUP BY start, country
),
-- A country of any bucket is in every bucket, so that its line has no holes.
grid AS
(
    SELECT bucket, country
    FROM (SELECT arrayJoin({buckets:Array(UInt32)}) AS bucket) AS all_buckets
    CROSS JOIN (SELECT DISTINCT country FROM per_bucket) AS countries
)
SELECT
    toDateTime(grid.bucket, 'UTC') AS bucket_start,
    toString(grid.country) AS country_code,
    per_bucket.views AS views,
    ifNull(per_bucket.visitors, 0) AS visitors,
    grid.bucket = {buckets:Array(UInt32)}[-1] AS incomplete
FROM grid
LEFT JOIN per_bucket ON per_bucket.start = grid.bucket AND per_bucket.country = grid.country
ORDER BY grid.bucket, country_code

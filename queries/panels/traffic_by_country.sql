-- title: Page views by country
-- description: Page views over time, by country of the visitor
-- unit: views
-- chart: stacked
-- order: 70
-- size: medium
-- top: 5
-- events: page_view
-- refresh: 10s
-- Distinct counts are exact up to 100 and estimated above (docs/decisions/0003-rollups.md).
-- distinct: visitors
-- column: bucket_start time "Time"
-- The unit says that the values are ISO 3166-1 codes, for which a dashboard can print names.
-- column: country_code dimension country "Country"
-- column: views measure "Page views"
-- column: visitors detail visitors "Visitors"
-- column: incomplete hidden
WITH
per_bucket AS
(
    SELECT
        roundDown(toUnixTimestamp(row_start), {buckets:Array(UInt32)}) AS bucket,
        country_code AS country,
        sum(rollup_rows.views) AS views,
        ifNull(uniqUpToMerge(100)(few_visitors), 0) AS capped_count,
        ifNull(groupBitmapMerge(rollup_rows.visitors), 0) AS set_bits,
        {{distinct_count(capped_count, set_bits)}} AS visitors
    FROM
    (
        SELECT start AS row_start, country_code, views, visitors, few_visitors
        FROM country_steps
        WHERE step = {step:UInt16} AND start >= {range_start:DateTime('UTC')} AND start < {steps_end:DateTime('UTC')}
        UNION ALL
        -- The current bucket, and all buckets if they are narrower than the rollup's levels.
        SELECT minute AS row_start, country_code, views, visitors, few_visitors
        FROM country_minutes
        WHERE minute >= {steps_end:DateTime('UTC')} AND minute < {range_end:DateTime('UTC')}
    ) AS rollup_rows
    GROUP BY bucket, country
),
-- Every country has a row in every bucket, so that its line has no gaps.
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
LEFT JOIN per_bucket ON per_bucket.bucket = grid.bucket AND per_bucket.country = grid.country
ORDER BY grid.bucket, country_code

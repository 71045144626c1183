-- title: Page views by country
-- description: Page views over time, by country of the visitor
-- unit: views
-- chart: stacked
-- order: 70
-- size: medium
-- top: 5
-- events: page_view
-- refresh: 10s
-- Distinct counts are exact up to 100 and estimated above (docs/decisions/0009-distinct-counts.md).
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
        bucket,
        value AS country,
        sum(events) AS views,
        {{distinct_count(rows.visitors)}} AS visitors
    FROM {{series('page_view', 'country_code')}} AS rows
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
    grid.country AS country_code,
    per_bucket.views AS views,
    per_bucket.visitors AS visitors,
    grid.bucket = {running_bucket:UInt32} AS incomplete
FROM grid
LEFT JOIN per_bucket ON per_bucket.bucket = grid.bucket AND per_bucket.country = grid.country
ORDER BY grid.bucket, country_code

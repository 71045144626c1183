-- title: Page views by country
-- description: Page views over time, by country of the visitor
-- unit: views
-- chart: stacked
-- order: 70
-- size: medium
-- top: 5
-- events: page_view
-- refresh: 10s
-- Distinct counts are exact up to 100 and estimated above (docs/decisions/0010-distinct-counts.md).
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
per_country AS
(
    SELECT country, groupArray(bucket) AS starts, groupArray(views) AS all_views, groupArray(visitors) AS all_visitors
    FROM per_bucket
    GROUP BY country
)
-- Every country has a row in every bucket, so that its line has no gaps: element 0 of an array is 0.
SELECT
    toDateTime(bucket, 'UTC') AS bucket_start,
    country AS country_code,
    all_views[indexOf(starts, bucket)] AS views,
    all_visitors[indexOf(starts, bucket)] AS visitors,
    bucket = {running_bucket:UInt32} AS incomplete
FROM per_country
ARRAY JOIN {buckets:Array(UInt32)} AS bucket
ORDER BY bucket, country_code

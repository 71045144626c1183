-- title: Top pages
-- description: Pages by views, with visitors and average duration
-- unit: views
-- chart: table
-- order: 80
-- size: large
-- events: page_view
-- refresh: 10s
-- Distinct counts are exact up to 100 and estimated above (docs/decisions/0009-distinct-counts.md).
-- distinct: visitors
-- parameter: limit UInt16 = 20 from 1 to 100: maximum number of pages
-- column: page_url dimension "Page"
-- column: views measure "Views"
-- column: visitors measure visitors "Visitors"
-- column: avg_duration_ms measure ms "Average duration"
SELECT
    value AS page_url,
    sum(events) AS views,
    {{distinct_count(rows.visitors)}} AS visitors,
    -- Only views with a duration count. NULL if there are none.
    if(sum(measure_count) = 0, NULL, sum(measure_sum) / sum(measure_count)) AS avg_duration_ms
FROM {{total('page_view', 'page_url')}} AS rows
GROUP BY page_url
ORDER BY views DESC, page_url
LIMIT {limit:UInt16}

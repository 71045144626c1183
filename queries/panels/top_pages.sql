-- title: Top pages
-- description: Which pages are looked at, by how many people and for how long
-- unit: views
-- chart: table
-- refresh: 10s
-- distinct: visitors
-- parameter: limit UInt16 = 20 from 1 to 100: how many pages at most
SELECT
    page_url,
    sum(page_minutes.views) AS views,
    ifNull(uniqCombined64Merge(16)(page_minutes.visitors), 0) AS visitors,
    if(sum(duration_views) = 0, 0, sum(duration_ms) / sum(duration_views)) AS avg_duration_ms
FROM page_minutes
WHERE minute >= {range_start:DateTime('UTC')} AND minute < {range_end:DateTime('UTC')}
GROUP BY page_url
ORDER BY views DESC, page_url
LIMIT {limit:UInt16}

-- Merges rows of `page_minutes` into rows of 15, 60 and 360 minutes. `source` is `page_minutes`, or a part of it under
-- that name.
SELECT
    arrayJoin([15, 60, 360])::UInt16 AS step,
    toDateTime(intDiv(toUnixTimestamp(minute), step * 60) * step * 60, 'UTC') AS start,
    page_url,
    sum(page_minutes.views) AS views,
    groupBitmapMergeState(page_minutes.visitors) AS visitors,
    uniqUpToMergeState(100)(page_minutes.few_visitors) AS few_visitors,
    sum(page_minutes.duration_ms) AS duration_ms,
    sum(page_minutes.duration_views) AS duration_views
FROM {{source}}
GROUP BY step, start, page_url

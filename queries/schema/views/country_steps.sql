-- Merges rows of `country_minutes` into rows of 15 and 60 minutes. `source` is `country_minutes`, or a part of it under
-- that name.
SELECT
    arrayJoin([15, 60])::UInt16 AS step,
    toDateTime(intDiv(toUnixTimestamp(minute), step * 60) * step * 60, 'UTC') AS start,
    country_code,
    sum(country_minutes.views) AS views,
    groupBitmapMergeState(country_minutes.visitors) AS visitors,
    uniqUpToMergeState(100)(country_minutes.few_visitors) AS few_visitors
FROM {{source}}
GROUP BY step, start, country_code

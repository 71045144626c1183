-- Merges rows of `feature_minutes` into rows of 15, 60 and 360 minutes. `source` is `feature_minutes`, or a part of it
-- under that name.
SELECT
    arrayJoin([15, 60, 360])::UInt16 AS step,
    toDateTime(intDiv(toUnixTimestamp(minute), step * 60) * step * 60, 'UTC') AS start,
    feature,
    sum(feature_minutes.events) AS events,
    groupBitmapMergeState(feature_minutes.users) AS users,
    uniqUpToMergeState(100)(feature_minutes.few_users) AS few_users
FROM {{source}}
GROUP BY step, start, feature

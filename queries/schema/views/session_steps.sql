-- Merges rows of `minutes` into rows of 15 and 60 minutes. `source` is `minutes`, or a part of it under that name.
SELECT
    arrayJoin([15, 60])::UInt16 AS step,
    toDateTime(intDiv(toUnixTimestamp(minute), step * 60) * step * 60, 'UTC') AS start,
    -- Every rollup counts the events behind a row, so that it can be compared with the events.
    sum(minutes.events) AS events,
    groupBitmapMergeState(sessions) AS sessions,
    uniqUpToMergeState(100)(few_sessions) AS few_sessions
FROM {{source}}
GROUP BY step, start

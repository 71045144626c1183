-- Merges rows by minute into rows of 15, 60, 360 and 1440 minutes: 15 for a span's quarter hours, the longer ones for its
-- days. The bounds let ClickHouse skip partitions and granules.
SELECT
    project,
    event_name,
    dimension,
    level,
    toDateTime(intDiv(toUnixTimestamp(start), level * 60) * level * 60, 'UTC') AS level_start,
    value,
    sum(events),
    groupBitmapMergeState(visitors),
    uniqUpToMergeState(100)(few_visitors),
    groupBitmapMergeState(sampled_visitors),
    groupBitmapMergeState(sessions),
    uniqUpToMergeState(100)(few_sessions),
    groupBitmapMergeState(sampled_sessions),
    sum(measure_sum),
    sum(measure_count)
FROM
(
    SELECT *
    FROM {{target}}
    WHERE step = 1
      AND start >= toDateTime({days_start:UInt32}, 'UTC')
      AND start < toDateTime({days_end:UInt32}, 'UTC')
      AND intDiv(toUnixTimestamp(start), 86400) IN {days:Array(UInt32)}
)
ARRAY JOIN [15, 60, 360, 1440]::Array(UInt16) AS level
WHERE level > 15 OR intDiv(toUnixTimestamp(start), 900) IN {quarter_hours:Array(UInt32)}
GROUP BY project, event_name, dimension, level, level_start, value

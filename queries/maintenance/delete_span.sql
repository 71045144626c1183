-- Deletes the rows of a span from the rollup: levels 1 and 15 of its quarter hours, the longer levels of its days. The
-- bounds let ClickHouse skip granules.
DELETE FROM {{target}}
WHERE start >= toDateTime({days_start:UInt32}, 'UTC')
  AND start < toDateTime({days_end:UInt32}, 'UTC')
  AND (step > 15 OR intDiv(toUnixTimestamp(start), 900) IN {quarter_hours:Array(UInt32)})
  AND intDiv(toUnixTimestamp(start), 86400) IN {days:Array(UInt32)}

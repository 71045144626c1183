-- The rows by minute of a span's windows: what its rows at longer levels are computed from. The bounds let ClickHouse skip
-- granules.
SELECT *
FROM {{minutes_table}}
WHERE minute >= toDateTime({start:UInt32}, 'UTC')
  AND minute < toDateTime({end:UInt32}, 'UTC')
  AND intDiv(toUnixTimestamp(minute), 21600) IN {windows:Array(UInt32)}

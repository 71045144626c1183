-- Deletes a rollup's rows at longer levels of a span's windows. The bounds let ClickHouse skip granules.
DELETE FROM {{table}}
WHERE start >= toDateTime({start:UInt32}, 'UTC')
  AND start < toDateTime({end:UInt32}, 'UTC')
  AND intDiv(toUnixTimestamp(start), 21600) IN {windows:Array(UInt32)}

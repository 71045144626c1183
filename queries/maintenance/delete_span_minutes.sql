-- Deletes a rollup's rows by minute of a span's quarter hours. The bounds let ClickHouse skip granules.
DELETE FROM {{table}}
WHERE minute >= toDateTime({start:UInt32}, 'UTC')
  AND minute < toDateTime({end:UInt32}, 'UTC')
  AND intDiv(toUnixTimestamp(minute), 900) IN {quarter_hours:Array(UInt32)}

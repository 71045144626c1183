-- The events of a span's quarter hours: what its rows by minute are computed from. The bounds on date and timestamp let
-- ClickHouse skip partitions and granules.
SELECT *
FROM events
WHERE date >= toDate(toDateTime({start:UInt32}, 'UTC'))
  AND date <= toDate(toDateTime({end:UInt32} - 1, 'UTC'))
  AND timestamp >= toDateTime({start:UInt32}, 'UTC')
  AND timestamp < toDateTime({end:UInt32}, 'UTC')
  AND intDiv(toUnixTimestamp(timestamp), 900) IN {quarter_hours:Array(UInt32)}

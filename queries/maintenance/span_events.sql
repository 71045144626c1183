-- The events of a span's quarter hours: what its rows by minute are computed from. The bounds on date and timestamp let
-- ClickHouse skip partitions and granules.
--
-- The timestamp is compared with a DateTime64: for `timestamp < DateTime`, ClickHouse's index analysis looks for
-- `timestamp <= DateTime - 1 s` and skips granules that lie in the last second.
SELECT *
FROM {{events}}
WHERE date >= toDate(toDateTime({start:UInt32}, 'UTC'))
  AND date <= toDate(toDateTime({end:UInt32} - 1, 'UTC'))
  AND timestamp >= toDateTime64({start:UInt32}, 3, 'UTC')
  AND timestamp < toDateTime64({end:UInt32}, 3, 'UTC')
  AND intDiv(toUnixTimestamp(timestamp), 900) IN {quarter_hours:Array(UInt32)}

-- The quarter hours (Unix time divided by 900) in which the batches have events.
SELECT DISTINCT toUInt32(intDiv(toUnixTimestamp(timestamp), 900)) AS quarter_hour
FROM events
WHERE batch IN {batches:Array(UUID)}

-- Whether any event is stored: one row if so. Stops at the first row it reads.
SELECT toUInt8(1)
FROM events
LIMIT 1

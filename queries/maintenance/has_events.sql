-- Is any event stored? One row if so. Stops at the first row it reads.
SELECT toUInt8(1)
FROM events
LIMIT 1

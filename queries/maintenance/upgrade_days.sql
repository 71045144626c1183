-- The days with events that an upgrade has to copy: Unix time in days, and the number of events.
SELECT toUInt32(date) AS day, count() AS events
FROM events
GROUP BY day
ORDER BY day

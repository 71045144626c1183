-- How many events each day has (Unix time divided by 86400), from a day on.
SELECT
    toUInt32(date) AS day,
    count() AS events
FROM events
WHERE date >= toDate({first_day:UInt32})
GROUP BY day
ORDER BY day

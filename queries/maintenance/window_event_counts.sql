-- How many events each window of six hours (Unix time divided by 21600) has.
SELECT
    toUInt32(intDiv(toUnixTimestamp(timestamp), 21600)) AS window,
    count() AS events
FROM events
GROUP BY window
ORDER BY window

-- The most frequent events of a person, each with the number of all events.
SELECT
    toString(events.event_name) AS event_name,
    count() AS count,
    toUnixTimestamp64Milli(max(events.timestamp)) AS last_time,
    sum(count()) OVER () AS total
FROM events
WHERE events.project = {{project}} AND {{is_event}} AND {{bounds}}
GROUP BY events.event_name
ORDER BY count DESC, event_name
LIMIT 20

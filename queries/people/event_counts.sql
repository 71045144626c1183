-- The most frequent events of a person, each with the number of all events.
SELECT
    CAST(events.event_name, 'String') AS event_name,
    count() AS count,
    toUnixTimestamp64Milli(max(events.timestamp)) AS last_time,
    sum(count()) OVER () AS total
FROM events
WHERE events.project = {{project}} AND {{is_event}} AND {{bounds}}
GROUP BY events.event_name
ORDER BY count DESC, event_name
LIMIT 20

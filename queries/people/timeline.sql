-- The events of a person, newest first.
SELECT
    toString(events.event_id) AS id,
    CAST(events.event_name, 'String') AS event_name,
    toUnixTimestamp64Milli(events.timestamp) AS time,
    events.session_id AS session_id,
    ifNull(events.user_id, '') AS user_id,
    CAST(events.device_type, 'String') AS device_type,
    CAST(toString(events.country_code), 'String') AS country_code,
    events.properties AS properties
FROM events
WHERE events.project = {{project}} AND {{is_event}} AND {{bounds}} AND {{filter}} AND {{after_cursor}}
ORDER BY events.timestamp DESC, events.event_id DESC
LIMIT {{limit}}

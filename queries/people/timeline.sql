-- The events of a person, newest first.
SELECT
    toString(events.event_id) AS id,
    toString(events.event_name) AS event_name,
    toUnixTimestamp64Milli(events.timestamp) AS time,
    events.session_id AS session_id,
    ifNull(events.user_id, '') AS user_id,
    toString(events.device_type) AS device_type,
    toString(events.country_code) AS country_code,
    events.properties AS properties
FROM events
WHERE events.project = {{project}} AND {{is_event}} AND {{bounds}} AND {{filter}} AND {{after_cursor}}
ORDER BY events.timestamp DESC, events.event_id DESC
LIMIT {{limit}}

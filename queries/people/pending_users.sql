-- The first user of each session in the events that were not added yet.
SELECT xxh3(events.session_id) AS session, min((events.timestamp, assumeNotNull(events.user_id))) AS first_user
FROM events
WHERE events.project = {{project}} AND {{pending}} AND events.user_id IS NOT NULL AND events.session_id != ''
GROUP BY session

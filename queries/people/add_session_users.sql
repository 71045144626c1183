-- The first user of each session in the selected events.
INSERT INTO session_users (project, session, session_id, first_user, last_seen)
SELECT
    project,
    xxh3(session_id) AS session,
    any(session_id),
    min((timestamp, assumeNotNull(user_id))),
    toDateTime(max(timestamp))
FROM events
WHERE {{selected}} AND user_id IS NOT NULL AND session_id != ''
GROUP BY project, session

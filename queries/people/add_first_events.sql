-- The first time of each event for each person in the selected events.
INSERT INTO first_events (project, event_name, person, is_user, first_time)
SELECT
    project,
    event_name,
    xxh3(ifNull(user_id, session_id)) AS person,
    isNotNull(user_id) AS is_user,
    min(timestamp)
FROM events
WHERE {{selected}} AND ifNull(user_id, session_id) != ''
GROUP BY project, event_name, person, is_user

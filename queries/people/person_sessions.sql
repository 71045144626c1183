-- The last linked sessions of a user, each with the number of all.
SELECT CAST(session_id, 'String') AS session_id, count() OVER () AS total
FROM {{linked_sessions}}
ORDER BY last_time DESC, session_id
LIMIT 100

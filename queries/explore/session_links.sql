-- The sessions of a project that are known to belong to a user, and that user: the first that was seen with the session.
SELECT session, linked AS user_id
FROM (
    SELECT xxh3(session_id) AS session, argMin(assumeNotNull(user_id), (timestamp, assumeNotNull(user_id))) AS linked
    FROM events
    WHERE events.project = {project:String} AND isNotNull(user_id) AND session_id != ''
    GROUP BY session
)

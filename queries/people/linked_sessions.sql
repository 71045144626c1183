-- The sessions whose first user is this one, each with the time of its last event with a user. A session that had this user in
-- any row is a candidate: the index finds its row.
(
    SELECT session_id, last_time
    FROM
    (
        SELECT any(session_id) AS session_id, min(first_user) AS first, max(last_seen) AS last_time
        FROM
        (
            SELECT session, session_id, first_user, last_seen
            FROM session_users
            WHERE project = {{project}}
              AND session IN
              (
                  SELECT session FROM session_users WHERE project = {{project}} AND tupleElement(first_user, 2) = {{id}}
                  UNION ALL
                  SELECT xxh3(events.session_id)
                  FROM events
                  WHERE events.project = {{project}} AND {{pending}} AND events.user_id = {{id}}
              )
            UNION ALL
            SELECT
                xxh3(events.session_id) AS session,
                events.session_id AS session_id,
                (events.timestamp, assumeNotNull(events.user_id)) AS first_user,
                toDateTime(events.timestamp) AS last_seen
            FROM events
            WHERE events.project = {{project}} AND {{pending}} AND events.user_id IS NOT NULL AND events.session_id != ''
        )
        GROUP BY session
    )
    WHERE tupleElement(first, 2) = {{id}}
)

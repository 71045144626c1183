-- Sessions that had no event with a user for as many days.
DELETE FROM session_users
WHERE (project, session) IN
(
    SELECT project, session
    FROM session_users
    WHERE (project, session) IN (SELECT project, session FROM session_users WHERE last_seen < now() - toIntervalDay({days:UInt64}))
    GROUP BY project, session
    HAVING max(session_users.last_seen) < now() - toIntervalDay({days:UInt64})
)

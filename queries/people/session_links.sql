-- The first user of every session that has one, exactly as of now: what `session_users` has, and the events that were not
-- added to it yet. Only the rows of sessions in these events are merged with them: grouping all is seven times slower than
-- FINAL.
--
-- Join it with ANY: a session whose first event lands while the statement runs may have two rows.
(
    SELECT session, tupleElement(first_user, 2) AS user_id
    FROM {{first_users}}
    WHERE project = {{project}} AND session NOT IN (SELECT session FROM ({{pending_users}}))
    UNION ALL
    SELECT session, tupleElement(min(first_user), 2) AS user_id
    FROM
    (
        SELECT session, first_user
        FROM session_users
        WHERE project = {{project}} AND session IN (SELECT session FROM ({{pending_users}}))
        UNION ALL
        SELECT session, first_user FROM ({{pending_users}})
    )
    GROUP BY session
)

-- The first user of every session that has one and whose events are among those that {{sessions}} selects, exactly as of now.
-- The tables are large, the sessions of a query are few: only their rows are grouped.
(
    SELECT session, tupleElement(min(first_user), 2) AS user_id
    FROM
    (
        SELECT session, first_user FROM session_users WHERE project = {{project}} AND session IN ({{sessions}})
        UNION ALL
        SELECT session, first_user FROM ({{pending_users}})
    )
    GROUP BY session
)

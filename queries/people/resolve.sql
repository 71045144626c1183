-- Whether a user has this id, and the first user of the session with this id; empty without one.
SELECT
    -- Results of subqueries are nullable.
    toBool(ifNull((SELECT count() FROM people WHERE project = {{project}} AND id = {{id}} AND is_user)
        + (SELECT count() FROM events WHERE events.project = {{project}} AND {{pending}} AND events.user_id = {{id}}) > 0, false)) AS is_user,
    ifNull((
        SELECT tupleElement(min(first_user), 2)
        FROM
        (
            SELECT first_user FROM session_users WHERE project = {{project}} AND session = xxh3({{id}})
            UNION ALL
            SELECT (events.timestamp, assumeNotNull(events.user_id)) AS first_user
            FROM events
            WHERE events.project = {{project}}
              AND {{pending}}
              AND events.session_id = {{id}}
              AND events.session_id != ''
              AND events.user_id IS NOT NULL
        )
    ), '') AS linked_user

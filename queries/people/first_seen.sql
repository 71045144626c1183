-- When every visitor was seen for the first time.
(
    SELECT if(is_user OR links.user_id = '', person, xxh3(links.user_id)) AS visitor, min(first_time) AS first_seen
    FROM
    (
        SELECT xxh3(id) AS person, is_user, people.first_seen AS first_time
        FROM people
        WHERE project = {{project}}
        UNION ALL
        SELECT
            xxh3(ifNull(events.user_id, events.session_id)) AS person,
            isNotNull(events.user_id) AS is_user,
            events.timestamp AS first_time
        FROM events
        WHERE events.project = {{project}} AND {{pending}} AND ifNull(events.user_id, events.session_id) != ''
    ) AS people
    ANY LEFT JOIN {{session_links}} AS links ON links.session = people.person
    GROUP BY visitor
)

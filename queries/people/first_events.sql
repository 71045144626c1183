-- When every visitor did an event for the first time.
(
    SELECT if(is_user OR links.user_id = '', person, xxh3(links.user_id)) AS visitor, min(people.first_time) AS first_time
    FROM
    (
        SELECT person, is_user, first_time
        FROM first_events
        WHERE project = {{project}} AND event_name = {{event_name}}
        UNION ALL
        SELECT
            xxh3(ifNull(events.user_id, events.session_id)) AS person,
            isNotNull(events.user_id) AS is_user,
            events.timestamp AS first_time
        FROM events
        WHERE events.project = {{project}}
          AND events.event_name = {{event_name}}
          AND {{pending}}
          AND ifNull(events.user_id, events.session_id) != ''
    ) AS people
    ANY LEFT JOIN {{session_links}} AS links ON links.session = people.person
    GROUP BY visitor
)

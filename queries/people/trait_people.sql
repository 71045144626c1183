-- Ids of people whose trait has one of the values now. Whoever had it once is a candidate.
(
    SELECT id, is_user
    FROM
    (
        SELECT id, is_user, latest
        FROM traits
        WHERE project = {{project}}
          AND name = {{trait_name}}
          AND (id, is_user) IN
          (
              SELECT id, is_user
              FROM traits
              WHERE project = {{project}} AND name = {{trait_name}} AND tupleElement(latest, 2) IN {{trait_values}}
          )
        UNION ALL
        SELECT
            ifNull(events.user_id, events.session_id) AS id,
            isNotNull(events.user_id) AS is_user,
            (events.timestamp, JSONExtractRaw(events.properties, {{trait_name}})) AS latest
        FROM events
        WHERE events.project = {{project}}
          AND {{pending}}
          AND events.event_name = 'identify'
          AND JSONHas(events.properties, {{trait_name}})
    )
    GROUP BY id, is_user
    HAVING tupleElement(max(latest), 2) IN {{trait_values}}
)

-- The events of people who were not seen for as many days.
DELETE FROM first_events
WHERE (project, person, is_user) IN
(
    SELECT project, xxh3(id), is_user
    FROM {{all_people}} AS people
    WHERE (project, id, is_user) IN (SELECT project, id, is_user FROM {{all_people}} WHERE last_seen < now() - toIntervalDay({days:UInt64}))
    GROUP BY project, id, is_user
    HAVING max(people.last_seen) < now() - toIntervalDay({days:UInt64})
)

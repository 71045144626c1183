-- People, those first who were seen last. Events that were not added yet count: their people are merged with the stored rows.
SELECT
    id,
    is_user,
    toUnixTimestamp64Milli(min(all_people.first_seen)) AS first_seen,
    toUnixTimestamp64Milli(max(all_people.last_seen)) AS last_seen,
    tupleElement(min(all_people.first_country), 2) AS first_country,
    tupleElement(max(all_people.last_country), 2) AS last_country,
    tupleElement(min(all_people.first_device), 2) AS first_device,
    tupleElement(max(all_people.last_device), 2) AS last_device
FROM
(
    SELECT people.* EXCEPT project
    FROM people
    WHERE project = {{project}} AND {{selected_people}}
    UNION ALL
    SELECT
        ifNull(events.user_id, events.session_id) AS id,
        isNotNull(events.user_id) AS is_user,
        events.timestamp AS first_seen,
        events.timestamp AS last_seen,
        if(events.country_code IN ('', 'ZZ'), (toDateTime64('2299-12-31', 3, 'UTC'), ''), (events.timestamp, toString(events.country_code)))
            AS first_country,
        if(events.country_code IN ('', 'ZZ'), (toDateTime64(0, 3, 'UTC'), ''), (events.timestamp, toString(events.country_code)))
            AS last_country,
        if(events.device_type IN ('', 'unknown'), (toDateTime64('2299-12-31', 3, 'UTC'), ''), (events.timestamp, toString(events.device_type)))
            AS first_device,
        if(events.device_type IN ('', 'unknown'), (toDateTime64(0, 3, 'UTC'), ''), (events.timestamp, toString(events.device_type)))
            AS last_device
    FROM events
    WHERE events.project = {{project}} AND {{pending}} AND id != '' AND {{selected_events}}
) AS all_people
-- A session with a user is that user.
WHERE is_user
   OR (
       xxh3(id) NOT IN
       (
           SELECT session
           FROM session_users
           WHERE project = {{project}}
             AND session IN (SELECT xxh3(id) FROM people WHERE project = {{project}} AND {{selected_people}} AND NOT is_user)
       )
       AND xxh3(id) NOT IN (SELECT session FROM ({{pending_users}}))
   )
GROUP BY id, is_user
HAVING {{after}}
ORDER BY last_seen DESC, id, is_user
LIMIT {{limit}}

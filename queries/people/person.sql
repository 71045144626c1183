-- What the tables of people and the events that were not added yet say about a person.
SELECT
    count() AS parts,
    toUnixTimestamp64Milli(min(rows.first_seen)) AS first_seen,
    toUnixTimestamp64Milli(max(rows.last_seen)) AS last_seen,
    tupleElement(min(rows.first_country), 2) AS first_country,
    tupleElement(max(rows.last_country), 2) AS last_country,
    tupleElement(min(rows.first_device), 2) AS first_device,
    tupleElement(max(rows.last_device), 2) AS last_device
FROM
(
    SELECT people.* EXCEPT (project, id, is_user) FROM people WHERE project = {{project}} AND {{is_person}}
    UNION ALL
    SELECT
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
    WHERE events.project = {{project}} AND {{pending}} AND {{is_event}}
) AS rows

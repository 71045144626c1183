-- The traits of a person.
SELECT name, tupleElement(max(latest), 2) AS value, toUnixTimestamp64Milli(tupleElement(max(latest), 1)) AS time
FROM
(
    SELECT toString(traits.name) AS name, latest FROM traits WHERE project = {{project}} AND {{is_person}}
    UNION ALL
    SELECT tupleElement(trait, 1) AS name, (events.timestamp, tupleElement(trait, 2)) AS latest
    FROM events
    ARRAY JOIN arraySlice(JSONExtractKeysAndValuesRaw(events.properties), 1, 100) AS trait
    WHERE events.project = {{project}}
      AND {{pending}}
      AND events.event_name = 'identify'
      AND {{is_event}}
      AND length(tupleElement(trait, 2)) <= 1024
)
GROUP BY name
ORDER BY name
LIMIT 100

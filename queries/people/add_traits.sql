-- The traits of the selected `identify` events: up to 100 properties of an event, each up to 1,024 bytes of JSON.
INSERT INTO traits (project, id, is_user, name, latest)
SELECT
    project,
    ifNull(user_id, session_id) AS id,
    isNotNull(user_id) AS is_user,
    tupleElement(trait, 1) AS name,
    max((timestamp, tupleElement(trait, 2)))
FROM events
ARRAY JOIN arraySlice(JSONExtractKeysAndValuesRaw(properties), 1, 100) AS trait
WHERE {{selected}}
  AND event_name = 'identify'
  AND id != ''
  AND length(tupleElement(trait, 2)) <= 1024
GROUP BY project, id, is_user, name

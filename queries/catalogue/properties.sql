-- The keys of the properties of the selected events: by project, event, day, key and type of the value.
--
-- Parsing JSON is what costs. Of an event that occurs n thousand times on a day of the selection, one in n is parsed and counts
-- for n (rounded down). Which ones follows from their place in the batch: the same whenever they are read.
WITH
    (
        SELECT (groupArray(id), groupArray(one_in))
        FROM
        (
            SELECT xxh3(events.project, events.event_name, events.date) AS id, toUInt64(intDiv(count(), {{exact_events}})) AS one_in
            FROM events
            WHERE {{selected}}
            GROUP BY events.project, events.event_name, events.date
            HAVING one_in > 1
        )
    ) AS sampled
SELECT
    e.project AS project,
    toString(e.event_name) AS event_name,
    toString(property.1) AS name,
    -- JSON's first byte tells the type.
    transform(
        substring(property.2, 1, 1), ['"', '{', '[', 't', 'f', 'n'], ['string', 'object', 'array', 'boolean', 'boolean', 'null'], 'number')
        AS type,
    e.date AS day,
    sum(e.one_in) AS events,
    max(e.one_in > 1) AS is_estimate,
    toString(min(e.timestamp)) AS first_seen,
    toString(max(e.timestamp)) AS last_seen
FROM
(
    SELECT
        events.project AS project,
        events.event_name AS event_name,
        events.date AS date,
        events.timestamp AS timestamp,
        events.properties AS properties,
        transform(xxh3(events.project, events.event_name, events.date), sampled.1, sampled.2, 1::UInt64) AS one_in
    FROM events
    PREWHERE {{selected}} AND xxh3(events.batch, events.batch_row) % one_in = 0
) AS e
ARRAY JOIN JSONExtractKeysAndValuesRaw(e.properties) AS property
GROUP BY project, event_name, name, type, day

-- The given ids of a batch's events that other batches have too. A copy of an event has the same time.
SELECT given_event_id
FROM {{all_events}} AS stored
WHERE stored.timestamp BETWEEN
        (SELECT min(timestamp) FROM {{events}} WHERE toUInt128(batch) = toUInt128({batch:UUID}) AND notEmpty(given_event_id))
        AND (SELECT max(timestamp) FROM {{events}} WHERE toUInt128(batch) = toUInt128({batch:UUID}) AND notEmpty(given_event_id))
    AND stored.batch != {batch:UUID}
    AND (stored.project, stored.given_event_id) IN
    (
        SELECT project, given_event_id
        FROM {{events}}
        WHERE toUInt128(batch) = toUInt128({batch:UUID}) AND notEmpty(given_event_id)
    )

-- What the rollup reads of each event. D0, D1, … are the values of the dimensions, '(other)' beyond the bound.
SELECT
    e.project AS project,
    e.event_name AS event_name,
    toDateTime(toStartOfMinute(e.timestamp), 'UTC') AS start,
    -- A visitor is the user if the event has one, else the session.
    ifNull(e.user_id, e.session_id) AS visitor,
    xxh3(ifNull(e.user_id, e.session_id)) AS visitor_hash,
    e.session_id AS session_id,
    xxh3(e.session_id) AS session_hash,
    {{measure}} AS measure,
    {{bounded_values}}
FROM
(
    {{events}}
) AS e

-- The sessions of a person, newest first: events without 30 minutes of silence between them.
SELECT
    toUnixTimestamp64Milli(min(timestamp)) AS start_time,
    toUnixTimestamp64Milli(max(timestamp)) AS end_time,
    count() AS count,
    toString(argMin(event_name, (timestamp, event_id))) AS first_event,
    toString(argMax(event_name, (timestamp, event_id))) AS last_event,
    argMinIf(page, (timestamp, event_id), page != '') AS first_page,
    argMaxIf(page, (timestamp, event_id), page != '') AS last_page,
    toString(argMinIf(device_type, (timestamp, event_id), device_type NOT IN ('', 'unknown'))) AS device,
    toString(argMinIf(country, (timestamp, event_id), country NOT IN ('', 'ZZ'))) AS country_code
FROM
(
    SELECT *, sum(is_first) OVER (ORDER BY timestamp, event_id ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS number
    FROM
    (
        SELECT
            *,
            toUnixTimestamp64Milli(timestamp)
                - toUnixTimestamp64Milli(lagInFrame(timestamp, 1, toDateTime64(0, 3, 'UTC')) OVER (
                    ORDER BY timestamp, event_id ROWS BETWEEN 1 PRECEDING AND CURRENT ROW)) >= 1800000 AS is_first
        FROM
        (
            SELECT
                events.timestamp AS timestamp,
                events.event_id AS event_id,
                events.event_name AS event_name,
                {{page}} AS page,
                events.device_type AS device_type,
                toString(events.country_code) AS country
            FROM events
            WHERE events.project = {{project}} AND {{is_event}} AND {{bounds}}
        )
    )
)
GROUP BY number
ORDER BY start_time DESC
LIMIT {{limit}}

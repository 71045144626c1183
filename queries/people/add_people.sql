-- The people of the selected events. Aggregates of times and argMin are faster than a minimum of tuples; the tuples
-- are made from them. An absent first country or device has a time that is later than any other, so that any other replaces it.
INSERT INTO people (project, id, is_user, first_seen, last_seen, first_country, last_country, first_device, last_device)
WITH
    toDateTime64('2299-12-31', 3, 'UTC') AS never,
    country_code NOT IN ('', 'ZZ') AS has_country,
    device_type NOT IN ('', 'unknown') AS has_device
SELECT
    project,
    ifNull(user_id, session_id) AS id,
    isNotNull(user_id) AS is_user,
    min(timestamp),
    max(timestamp),
    (if(countIf(has_country) > 0, minIf(timestamp, has_country), never), argMinIf(toString(country_code), timestamp, has_country)),
    (maxIf(timestamp, has_country), argMaxIf(toString(country_code), timestamp, has_country)),
    (if(countIf(has_device) > 0, minIf(timestamp, has_device), never), argMinIf(toString(device_type), timestamp, has_device)),
    (maxIf(timestamp, has_device), argMaxIf(toString(device_type), timestamp, has_device))
FROM events
WHERE {{selected}} AND id != ''
GROUP BY project, id, is_user

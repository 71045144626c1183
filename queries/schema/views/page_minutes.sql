-- One row per minute and page: views, the set of visitors, time on the page. `source` is `events`, or a part of it.
WITH
    -- A visitor is the user if the event has one, else the session.
    ifNull(user_id, session_id) AS visitor,
    JSONExtract(properties, 'duration_ms', 'Nullable(Float64)') AS given,
    -- A negative duration, or one longer than eleven days (1e9 ms), is an error and counts as missing.
    if(given >= 0 AND given <= 1e9, given, NULL) AS duration
SELECT
    toStartOfMinute(timestamp) AS minute,
    -- Truncated, so that a long property cannot inflate the key.
    substringUTF8(JSONExtractString(properties, 'page_url'), 1, 500) AS page_url,
    count() AS views,
    groupBitmapState(if(visitor = '', NULL, toUInt32(cityHash64(visitor) % 1048576))) AS visitors,
    uniqUpToState(100)(nullIf(visitor, '')) AS few_visitors,
    sum(ifNull(duration, 0)) AS duration_ms,
    count(duration) AS duration_views
FROM {{source}}
WHERE event_name = 'page_view' AND page_url != ''
GROUP BY minute, page_url

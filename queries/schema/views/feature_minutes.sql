-- One row per minute and feature: uses and the set of users. `source` is `events`, or a part of it.
WITH
    -- A visitor is the user if the event has one, else the session.
    ifNull(user_id, session_id) AS visitor
SELECT
    toStartOfMinute(timestamp) AS minute,
    -- Truncated, so that a long property cannot inflate the key.
    substringUTF8(JSONExtractString(properties, 'feature'), 1, 200) AS feature,
    count() AS events,
    groupBitmapState(if(visitor = '', NULL, toUInt32(cityHash64(visitor) % 1048576))) AS users,
    uniqUpToState(100)(nullIf(visitor, '')) AS few_users
FROM {{source}}
WHERE event_name = 'feature_used' AND feature != ''
GROUP BY minute, feature

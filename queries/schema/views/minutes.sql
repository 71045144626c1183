-- One row per minute: events, errors, sign-ups and the set of sessions. `source` is `events`, or a part of it.
SELECT
    toStartOfMinute(timestamp) AS minute,
    count() AS events,
    countIf(event_name = 'error_occurred') AS errors,
    countIf(event_name = 'signup_started') AS signups_started,
    countIf(event_name = 'signup_completed') AS signups_completed,
    -- An event without a session does not count as an active user.
    groupBitmapState(if(session_id = '', NULL, toUInt32(cityHash64(session_id) % 1048576))) AS sessions,
    uniqUpToState(100)(nullIf(session_id, '')) AS few_sessions
FROM {{source}}
GROUP BY minute

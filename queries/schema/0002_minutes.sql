-- What happened in each minute: active users, the sign-up funnel, the error rate.
--
-- A row a minute, so a range reads only its minutes; small granules, so that it reads hardly more. Sessions are kept as
-- the state of a distinct count: finished counts of minutes cannot be added up, states can be merged.
CREATE TABLE IF NOT EXISTS minutes
(
    minute            DateTime('UTC'),
    events            SimpleAggregateFunction(sum, UInt64),
    errors            SimpleAggregateFunction(sum, UInt64),
    signups_started   SimpleAggregateFunction(sum, UInt64),
    signups_completed SimpleAggregateFunction(sum, UInt64),
    sessions          AggregateFunction(uniqCombined64(16), Nullable(String))
)
ENGINE = AggregatingMergeTree
PARTITION BY toYYYYMM(minute)
ORDER BY minute
TTL minute + toIntervalDay({{retention_days}})
SETTINGS index_granularity = 64, non_replicated_deduplication_window = 10000;

CREATE MATERIALIZED VIEW IF NOT EXISTS minutes_view TO minutes AS
SELECT
    toStartOfMinute(timestamp) AS minute,
    count() AS events,
    countIf(event_name = 'error_occurred') AS errors,
    countIf(event_name = 'signup_started') AS signups_started,
    countIf(event_name = 'signup_completed') AS signups_completed,
    -- An event without a session is no active user.
    uniqCombined64State(16)(nullIf(session_id, '')) AS sessions
FROM events
GROUP BY minute;

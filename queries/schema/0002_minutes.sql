-- What happened in each minute: active users, the sign-up funnel, the error rate.
--
-- A row a minute, so a range reads only its minutes; small granules, so that it reads hardly more. Finished distinct
-- counts of minutes cannot be added up, so sessions are kept as a set that can be united: each session sets one of 2^20
-- bits, by its hash. From the number of bits follows the number of sessions (linear counting, Whang et al., 1990). Up to
-- 100 sessions are kept by their whole hashes as well, so that small numbers are exact. See
-- docs/decisions/0003-rollups.md.
CREATE TABLE IF NOT EXISTS minutes
(
    minute            DateTime('UTC'),
    events            SimpleAggregateFunction(sum, UInt64),
    errors            SimpleAggregateFunction(sum, UInt64),
    signups_started   SimpleAggregateFunction(sum, UInt64),
    signups_completed SimpleAggregateFunction(sum, UInt64),
    sessions          AggregateFunction(groupBitmap, Nullable(UInt32)),
    few_sessions      AggregateFunction(uniqUpTo(100), Nullable(String))
)
ENGINE = AggregatingMergeTree
PARTITION BY toMonday(minute)
ORDER BY minute
TTL minute + toIntervalDay({{retention_days}})
SETTINGS index_granularity = 64, {{table_settings}};

CREATE MATERIALIZED VIEW IF NOT EXISTS minutes_view TO minutes AS
SELECT
    toStartOfMinute(timestamp) AS minute,
    count() AS events,
    countIf(event_name = 'error_occurred') AS errors,
    countIf(event_name = 'signup_started') AS signups_started,
    countIf(event_name = 'signup_completed') AS signups_completed,
    -- An event without a session is no active user.
    groupBitmapState(if(session_id = '', NULL, toUInt32(cityHash64(session_id) % 1048576))) AS sessions,
    uniqUpToState(100)(nullIf(session_id, '')) AS few_sessions
FROM events
GROUP BY minute;

-- The sessions of longer steps: 15 and 60 minutes, in UTC, so that a long range unites few sets. They are made of the rows that the view above inserts, not of the events again.
CREATE TABLE IF NOT EXISTS session_steps
(
    step         UInt16,
    start        DateTime('UTC'),
    events       SimpleAggregateFunction(sum, UInt64),
    sessions     AggregateFunction(groupBitmap, Nullable(UInt32)),
    few_sessions AggregateFunction(uniqUpTo(100), Nullable(String))
)
ENGINE = AggregatingMergeTree
PARTITION BY toMonday(start)
ORDER BY (step, start)
TTL start + toIntervalDay({{retention_days}})
SETTINGS index_granularity = 64, {{table_settings}};

CREATE MATERIALIZED VIEW IF NOT EXISTS session_steps_view TO session_steps AS
SELECT
    arrayJoin([15, 60])::UInt16 AS step,
    toDateTime(intDiv(toUnixTimestamp(minute), step * 60) * step * 60, 'UTC') AS start,
    -- As in every rollup: how many events a row was made of, so that it can be checked against others.
    sum(minutes.events) AS events,
    groupBitmapMergeState(sessions) AS sessions,
    uniqUpToMergeState(100)(few_sessions) AS few_sessions
FROM minutes
GROUP BY step, start;

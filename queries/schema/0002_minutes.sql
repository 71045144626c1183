-- Active users, the sign-up funnel and the error rate, by minute.
--
-- One row per minute and small granules, so that a range reads little more than its own minutes. Distinct counts of minutes
-- cannot be added up, so sessions are kept as a set that can be merged: each session sets one of 2^20 bits, chosen by its
-- hash. The number of sessions follows from the number of set bits (linear counting, Whang et al., 1990). Up to 100
-- sessions are also kept by their full hashes, so that small numbers are exact. See docs/decisions/0003-rollups.md.
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
{{rollups/minutes.sql}};

-- Sessions at longer levels, 15 and 60 minutes in UTC, so that a long range merges few sets. The view reads the rows that
-- the view above inserts, not the events.
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
{{rollups/session_steps.sql}};

-- Uses of each feature and their users, by minute.
CREATE TABLE IF NOT EXISTS feature_minutes
(
    minute    DateTime('UTC'),
    feature   String,
    events    SimpleAggregateFunction(sum, UInt64),
    users     AggregateFunction(groupBitmap, Nullable(UInt32)),
    few_users AggregateFunction(uniqUpTo(100), Nullable(String))
)
ENGINE = AggregatingMergeTree
PARTITION BY toMonday(minute)
ORDER BY (minute, feature)
TTL minute + toIntervalDay({{retention_days}})
SETTINGS index_granularity = 64, {{table_settings}};

CREATE MATERIALIZED VIEW IF NOT EXISTS feature_minutes_view TO feature_minutes AS
{{rollups/feature_minutes.sql}};

-- The same at levels of 15, 60 and 360 minutes: a range is composed of as few rows as cover it.
CREATE TABLE IF NOT EXISTS feature_steps
(
    step      UInt16,
    start     DateTime('UTC'),
    feature   String,
    events    SimpleAggregateFunction(sum, UInt64),
    users     AggregateFunction(groupBitmap, Nullable(UInt32)),
    few_users AggregateFunction(uniqUpTo(100), Nullable(String))
)
ENGINE = AggregatingMergeTree
PARTITION BY toMonday(start)
ORDER BY (step, start, feature)
TTL start + toIntervalDay({{retention_days}})
SETTINGS index_granularity = 64, {{table_settings}};

CREATE MATERIALIZED VIEW IF NOT EXISTS feature_steps_view TO feature_steps AS
{{rollups/feature_steps.sql}};

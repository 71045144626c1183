-- Page views of each country, by minute. The countries together are all page views, which live visitors and the comparison
-- with a week ago read.
CREATE TABLE IF NOT EXISTS country_minutes
(
    minute         DateTime('UTC'),
    country_code   LowCardinality(FixedString(2)),
    views          SimpleAggregateFunction(sum, UInt64),
    visitors       AggregateFunction(groupBitmap, Nullable(UInt32)),
    few_visitors   AggregateFunction(uniqUpTo(100), Nullable(String)),
    duration_ms    SimpleAggregateFunction(sum, Float64),
    duration_views SimpleAggregateFunction(sum, UInt64)
)
ENGINE = AggregatingMergeTree
PARTITION BY toMonday(minute)
ORDER BY (minute, country_code)
TTL minute + toIntervalDay({{retention_days}})
SETTINGS index_granularity = 64, {{table_settings}};

CREATE MATERIALIZED VIEW IF NOT EXISTS country_minutes_view TO country_minutes AS
{{rollups/country_minutes.sql}};

-- The same at levels of 15 and 60 minutes, without durations.
CREATE TABLE IF NOT EXISTS country_steps
(
    step         UInt16,
    start        DateTime('UTC'),
    country_code LowCardinality(FixedString(2)),
    views        SimpleAggregateFunction(sum, UInt64),
    visitors     AggregateFunction(groupBitmap, Nullable(UInt32)),
    few_visitors AggregateFunction(uniqUpTo(100), Nullable(String))
)
ENGINE = AggregatingMergeTree
PARTITION BY toMonday(start)
ORDER BY (step, start, country_code)
TTL start + toIntervalDay({{retention_days}})
SETTINGS index_granularity = 64, {{table_settings}};

CREATE MATERIALIZED VIEW IF NOT EXISTS country_steps_view TO country_steps AS
{{rollups/country_steps.sql}};

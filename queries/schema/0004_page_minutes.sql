-- Views of each page, their visitors and the time on the page, by minute.
CREATE TABLE IF NOT EXISTS page_minutes
(
    minute         DateTime('UTC'),
    page_url       String,
    views          SimpleAggregateFunction(sum, UInt64),
    visitors       AggregateFunction(groupBitmap, Nullable(UInt32)),
    few_visitors   AggregateFunction(uniqUpTo(100), Nullable(String)),
    duration_ms    SimpleAggregateFunction(sum, Float64),
    duration_views SimpleAggregateFunction(sum, UInt64)
)
ENGINE = AggregatingMergeTree
PARTITION BY toMonday(minute)
ORDER BY (minute, page_url)
TTL minute + toIntervalDay({{retention_days}})
SETTINGS index_granularity = 64, {{table_settings}};

CREATE MATERIALIZED VIEW IF NOT EXISTS page_minutes_view TO page_minutes AS
{{rollups/page_minutes.sql}};

-- The same at levels of 15, 60 and 360 minutes.
CREATE TABLE IF NOT EXISTS page_steps
(
    step           UInt16,
    start          DateTime('UTC'),
    page_url       String,
    views          SimpleAggregateFunction(sum, UInt64),
    visitors       AggregateFunction(groupBitmap, Nullable(UInt32)),
    few_visitors   AggregateFunction(uniqUpTo(100), Nullable(String)),
    duration_ms    SimpleAggregateFunction(sum, Float64),
    duration_views SimpleAggregateFunction(sum, UInt64)
)
ENGINE = AggregatingMergeTree
PARTITION BY toMonday(start)
ORDER BY (step, start, page_url)
TTL start + toIntervalDay({{retention_days}})
SETTINGS index_granularity = 64, {{table_settings}};

CREATE MATERIALIZED VIEW IF NOT EXISTS page_steps_view TO page_steps AS
{{rollups/page_steps.sql}};

-- Page views of each minute by country. Without the country they are all page views: live visitors and the comparison
-- with a week ago read this as well.
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
WITH
    -- A visitor is a user where there is one, else a session.
    ifNull(user_id, session_id) AS visitor,
    JSONExtract(properties, 'duration_ms', 'Nullable(Float64)') AS given,
    if(given >= 0 AND given <= 1e9, given, NULL) AS duration
SELECT
    toStartOfMinute(timestamp) AS minute,
    country_code,
    count() AS views,
    groupBitmapState(if(visitor = '', NULL, toUInt32(cityHash64(visitor) % 1048576))) AS visitors,
    uniqUpToState(100)(nullIf(visitor, '')) AS few_visitors,
    sum(ifNull(duration, 0)) AS duration_ms,
    count(duration) AS duration_views
FROM events
WHERE event_name = 'page_view'
GROUP BY minute, country_code;

-- The same by steps of 15 and 60 minutes.
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
SELECT
    arrayJoin([15, 60])::UInt16 AS step,
    toDateTime(intDiv(toUnixTimestamp(minute), step * 60) * step * 60, 'UTC') AS start,
    country_code,
    sum(country_minutes.views) AS views,
    groupBitmapMergeState(country_minutes.visitors) AS visitors,
    uniqUpToMergeState(100)(country_minutes.few_visitors) AS few_visitors
FROM country_minutes
GROUP BY step, start, country_code;

-- Page views of each minute by country. Without the country they are all page views: live visitors and the comparison
-- with a week ago read this as well.
CREATE TABLE IF NOT EXISTS country_minutes
(
    minute         DateTime('UTC'),
    country_code   LowCardinality(FixedString(2)),
    views          SimpleAggregateFunction(sum, UInt64),
    visitors       AggregateFunction(uniqCombined64(16), Nullable(String)),
    duration_ms    SimpleAggregateFunction(sum, Float64),
    duration_views SimpleAggregateFunction(sum, UInt64)
)
ENGINE = AggregatingMergeTree
PARTITION BY toYYYYMM(minute)
ORDER BY (minute, country_code)
TTL minute + toIntervalDay({{retention_days}})
SETTINGS index_granularity = 64, non_replicated_deduplication_window = 10000;

CREATE MATERIALIZED VIEW IF NOT EXISTS country_minutes_view TO country_minutes AS
WITH
    JSONExtract(properties, 'duration_ms', 'Nullable(Float64)') AS given,
    if(given >= 0 AND given <= 1e9, given, NULL) AS duration
SELECT
    toStartOfMinute(timestamp) AS minute,
    country_code,
    count() AS views,
    uniqCombined64State(16)(nullIf(ifNull(user_id, session_id), '')) AS visitors,
    sum(ifNull(duration, 0)) AS duration_ms,
    count(duration) AS duration_views
FROM events
WHERE event_name = 'page_view'
GROUP BY minute, country_code;

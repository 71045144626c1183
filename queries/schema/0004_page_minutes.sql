-- Which pages were viewed in each minute, by how many visitors, for how long.
CREATE TABLE IF NOT EXISTS page_minutes
(
    minute         DateTime('UTC'),
    page_url       String,
    views          SimpleAggregateFunction(sum, UInt64),
    visitors       AggregateFunction(uniqCombined64(16), Nullable(String)),
    duration_ms    SimpleAggregateFunction(sum, Float64),
    duration_views SimpleAggregateFunction(sum, UInt64)
)
ENGINE = AggregatingMergeTree
PARTITION BY toYYYYMM(minute)
ORDER BY (minute, page_url)
TTL minute + toIntervalDay({{retention_days}})
SETTINGS index_granularity = 64, non_replicated_deduplication_window = 10000;

CREATE MATERIALIZED VIEW IF NOT EXISTS page_minutes_view TO page_minutes AS
WITH
    JSONExtract(properties, 'duration_ms', 'Nullable(Float64)') AS given,
    -- A duration that is negative, or longer than eleven days, is a mistake and counts as absent.
    if(given >= 0 AND given <= 1e9, given, NULL) AS duration
SELECT
    toStartOfMinute(timestamp) AS minute,
    substringUTF8(JSONExtractString(properties, 'page_url'), 1, 500) AS page_url,
    count() AS views,
    uniqCombined64State(16)(nullIf(ifNull(user_id, session_id), '')) AS visitors,
    sum(ifNull(duration, 0)) AS duration_ms,
    count(duration) AS duration_views
FROM events
WHERE event_name = 'page_view' AND page_url != ''
GROUP BY minute, page_url;

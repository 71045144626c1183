-- Which pages were viewed in each minute, by how many visitors, for how long.
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
WITH
    -- A visitor is a user where there is one, else a session.
    ifNull(user_id, session_id) AS visitor,
    JSONExtract(properties, 'duration_ms', 'Nullable(Float64)') AS given,
    -- A duration that is negative, or longer than eleven days, is a mistake and counts as absent.
    if(given >= 0 AND given <= 1e9, given, NULL) AS duration
SELECT
    toStartOfMinute(timestamp) AS minute,
    substringUTF8(JSONExtractString(properties, 'page_url'), 1, 500) AS page_url,
    count() AS views,
    groupBitmapState(if(visitor = '', NULL, toUInt32(cityHash64(visitor) % 1048576))) AS visitors,
    uniqUpToState(100)(nullIf(visitor, '')) AS few_visitors,
    sum(ifNull(duration, 0)) AS duration_ms,
    count(duration) AS duration_views
FROM events
WHERE event_name = 'page_view' AND page_url != ''
GROUP BY minute, page_url;

-- The same by steps of 15, 60 and 360 minutes.
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
SELECT
    arrayJoin([15, 60, 360])::UInt16 AS step,
    toDateTime(intDiv(toUnixTimestamp(minute), step * 60) * step * 60, 'UTC') AS start,
    page_url,
    sum(page_minutes.views) AS views,
    groupBitmapMergeState(page_minutes.visitors) AS visitors,
    uniqUpToMergeState(100)(page_minutes.few_visitors) AS few_visitors,
    sum(page_minutes.duration_ms) AS duration_ms,
    sum(page_minutes.duration_views) AS duration_views
FROM page_minutes
GROUP BY step, start, page_url;

-- Which features were used in each minute, by how many visitors.
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
-- A visitor is a user where there is one, else a session.
WITH ifNull(user_id, session_id) AS visitor
SELECT
    toStartOfMinute(timestamp) AS minute,
    -- The name is cut, so that no property makes the key large.
    substringUTF8(JSONExtractString(properties, 'feature'), 1, 200) AS feature,
    count() AS events,
    groupBitmapState(if(visitor = '', NULL, toUInt32(cityHash64(visitor) % 1048576))) AS users,
    uniqUpToState(100)(nullIf(visitor, '')) AS few_users
FROM events
WHERE event_name = 'feature_used' AND feature != ''
GROUP BY minute, feature;

-- The same by steps of 15, 60 and 360 minutes: a range is put together of as few rows as cover it.
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
SELECT
    arrayJoin([15, 60, 360])::UInt16 AS step,
    toDateTime(intDiv(toUnixTimestamp(minute), step * 60) * step * 60, 'UTC') AS start,
    feature,
    sum(feature_minutes.events) AS events,
    groupBitmapMergeState(feature_minutes.users) AS users,
    uniqUpToMergeState(100)(feature_minutes.few_users) AS few_users
FROM feature_minutes
GROUP BY step, start, feature;

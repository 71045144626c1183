-- Which features were used in each minute, by how many visitors.
CREATE TABLE IF NOT EXISTS feature_minutes
(
    minute  DateTime('UTC'),
    feature String,
    events  SimpleAggregateFunction(sum, UInt64),
    users   AggregateFunction(uniqCombined64(16), Nullable(String))
)
ENGINE = AggregatingMergeTree
PARTITION BY toYYYYMM(minute)
ORDER BY (minute, feature)
TTL minute + toIntervalDay({{retention_days}})
SETTINGS index_granularity = 64, non_replicated_deduplication_window = 10000;

CREATE MATERIALIZED VIEW IF NOT EXISTS feature_minutes_view TO feature_minutes AS
SELECT
    toStartOfMinute(timestamp) AS minute,
    -- The name is cut, so that no property makes the key large.
    substringUTF8(JSONExtractString(properties, 'feature'), 1, 200) AS feature,
    count() AS events,
    -- A visitor is a user where there is one, else a session.
    uniqCombined64State(16)(nullIf(ifNull(user_id, session_id), '')) AS users
FROM events
WHERE event_name = 'feature_used' AND feature != ''
GROUP BY minute, feature;

-- Every event, as it was accepted. The rollups are made from these rows when they are inserted.
--
-- Ordered by name first, since every question is about one kind of event; partitions by the month keep deleting cheap.
-- The deduplication window remembers the tokens of the last inserts: a batch that is sent again adds nothing. It is far
-- larger than what can be on its way: an insert begins at most every 100 ms, so it holds a quarter of an hour at least.
CREATE TABLE IF NOT EXISTS events
(
    event_name   LowCardinality(String),
    timestamp    DateTime64(3, 'UTC'),
    session_id   String,
    user_id      Nullable(String),
    device_type  LowCardinality(String),
    country_code LowCardinality(FixedString(2)),
    properties   String CODEC(ZSTD(1)),
    event_id     UUID,
    received_at  DateTime64(3, 'UTC'),
    date         Date DEFAULT toDate(timestamp)
)
ENGINE = MergeTree
PARTITION BY toYYYYMM(date)
ORDER BY (event_name, timestamp)
TTL date + toIntervalDay({{retention_days}})
SETTINGS non_replicated_deduplication_window = 10000;

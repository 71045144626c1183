-- Every event, as it was accepted. The rollups are made from these rows when they are inserted.
--
-- Ordered by name first, since every question is about one kind of event.
--
-- A partition is a week, in every table, and parts expire whole (ttl_only_drop_parts): nothing is rewritten to forget it,
-- and rows stay up to a week longer than RETENTION_DAYS. Days would expire more exactly, but ten years of them are
-- 3,650 partitions a table, and a batch with events of the last 90 days would make 90 parts in each of nine tables
-- instead of 14.
--
-- `batch` is the id of the batch that an event came with, constant in a batch. With it one can see whether a batch is
-- stored, and how much of it, when its deduplication token is forgotten or lost. Ids grow with time (UUID version 7), so
-- granules hold few of them: the column takes 0.4 bytes an event, and `WHERE batch = X` reads hardly more than the batch.
-- ClickHouse compares UUIDs by their second half first, which does not grow; their numbers do, so the index is on those.
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
    batch        UUID CODEC(ZSTD(1)),
    date         Date DEFAULT toDate(timestamp),
    INDEX batch_numbers toUInt128(batch) TYPE minmax GRANULARITY 1
)
ENGINE = MergeTree
PARTITION BY toMonday(date)
ORDER BY (event_name, timestamp)
TTL toDateTime(timestamp) + toIntervalDay({{retention_days}})
SETTINGS {{table_settings}};

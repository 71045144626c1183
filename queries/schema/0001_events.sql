-- Every event, as it was accepted. Materialized views fill the rollups from the rows of each insert.
--
-- Ordered by name first: every query is about one kind of event.
--
-- In every table a partition is a week, and parts expire as a whole (ttl_only_drop_parts): nothing is rewritten to expire
-- rows, and rows stay up to a week longer than RETENTION_DAYS. Partitions by day would expire more exactly, but ten years of
-- them are 3,650 partitions per table, and a batch with events of the last 90 days would write 90 parts to each of nine
-- tables instead of 14.
--
-- `batch` is the id of the batch that inserted the event; every event of a batch has the same one. It tells whether, and
-- how much of, a batch is stored when its deduplication token has expired or is lost. Ids grow with time (UUID version 7),
-- so a granule holds few of them: the column takes 0.4 bytes per event, and `WHERE batch = X` reads little more than the
-- batch. ClickHouse compares UUIDs by their second half first, which does not grow with time; as numbers they do, so the
-- index is on the number.
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

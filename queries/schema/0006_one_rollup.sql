-- Every event, as it was accepted, and one rollup of all of them. Replaces the tables and views of 0001 to 0005: a new
-- database starts with this file, an older one is upgraded to it (src/clickhouse/upgrade.rs).
--
-- Ordered by project and name first: every query is about one project, and almost every one about one kind of event.
--
-- In both tables a partition is a week, and parts expire as a whole (ttl_only_drop_parts): nothing is rewritten to expire
-- rows, and rows stay up to a week longer than the retention. Partitions by day would expire more exactly, but ten years of
-- them are 3,650 partitions per table, and a batch with events of the last 90 days would write 90 parts to each of two
-- tables instead of 14.
--
-- An event that came without an id has the zero UUID as `given_event_id`, which takes no space. Its `event_id` follows from
-- its place in the batch: the batch's number with the row's number in its low 32 bits (exclusive or), so it is the same
-- however often the batch is sent.
--
-- `batch` is the id of the batch that inserted the event; every event of a batch has the same one. It tells whether, and
-- how much of, a batch is stored when its deduplication token has expired or is lost. Ids grow with time (UUID version 7),
-- so a granule holds few of them: the column takes almost no space, and `WHERE batch = X` reads little more than the
-- batch. ClickHouse compares UUIDs by their second half first, which does not grow with time; as numbers they do, so the
-- index is on the number.
--
-- Promoted properties follow, one column each (queries/properties.toml). The writer fills them; a row that was inserted
-- before its property was promoted gets the value from `properties` when it is read.
--
-- Codecs by measurement: docs/decisions/0009-one-rollup.md. A session's events lie within a few minutes, so its id is
-- compressed best in blocks that span them.
CREATE TABLE IF NOT EXISTS {{events}}
(
    project        LowCardinality(String) DEFAULT 'default',
    event_name     LowCardinality(String),
    timestamp      DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)),
    session_id     String CODEC(ZSTD(1)) SETTINGS (min_compress_block_size = 1048576, max_compress_block_size = 2097152),
    user_id        Nullable(String) CODEC(ZSTD(1)),
    device_type    LowCardinality(String) CODEC(ZSTD(1)),
    country_code   LowCardinality(FixedString(2)) CODEC(ZSTD(1)),
    properties     String CODEC(ZSTD(1)),
    given_event_id UUID,
    received_at    DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)),
    batch          UUID CODEC(ZSTD(1)),
    batch_row      UInt32 CODEC(Delta, ZSTD(1)),
    date           Date DEFAULT toDate(timestamp),
    event_id       UUID ALIAS if(
        notEmpty(given_event_id),
        given_event_id,
        -- In memory the high half of a UUID comes first, so its low 32 bits are bits 64 to 95 of the number read from there.
        reinterpretAsUUID(bitXor(reinterpretAsUInt128(batch), bitShiftLeft(toUInt128(batch_row), 64)))),
{{promoted_columns}}
    INDEX batch_numbers toUInt128(batch) TYPE minmax GRANULARITY 1
)
ENGINE = MergeTree
PARTITION BY toMonday(date)
ORDER BY (project, event_name, timestamp)
TTL toDateTime(timestamp) + toIntervalDay({{retention_days}})
SETTINGS {{table_settings}};

-- The rollup: events, visitors, sessions and a measure, by event, by value of a declared dimension, and by level of time.
-- The writer computes the rows of a batch and inserts them beside its events; recomputations and rebuilds compute the same
-- rows in SQL (queries/rollups).
--
-- event_name '' is all events. dimension '' is no breakdown; only such rows have sessions, and only they exist for all
-- events. An empty value of a dimension has no row. A dimension has a bounded number of values per project, event and day:
-- the others are '(other)'.
--
-- step is the level in minutes: 1, 15, 60, 360 or 1440, in UTC. Rows of different levels describe the same events: a query
-- reads each moment from one level only.
--
-- Distinct counts of minutes cannot be added up, so visitors and sessions are sets that can be merged, of hashes of their
-- ids: up to 100 by the whole hash, more by one of 2^20 bits each, and a sixteenth of all hashes in a second set of 2^20
-- bits, for counts of which the first is full (docs/decisions/0010-distinct-counts.md).
CREATE TABLE IF NOT EXISTS rollup
(
    project          LowCardinality(String),
    event_name       LowCardinality(String),
    dimension        LowCardinality(String),
    step             UInt16,
    start            DateTime('UTC'),
    value            String,
    events           SimpleAggregateFunction(sum, UInt64),
    visitors         AggregateFunction(groupBitmap, UInt32),
    few_visitors     AggregateFunction(uniqUpTo(100), UInt64),
    sampled_visitors AggregateFunction(groupBitmap, UInt32),
    sessions         AggregateFunction(groupBitmap, UInt32),
    few_sessions     AggregateFunction(uniqUpTo(100), UInt64),
    sampled_sessions AggregateFunction(groupBitmap, UInt32),
    measure_sum      SimpleAggregateFunction(sum, Float64),
    measure_count    SimpleAggregateFunction(sum, UInt64)
)
ENGINE = AggregatingMergeTree
PARTITION BY toMonday(start)
ORDER BY (project, event_name, dimension, step, start, value)
TTL start + toIntervalDay({{rollup_retention_days}})
SETTINGS index_granularity = 64, {{table_settings}};

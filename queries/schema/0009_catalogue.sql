-- The catalogue: which keys the properties of each event have, by day and by type of the value. A task computes it from
-- `events` (src/catalogue/task.rs, queries/catalogue), up to half a minute after events have landed.
--
-- Names are bounded per project and keys per event (src/catalogue/bounds.rs); those beyond are '(other)'. The number of rows
-- follows from the number of keys, not from that of events.
CREATE TABLE IF NOT EXISTS event_properties
(
    project     LowCardinality(String),
    event_name  LowCardinality(String),
    name        String CODEC(ZSTD(1)),
    type        LowCardinality(String),
    day         Date,
    events      SimpleAggregateFunction(sum, UInt64),
    -- Whether the events were scaled from a sample.
    is_estimate SimpleAggregateFunction(max, Bool),
    first_seen  SimpleAggregateFunction(min, DateTime64(3, 'UTC')) CODEC(ZSTD(1)),
    last_seen   SimpleAggregateFunction(max, DateTime64(3, 'UTC')) CODEC(ZSTD(1))
)
ENGINE = AggregatingMergeTree
PARTITION BY toMonday(day)
ORDER BY (project, event_name, name, type, day)
TTL day + toIntervalDay({{rollup_retention_days}})
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, {{table_settings}};

-- Up to where events were counted in the table above, one row: the events of every stored batch whose id, as a number, is below
-- `done`. Sums are not idempotent, so a run records its range first: if `target` is not `done`, the rows of the batches from
-- `done` to below `target` may have been inserted, and are inserted again with the same deduplication token.
CREATE TABLE IF NOT EXISTS catalogue_marks
(
    done    UInt128,
    target  UInt128,
    version UInt64
)
ENGINE = ReplacingMergeTree(version)
ORDER BY tuple()
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, {{table_settings}};

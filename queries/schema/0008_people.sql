-- Who did it: the first user of each session, the people, their first events and their traits. A task computes them from
-- `events` (src/people/task.rs, queries/people), a few seconds after events have landed.
--
-- Every column is a minimum or a maximum, so the same events may be added any number of times, in any order. What is the
-- first or last of something is a minimum or maximum of tuples that begin with the time.
--
-- No partitions and no TTL. A row has to live as long as its person is seen: if rows were partitioned by a time, a person who
-- has been active for years would have rows in many partitions, and the first of them, which has the first time, would expire;
-- a TTL on the last time would delete the row of a person who has just come back, but whose new row is not merged with it yet.
-- The task deletes whoever was not seen for ROLLUP_RETENTION_DAYS instead (queries/people/delete_*.sql), once a day.
--
-- Parts are synced when they are inserted. The mark below is inserted after them: what it counts as added survives a power cut.
-- 64-bit hashes (xxh3) of ids are those of the rollup.
CREATE TABLE IF NOT EXISTS session_users
(
    project    LowCardinality(String),
    session    UInt64,
    session_id SimpleAggregateFunction(any, String) CODEC(ZSTD(1)),
    -- Of two users in the same millisecond it is the one whose id is smaller.
    first_user SimpleAggregateFunction(min, Tuple(DateTime64(3, 'UTC'), String)) CODEC(ZSTD(1)),
    last_seen  SimpleAggregateFunction(max, DateTime('UTC')) CODEC(ZSTD(1)),
    INDEX users tupleElement(first_user, 2) TYPE bloom_filter(0.01) GRANULARITY 1
)
ENGINE = AggregatingMergeTree
ORDER BY (project, session)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, {{table_settings}};

-- id is the user_id of the events, or the session_id of events without one. Countries and devices that are not known do not
-- count; without any, the value is empty.
CREATE TABLE IF NOT EXISTS people
(
    project       LowCardinality(String),
    id            String CODEC(ZSTD(1)),
    is_user       Bool,
    first_seen    SimpleAggregateFunction(min, DateTime64(3, 'UTC')) CODEC(ZSTD(1)),
    last_seen     SimpleAggregateFunction(max, DateTime64(3, 'UTC')) CODEC(ZSTD(1)),
    first_country SimpleAggregateFunction(min, Tuple(DateTime64(3, 'UTC'), String)) CODEC(ZSTD(1)),
    last_country  SimpleAggregateFunction(max, Tuple(DateTime64(3, 'UTC'), String)) CODEC(ZSTD(1)),
    first_device  SimpleAggregateFunction(min, Tuple(DateTime64(3, 'UTC'), String)) CODEC(ZSTD(1)),
    last_device   SimpleAggregateFunction(max, Tuple(DateTime64(3, 'UTC'), String)) CODEC(ZSTD(1))
)
ENGINE = AggregatingMergeTree
ORDER BY (project, id, is_user)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, {{table_settings}};

-- When each person did each event for the first time. A table of its own, by event: a query is about one event, and reads no
-- other. A map per person would have to be bounded, and would be read whole.
CREATE TABLE IF NOT EXISTS first_events
(
    project    LowCardinality(String),
    event_name LowCardinality(String),
    -- The hash of people.id.
    person     UInt64,
    is_user    Bool,
    first_time SimpleAggregateFunction(min, DateTime64(3, 'UTC')) CODEC(ZSTD(1))
)
ENGINE = AggregatingMergeTree
ORDER BY (project, event_name, person, is_user)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, {{table_settings}};

-- The latest value of each property of a person's `identify` events, as JSON.
CREATE TABLE IF NOT EXISTS traits
(
    project   LowCardinality(String),
    id        String CODEC(ZSTD(1)),
    is_user   Bool,
    name      LowCardinality(String),
    latest    SimpleAggregateFunction(max, Tuple(DateTime64(3, 'UTC'), String)) CODEC(ZSTD(1)),
    INDEX values tupleElement(latest, 2) TYPE bloom_filter(0.01) GRANULARITY 1
)
ENGINE = AggregatingMergeTree
ORDER BY (project, id, is_user, name)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, {{table_settings}};

-- Up to where events were added to the tables above. name 'landed': every stored event of a batch whose id, as a number, is below
-- the mark. A week ('2026-11-16'), if events were stored before these tables existed: 0 until its events were added, then 1.
CREATE TABLE IF NOT EXISTS people_marks
(
    name    String,
    mark    UInt128,
    version UInt64
)
ENGINE = ReplacingMergeTree(version)
ORDER BY name
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, {{table_settings}};

-- A person's events are found by these. They take 1.2 bytes per event, and nothing that can be measured per insert
-- (docs/decisions/0011-people.md). Parts get them when they are written: older ones when they are merged. Until then the
-- times in which the person was seen limit what is read.
ALTER TABLE events
    ADD INDEX IF NOT EXISTS session_ids session_id TYPE bloom_filter(0.01) GRANULARITY 1,
    ADD INDEX IF NOT EXISTS user_ids user_id TYPE bloom_filter(0.01) GRANULARITY 1;

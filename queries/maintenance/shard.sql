-- The number of this shard in CLICKHOUSE_URL, from 0.
CREATE TABLE IF NOT EXISTS shard
(
    number UInt32
)
ENGINE = MergeTree
ORDER BY number

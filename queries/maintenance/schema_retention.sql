-- The retention that the parts of each table have been given. Synced with each insert: it is trusted after a power cut.
CREATE TABLE IF NOT EXISTS schema_retention
(
    table_name String,
    days       UInt64,
    applied_at DateTime64(3, 'UTC') DEFAULT now64(3)
)
ENGINE = MergeTree
ORDER BY table_name
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1

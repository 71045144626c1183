-- The schema files that have been applied, with their checksums. Synced with each insert: it is trusted after a power cut.
CREATE TABLE IF NOT EXISTS schema_migrations
(
    name       String,
    checksum   UInt32,
    applied_at DateTime64(3, 'UTC') DEFAULT now64(3)
)
ENGINE = MergeTree
ORDER BY name
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1

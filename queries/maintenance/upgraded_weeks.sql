-- The weeks that an upgrade has copied, by their Monday (Unix time in days). Synced with each insert: it is trusted after a
-- power cut.
CREATE TABLE IF NOT EXISTS upgraded_weeks
(
    week   UInt32,
    events UInt64
)
ENGINE = MergeTree
ORDER BY week
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1

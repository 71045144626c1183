-- Parts of past weeks are merged into one per week when nothing has been inserted into the week for ten minutes. ClickHouse merges parts
-- of similar sizes only, which leaves a few in each week, and a panel over 90 days opens the files of all of them.
ALTER TABLE rollup MODIFY SETTING min_age_to_force_merge_seconds = 600, min_age_to_force_merge_on_partition_only = 1;

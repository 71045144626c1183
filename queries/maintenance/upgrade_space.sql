-- The bytes that an upgrade needs, at most, and those that are free. An event takes less space than before, its rows in the
-- rollup up to twice as much.
SELECT
    toUInt64(sum(if(table = 'events', bytes_on_disk, 2 * bytes_on_disk))) AS needed,
    (SELECT min(free_space) FROM system.disks) AS free
FROM system.parts
WHERE active
  AND database = currentDatabase()
  AND table IN ('events', 'minutes', 'session_steps', 'feature_minutes', 'feature_steps', 'page_minutes', 'page_steps',
                'country_minutes', 'country_steps')

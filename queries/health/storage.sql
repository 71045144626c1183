-- What the tables of the database take, and the fullest disk: in bytes.
SELECT
    assumeNotNull((SELECT sum(bytes_on_disk) FROM system.parts WHERE active AND database = currentDatabase())) AS stored,
    free_space AS free,
    total_space AS total
FROM system.disks
ORDER BY free_space
LIMIT 1

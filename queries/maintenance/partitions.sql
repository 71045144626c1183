-- The ids of all partitions that any of the tables has.
SELECT DISTINCT partition_id
FROM system.parts
WHERE active AND database = currentDatabase() AND table IN {tables:Array(String)}
ORDER BY partition_id

-- The number of columns in which the tables for reading all shards differ from those of this shard.
SELECT count()
FROM
(
    SELECT table, name, type
    FROM system.columns
    WHERE table IN {tables:Array(String)} AND database IN (currentDatabase(), {reading:String})
    GROUP BY table, name, type
    HAVING uniqExact(database) < 2
)

-- Who applies the schema, and how long ago it last said so. No row if nobody does, or through another replica.
SELECT comment, toUInt64(greatest(0, now() - metadata_modification_time)) AS age_seconds
FROM system.tables
WHERE database = currentDatabase() AND name = {table:String}

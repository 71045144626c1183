-- 1 if the table `events` has the constraint that pauses inserts, else 0. The database need not exist yet.
SELECT count()
FROM system.tables
WHERE database = {database:String}
  AND name = 'events'
  AND position(create_table_query, {constraint:String}) > 0

-- The number of tables with the constraint that pauses inserts: 0 unless a rebuild is at its end or was interrupted there. The
-- database need not exist yet.
SELECT count()
FROM system.tables
WHERE database = {database:String}
  AND name IN ('events', 'rollup')
  AND position(create_table_query, {constraint:String}) > 0

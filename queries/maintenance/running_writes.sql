-- Counts the running statements that write to one of the tables. A table whose name only begins like one of them
-- (`minutes_rebuilt`) does not count.
SELECT count()
FROM {{processes}}
WHERE {{of_shard}}
  AND query_kind IN ('Insert', 'Delete', 'Alter')
  AND current_database = currentDatabase()
  -- A statement from a .sql file begins with comments.
  AND match(
      query,
      '(?i)^(\\s*--[^\\n]*\\n)*\\s*(INSERT INTO|DELETE FROM|ALTER TABLE) ('
          || arrayStringConcat({tables:Array(String)}, '|')
          || ')\\b')

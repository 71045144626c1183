-- Counts the unfinished mutations of lightweight deletes. An engine resumes them after a restart. Other mutations, such as
-- those of a new retention, do not count.
SELECT count()
FROM system.mutations
WHERE NOT is_done
  AND database = currentDatabase()
  AND table IN {tables:Array(String)}
  AND command LIKE '%\\_row\\_exists%'

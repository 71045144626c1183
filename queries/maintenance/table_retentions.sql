-- The tables of this database: definition, number of rows, and the retention that their parts have been given (0 if none
-- has been recorded).
SELECT
    name,
    engine_full,
    ifNull(total_rows, 0) AS total_rows,
    applied.days AS applied_days
FROM system.tables
LEFT JOIN
(
    SELECT table_name, argMax(days, applied_at) AS days
    FROM schema_retention
    GROUP BY table_name
) AS applied ON applied.table_name = name
WHERE database = currentDatabase()

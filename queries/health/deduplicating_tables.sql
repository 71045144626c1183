-- The tables that batches are inserted into: they have to remember insert tokens.
SELECT name, engine, engine_full AS definition
FROM system.tables
WHERE database = {database:String} AND name IN ('events', 'rollup')
ORDER BY name

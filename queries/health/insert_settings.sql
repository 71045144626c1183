-- The settings that decide what a repeated insert adds, as the server applies them to this statement.
SELECT name, value
FROM system.settings
WHERE name IN ('async_insert', 'insert_deduplicate', 'deduplicate_insert', 'deduplicate_blocks_in_dependent_materialized_views', 'compatibility')
ORDER BY name

-- Counts the parts that the engine found broken at its start and moved to `detached/`.
SELECT count()
FROM system.detached_parts
WHERE database = currentDatabase() AND reason LIKE 'broken%'

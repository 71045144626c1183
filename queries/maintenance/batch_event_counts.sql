-- How many events of each batch are stored. Batches without any have no row.
SELECT toString(batch) AS id, count() AS events
FROM events
WHERE batch IN {batches:Array(UUID)}
GROUP BY batch

-- The weeks that have events, newest first.
SELECT DISTINCT toString(toMonday(min_date)) AS week
FROM system.parts
WHERE database = currentDatabase() AND table = 'events' AND active
ORDER BY week DESC

-- The values that have rollup rows of today: those that count as admitted after a restart.
SELECT DISTINCT
    toString(project) AS project,
    toString(event_name) AS event_name,
    toString(dimension) AS dimension,
    value
FROM rollup
WHERE step = 1440 AND start >= toStartOfDay(now('UTC')) AND dimension != '' AND value != '(other)'
LIMIT {max_values:UInt64}

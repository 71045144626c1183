-- The values of dimensions that are '(other)' in the rows by minute: beyond the most frequent ones of each project, event,
-- dimension and day. Usually none. Counts the span's events, and the rows by minute that its days have besides.
SELECT project, event_name, dimension, day, value
FROM
(
    SELECT
        project,
        event_name,
        {{dimension}} AS dimension,
        day,
        {{value}} AS value,
        count() AS events
    FROM
    (
        SELECT e.project AS project, e.event_name AS event_name, e.date AS day, {{values}}
        FROM
        (
            {{events}}
        ) AS e
    )
    GROUP BY GROUPING SETS ({{day_sets}})
    HAVING value NOT IN ('', '(other)')

    UNION ALL

    SELECT project, event_name, dimension, toDate(start) AS day, value, sum(r.events) AS events
    FROM {{target}} AS r
    WHERE step = 1
      AND dimension != ''
      AND value != '(other)'
      AND start >= toDateTime({days_start:UInt32}, 'UTC')
      AND start < toDateTime({days_end:UInt32}, 'UTC')
      AND intDiv(toUnixTimestamp(start), 86400) IN {days:Array(UInt32)}
      AND intDiv(toUnixTimestamp(start), 900) NOT IN {quarter_hours:Array(UInt32)}
    GROUP BY project, event_name, dimension, day, value
)
GROUP BY project, event_name, dimension, day, value
ORDER BY sum(events) DESC, value
LIMIT {{max_values}}, 1000000000 BY project, event_name, dimension, day

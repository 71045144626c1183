-- The time (Unix seconds) since which a table has lost no row to its retention, whatever that was meanwhile: each recorded
-- retention was in force until the next one was recorded, or is in force now.
SELECT toUInt32(greatest(0, max(until - days * 86400)))
FROM
(
    SELECT
        toInt64(days) AS days,
        toInt64(toUnixTimestamp(leadInFrame(applied_at, 1, now64(3)) OVER (
            ORDER BY applied_at ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING))) AS until
    FROM schema_retention
    WHERE table_name = {table:String}
)

-- The newest events of a window of time that meet a condition, after a position.
--
-- A page is put together from windows that become longer into the past (src/events/search.rs): the table is ordered by name
-- before time, so each statement reads the part of every event name within its window, and few columns of it. `date` is what
-- partitions are pruned by.
--
-- event_id follows from the row if the producer gave none, so (timestamp, event_id) is unique and never changes. UUIDs are
-- compared in the same way in both places.
SELECT
    toString(events.event_id),
    events.event_name,
    toUnixTimestamp64Milli(events.timestamp),
    toUnixTimestamp64Milli(events.received_at),
    events.session_id,
    events.user_id,
    events.device_type,
    toString(events.country_code),
    events.properties
FROM events{{join}}
WHERE events.project = {project:String}
    AND events.timestamp >= fromUnixTimestamp64Milli({start_ms:Int64}, 'UTC')
    AND events.timestamp < fromUnixTimestamp64Milli({end_ms:Int64}, 'UTC')
    AND events.date >= toDate(fromUnixTimestamp64Milli({start_ms:Int64}, 'UTC'))
    AND events.date <= toDate(fromUnixTimestamp64Milli({end_ms:Int64}, 'UTC'))
    AND ({{position}})
    AND ({{condition}})
ORDER BY events.timestamp DESC, events.event_id DESC
LIMIT {limit:UInt32}

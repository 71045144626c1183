-- Copies the events of a day from the table of 0001 to that of 0006. Promoted properties get their default expression's
-- values.
INSERT INTO events_upgraded
    (event_name, timestamp, session_id, user_id, device_type, country_code, properties, given_event_id, received_at, batch,
     date)
SELECT
    event_name, timestamp, session_id, user_id, device_type, country_code, properties, event_id, received_at, batch, date
FROM events
WHERE date = toDate({day:UInt32})

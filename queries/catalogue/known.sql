-- Every key that is listed by name.
SELECT project, toString(event_name) AS event_name, name
FROM event_properties
GROUP BY project, event_name, name

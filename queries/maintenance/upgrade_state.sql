-- How far an upgrade from the tables of 0001 to 0005 is. The database need not exist yet.
SELECT
    -- `events` is still the table of 0001, in which event_id is stored.
    (countIf(table = 'events' AND name = 'event_id' AND default_kind = '') > 0)::Bool AS is_old,
    -- What is left to drop.
    (countIf(table IN {leftovers:Array(String)}) > 0)::Bool AS has_leftovers
FROM system.columns
WHERE database = {database:String}

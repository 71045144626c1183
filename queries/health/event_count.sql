-- How many events there are: known without reading any.
SELECT assumeNotNull(total_rows)
FROM system.tables
WHERE database = {database:String} AND name = 'events'

-- The server whose repair lets nobody else insert; empty if there is none. The table need not exist yet.
SELECT extract(create_table_query, 'inserts_wait_for_a_repair CHECK getSetting\\(\'log_comment\'\\) = \'([^\']*)\'')
FROM system.tables
WHERE database = {database:String} AND name = {table:String}

-- What identifies a database: the id of a table that is created once and never replaced. Replicas of a database have the same.
SELECT toString(uuid) FROM system.tables WHERE database = {database:String} AND name = 'schema_migrations'

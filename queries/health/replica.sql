-- Whether this server can be used, and whether it has the same data as another one.
SELECT
    version() AS version,
    toString(serverUUID()) AS server_id,
    toBool(assumeNotNull((SELECT count() FROM system.tables
        WHERE database = {database:String} AND name = 'events'
            AND (startsWith(engine, 'Replicated') OR startsWith(engine, 'Shared'))))) AS is_replicated,
    assumeNotNull((SELECT count() FROM system.replicas
        WHERE database = {database:String} AND is_readonly)) AS readonly_tables

-- Each server that shares this database counts its own batches in the catalogue: a row per server_id, '' before this file.
ALTER TABLE catalogue_marks ADD COLUMN IF NOT EXISTS server String, MODIFY ORDER BY (server);

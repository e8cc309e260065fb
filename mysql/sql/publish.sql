-- ? metadata, resource, token
UPDATE app.sqllock_holders SET metadata = ? WHERE resource = ? AND token = ? AND session IS NOT NULL

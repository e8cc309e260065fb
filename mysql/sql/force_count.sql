-- Kills their tokens.
UPDATE app.sqllock_resources FORCE INDEX (PRIMARY) SET token = token + 1 WHERE id = @resource

-- A token is used up, so that the guard of an earlier holder fails.
-- ? resource
UPDATE app.sqllock_resources SET token = token + 1, used_at = UTC_TIMESTAMP(6) WHERE id = ?

-- What a transaction has only locked, other nodes know nothing of. What it has changed makes it fail if somebody else was granted the name meanwhile.
-- ? resource
UPDATE app.sqllock_resources SET used_at = GREATEST(UTC_TIMESTAMP(6), used_at + INTERVAL 1 MICROSECOND) WHERE id = ?

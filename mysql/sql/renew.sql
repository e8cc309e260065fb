-- The only statement that holding costs: one row, one update, once in a third of the TTL. It must not touch the index by_epoch,
-- where attempts have the session locked.
-- ? ttl in microseconds, session
UPDATE app.sqllock_sessions FORCE INDEX (PRIMARY) SET expires_at = UTC_TIMESTAMP(6) + INTERVAL ? MICROSECOND
 WHERE id = ? AND expires_at > UTC_TIMESTAMP(6)

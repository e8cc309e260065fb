-- As raise_epoch.sql, unless the session has expired.
-- ? session
UPDATE app.sqllock_sessions FORCE INDEX (PRIMARY) SET epoch = epoch + 1 WHERE id = ? AND expires_at > UTC_TIMESTAMP(6)

-- As join.sql.
-- ? session, epoch
SELECT id INTO @session FROM app.sqllock_sessions FORCE INDEX (by_epoch) WHERE id = ? AND epoch = ? LOCK IN SHARE MODE

-- Waits until no attempt of this session is under way, and lets none begin that has the epoch of before.
-- ? session
UPDATE app.sqllock_sessions FORCE INDEX (PRIMARY) SET epoch = epoch + 1 WHERE id = ?

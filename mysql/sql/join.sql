-- Finds the session, and keeps it from being reconciled and ended by others while this transaction acquires. What is locked is the entry in an index
-- that renewals do not touch: the statement reads nothing that is not in that index.
-- ? session, epoch
SELECT MAX(id) INTO @session
  FROM (SELECT id FROM app.sqllock_sessions FORCE INDEX (by_epoch) WHERE id = ? AND epoch = ? LOCK IN SHARE MODE) mine

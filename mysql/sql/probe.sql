-- Changes nothing, but a server that is read-only refuses it, and one that may not be written by this user too.
DELETE FROM app.sqllock_waiters WHERE id = 0

-- ? session
DELETE FROM app.sqllock_waiters WHERE session = ?

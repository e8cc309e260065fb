-- ?1 session
DELETE FROM sqllock_waiters WHERE session = ?1

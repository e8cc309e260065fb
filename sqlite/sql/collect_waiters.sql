-- Removes, a few at a time, waiters whose session is gone.
DELETE FROM sqllock_waiters
 WHERE id IN (SELECT id FROM sqllock_waiters WHERE session NOT IN (SELECT id FROM sqllock_sessions) LIMIT 100)

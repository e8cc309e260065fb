-- ?1 waiter
DELETE FROM sqllock_waiters WHERE id = ?1

-- ?1 session
DELETE FROM sqllock_sessions WHERE id = ?1

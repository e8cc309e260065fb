-- ?1 session
UPDATE sqllock_sessions SET epoch = epoch + 1
 WHERE id = ?1 AND expires_at > CAST(unixepoch('subsec') * 1000 AS INTEGER) RETURNING epoch

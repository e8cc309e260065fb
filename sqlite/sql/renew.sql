-- The only statement that holding costs: one row, one update, once in a third of the TTL.
-- ?1 session, ?2 ttl in milliseconds
UPDATE sqllock_sessions SET expires_at = CAST(unixepoch('subsec') * 1000 AS INTEGER) + ?2
 WHERE id = ?1 AND expires_at > CAST(unixepoch('subsec') * 1000 AS INTEGER) RETURNING epoch

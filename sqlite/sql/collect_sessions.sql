-- Ends, a few at a time, sessions that have expired a while ago without anybody meeting them.
DELETE FROM sqllock_sessions
 WHERE id IN (SELECT id FROM sqllock_sessions WHERE expires_at < CAST(unixepoch('subsec') * 1000 AS INTEGER) - 60000 LIMIT 100)

-- Ends all sessions that have expired.
DELETE FROM sqllock_sessions WHERE expires_at <= CAST(unixepoch('subsec') * 1000 AS INTEGER)

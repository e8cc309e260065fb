-- Ends expired sessions that are in the way.
-- ?1 resource
DELETE FROM sqllock_sessions
 WHERE expires_at <= CAST(unixepoch('subsec') * 1000 AS INTEGER)
   AND id IN (SELECT session FROM sqllock_holders WHERE resource = ?1)

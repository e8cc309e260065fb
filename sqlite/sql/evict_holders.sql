-- Removes holders whose session is gone.
-- ?1 resource
DELETE FROM sqllock_holders
 WHERE resource = ?1
   AND (session IS NULL OR session NOT IN (SELECT id FROM sqllock_sessions))
   AND coalesce(keep_until, 0) <= CAST(unixepoch('subsec') * 1000 AS INTEGER)

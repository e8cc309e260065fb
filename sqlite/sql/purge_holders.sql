-- Removes all holders whose session is gone.
DELETE FROM sqllock_holders
 WHERE (session IS NULL OR session NOT IN (SELECT id FROM sqllock_sessions))
   AND coalesce(keep_until, 0) <= CAST(unixepoch('subsec') * 1000 AS INTEGER)

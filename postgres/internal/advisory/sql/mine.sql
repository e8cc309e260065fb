-- What this session holds. The function is the view pg_locks, without a lock on the view: it works when the lock table is full.
SELECT l.objsubid = 1, (l.classid::bigint << 32) | l.objid::bigint, l.mode = 'ExclusiveLock'
  FROM pg_lock_status() AS l
 WHERE l.locktype = 'advisory' AND l.granted AND l.pid = pg_backend_pid()

-- Who holds a key, in the database in which this session has its own marker. $1: key; $2: what the marker begins with. The function is the view
-- pg_locks, and no table is read: it works when the lock table is full.
SELECT l.pid
  FROM pg_lock_status() AS l
 WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1
   AND l.classid = (($1::bigint >> 32) & 4294967295)::oid AND l.objid = ($1::bigint & 4294967295)::oid
   AND l.database = (SELECT m.database FROM pg_lock_status() AS m
                      WHERE m.locktype = 'advisory' AND m.granted AND m.objsubid = 2 AND m.pid = pg_backend_pid()
                        AND m.classid::bigint = $2 AND m.objid::bigint = pg_backend_pid())

-- What the exclusive holder of a key has published: a row counts while the session that wrote it has both the key and the mark that came with the
-- row. Rows are as old as the statement, and locks are looked at later and all at once. So when a lock changes hands in between, the row of
-- the one who had it does not count any more, that of the next may not be seen yet, and the answer is that of the moment between the two.
-- $1 key
WITH held AS MATERIALIZED (
    SELECT l.objsubid, l.classid, l.objid, l.pid
      FROM pg_locks l
     WHERE l.locktype = 'advisory' AND l.granted AND l.mode = 'ExclusiveLock'
       AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
)
SELECT pg_is_in_recovery(), p.token, p.owner, p.value::text, p.since
  FROM (SELECT $1::bigint AS key) wanted
  LEFT JOIN public.sqllock_leaders p
    ON p.key = wanted.key
   AND EXISTS (SELECT FROM held h WHERE h.objsubid = 1 AND h.pid = p.pid
                  AND h.classid = ((p.key >> 32) & 4294967295)::oid AND h.objid = (p.key & 4294967295)::oid)
   AND EXISTS (SELECT FROM held h WHERE h.objsubid = 2 AND h.pid = p.pid
                  AND h.classid = ((p.nonce >> 32) & 4294967295)::oid AND h.objid = (p.nonce & 4294967295)::oid)

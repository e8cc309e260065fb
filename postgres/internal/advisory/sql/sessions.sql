-- Who holds some keys, but for one session: for each key that nobody holds a row with no process, for the others those sessions that have the
-- marker of a namespace. $1: keys; $2: the process of that one session; $3: what the namespace's markers begin with.
WITH held AS MATERIALIZED (
    SELECT l.objsubid, l.classid::bigint AS classid, l.objid::bigint AS objid, l.pid
      FROM pg_lock_status() AS l
     WHERE l.locktype = 'advisory' AND l.granted AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
), holder AS MATERIALIZED (
    SELECT wanted.key, h.pid
      FROM unnest($1::bigint[]) AS wanted(key)
      LEFT JOIN held h ON h.objsubid = 1 AND (h.classid << 32) | h.objid = wanted.key
)
SELECT DISTINCT coalesce(h.pid, 0)
  FROM holder h
 WHERE h.pid IS NULL
    OR h.pid <> $2 AND EXISTS (SELECT FROM held m WHERE m.objsubid = 2 AND m.pid = h.pid AND m.classid = $3 AND m.objid = h.pid)

-- Every advisory lock of this database, and whose it is as far as this role may see: pg_stat_activity shows other roles' sessions in part only.
SELECT l.objsubid = 1 AS single,
       (l.classid::bigint << 32) | l.objid::bigint AS key,
       l.mode = 'ExclusiveLock' AS exclusive,
       l.granted,
       l.pid,
       coalesce(a.application_name, '') AS application_name,
       coalesce(host(a.client_addr) || ':' || a.client_port, '') AS client
  FROM pg_locks l
  LEFT JOIN pg_stat_activity a ON a.pid = l.pid
 WHERE l.locktype = 'advisory' AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())

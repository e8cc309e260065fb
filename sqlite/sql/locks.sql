-- ?1 namespace
WITH now AS (SELECT CAST(unixepoch('subsec') * 1000 AS INTEGER) AS ms)
SELECT r.name, h.mode, h.permits, 0 AS waiting, h.token, coalesce(s.owner, ''), h.metadata,
       h.acquired_at AS since, s.expires_at, h.keep_until
  FROM now, sqllock_holders h
  JOIN sqllock_resources r ON r.id = h.resource
  LEFT JOIN sqllock_sessions s ON s.id = h.session
 WHERE r.namespace = ?1 AND (s.expires_at > now.ms OR h.keep_until > now.ms)
 UNION ALL
SELECT r.name, q.mode, q.permits, 1, 0, s.owner, NULL, q.since, s.expires_at, NULL
  FROM now, sqllock_waiters q
  JOIN sqllock_resources r ON r.id = q.resource
  JOIN sqllock_sessions s ON s.id = q.session
 WHERE r.namespace = ?1 AND s.expires_at > now.ms
 ORDER BY 1, 4, 8

-- ?1 namespace, ?2 name
SELECT h.token, s.owner, h.metadata, h.acquired_at
  FROM sqllock_resources r
  JOIN sqllock_holders h ON h.resource = r.id AND h.mode = 'x'
  JOIN sqllock_sessions s ON s.id = h.session
 WHERE r.namespace = ?1 AND r.name = ?2 AND s.expires_at > CAST(unixepoch('subsec') * 1000 AS INTEGER)

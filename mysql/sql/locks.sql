-- ? namespace, namespace
SELECT r.name, h.mode, h.permits, 0 AS waiting, h.token, COALESCE(t.owner, '') AS owner, h.metadata,
       TIMESTAMPDIFF(MICROSECOND, '1970-01-01', h.acquired_at) AS since, TIMESTAMPDIFF(MICROSECOND, '1970-01-01', t.expires_at) AS expires,
       TIMESTAMPDIFF(MICROSECOND, '1970-01-01', h.keep_until) AS keep
  FROM app.sqllock_holders h
  JOIN app.sqllock_resources r ON r.id = h.resource
  LEFT JOIN app.sqllock_sessions t ON t.id = h.session
 WHERE r.namespace = ? AND (t.expires_at > UTC_TIMESTAMP(6) OR h.keep_until > UTC_TIMESTAMP(6))
 UNION ALL
SELECT r.name, q.mode, q.permits, 1, 0, t.owner, NULL, TIMESTAMPDIFF(MICROSECOND, '1970-01-01', q.since),
       TIMESTAMPDIFF(MICROSECOND, '1970-01-01', t.expires_at), NULL
  FROM app.sqllock_waiters q
  JOIN app.sqllock_resources r ON r.id = q.resource
  JOIN app.sqllock_sessions t ON t.id = q.session
 WHERE r.namespace = ? AND t.expires_at > UTC_TIMESTAMP(6)
 ORDER BY 1, waiting, since

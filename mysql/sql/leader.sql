-- ? namespace, name
SELECT h.token, t.owner, h.metadata, TIMESTAMPDIFF(MICROSECOND, '1970-01-01', h.acquired_at)
  FROM app.sqllock_resources r
  JOIN app.sqllock_holders h ON h.resource = r.id AND h.mode = 'x'
  JOIN app.sqllock_sessions t ON t.id = h.session
 WHERE r.namespace = ? AND r.name = ? AND t.expires_at > UTC_TIMESTAMP(6)

-- Names that have not been used for a while. The dead hold nothing.
-- ? unused for so many microseconds, limit
SELECT COALESCE(GROUP_CONCAT(id), '') INTO @idle
  FROM (SELECT r.id
          FROM app.sqllock_resources r
         WHERE r.used_at < UTC_TIMESTAMP(6) - INTERVAL ? MICROSECOND
           AND NOT EXISTS (SELECT 1 FROM app.sqllock_holders h LEFT JOIN app.sqllock_sessions t ON t.id = h.session
                            WHERE h.resource = r.id AND (t.expires_at > UTC_TIMESTAMP(6) OR h.keep_until > UTC_TIMESTAMP(6)))
           AND NOT EXISTS (SELECT 1 FROM app.sqllock_waiters q JOIN app.sqllock_sessions t ON t.id = q.session
                            WHERE q.resource = r.id AND t.expires_at > UTC_TIMESTAMP(6))
         ORDER BY r.id LIMIT ?) i

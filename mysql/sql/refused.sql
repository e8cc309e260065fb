-- Why something was not granted, as far as that can be seen when nothing is locked any more. 'expired' says that somebody in the way can be
-- evicted; 'busy' that a transaction has the resource locked, and nobody is known to hold it.
-- ? session, locked, locked, namespace
SELECT w.n,
       CASE WHEN NOT EXISTS (SELECT 1 FROM app.sqllock_sessions t WHERE t.id = ? AND t.expires_at > UTC_TIMESTAMP(6)) THEN 'stale'
            WHEN r.id IS NULL THEN 'unseeded'
            WHEN FIND_IN_SET(r.id, ?)
             AND EXISTS (SELECT 1 FROM app.sqllock_holders h LEFT JOIN app.sqllock_sessions t ON t.id = h.session
                          WHERE h.resource = r.id AND (w.mode <> 's' OR h.mode <> 's')
                            AND COALESCE(t.expires_at <= UTC_TIMESTAMP(6), 1) AND COALESCE(h.keep_until <= UTC_TIMESTAMP(6), 1)) THEN 'expired'
            WHEN FIND_IN_SET(r.id, ?)
              OR EXISTS (SELECT 1 FROM app.sqllock_holders h LEFT JOIN app.sqllock_sessions t ON t.id = h.session
                          WHERE h.resource = r.id AND (w.mode <> 's' OR h.mode <> 's')
                            AND (t.expires_at > UTC_TIMESTAMP(6) OR h.keep_until > UTC_TIMESTAMP(6))) THEN 'held'
            ELSE 'busy' END,
       (SELECT t.owner FROM app.sqllock_holders h JOIN app.sqllock_sessions t ON t.id = h.session
         WHERE h.resource = r.id AND (t.expires_at > UTC_TIMESTAMP(6) OR h.keep_until > UTC_TIMESTAMP(6)) ORDER BY h.token LIMIT 1),
       (SELECT TIMESTAMPDIFF(MICROSECOND, '1970-01-01', MIN(GREATEST(COALESCE(t.expires_at, '1970-01-01'), COALESCE(h.keep_until, '1970-01-01'))))
          FROM app.sqllock_holders h LEFT JOIN app.sqllock_sessions t ON t.id = h.session WHERE h.resource = r.id),
       (SELECT TIMESTAMPDIFF(MICROSECOND, '1970-01-01', MIN(t.expires_at))
          FROM app.sqllock_waiters q JOIN app.sqllock_sessions t ON t.id = q.session AND t.expires_at > UTC_TIMESTAMP(6)
         WHERE q.resource = r.id AND (w.waiter = 0 OR q.id < w.waiter)),
       TIMESTAMPDIFF(MICROSECOND, '1970-01-01', UTC_TIMESTAMP(6))
  FROM JSON_TABLE(@want, '$[*]' COLUMNS (n INT PATH '$.n', name VARCHAR(510) PATH '$.name', mode CHAR(1) PATH '$.mode',
           waiter BIGINT PATH '$.waiter')) w
  LEFT JOIN app.sqllock_resources r FORCE INDEX (by_name) ON r.namespace = ? AND r.name = UNHEX(w.name)

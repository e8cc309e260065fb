-- Chooses what to grant: what is locked, what nobody holds and nobody has waited for longer who excludes it. A dead waiter counts for nothing, a
-- dead holder holds until it is evicted. Where the latest holder was alone there is one row to look at, and not also those of all former holders that the
-- server has not purged yet. A plain list of conditions, without joins of its own or groups: those would need temporary tables.
-- ? namespace
SELECT COALESCE(CAST(JSON_ARRAYAGG(JSON_OBJECT('n', w.n, 'resource', r.id, 'token', r.token + 1, 'mode', w.mode, 'permits', w.permits,
                                               'keep', w.keep, 'waiter', w.waiter)) AS CHAR), '[]')
  INTO @granted
  FROM JSON_TABLE(@want, '$[*]' COLUMNS (n INT PATH '$.n', name VARCHAR(510) PATH '$.name', mode CHAR(1) PATH '$.mode',
           permits INT PATH '$.permits', keep BIGINT PATH '$.keep', waiter BIGINT PATH '$.waiter')) w
  STRAIGHT_JOIN app.sqllock_resources r FORCE INDEX (by_name) ON r.namespace = ? AND r.name = UNHEX(w.name)
 WHERE FIND_IN_SET(r.id, @locked)
   AND EXISTS (SELECT 1 FROM app.sqllock_sessions t WHERE t.id = @session AND t.expires_at > UTC_TIMESTAMP(6))
   AND NOT EXISTS (SELECT 1 FROM app.sqllock_holders h WHERE h.resource = r.id AND h.token = r.token AND (w.mode = 'x' OR h.mode <> w.mode))
   AND (r.alone OR NOT EXISTS (SELECT 1 FROM app.sqllock_holders h WHERE h.resource = r.id AND (w.mode = 'x' OR h.mode <> w.mode)))
   AND NOT EXISTS (SELECT 1 FROM app.sqllock_waiters q FORCE INDEX (by_resource)
                     JOIN app.sqllock_sessions t ON t.id = q.session AND t.expires_at > UTC_TIMESTAMP(6)
                    WHERE q.resource = r.id AND (w.waiter = 0 OR q.id < w.waiter) AND (w.mode = 'x' OR q.mode <> w.mode))
   AND (w.mode <> 'p'
        OR (SELECT COUNT(*) FROM app.sqllock_holders h WHERE h.resource = r.id)
           + (SELECT COUNT(*) FROM app.sqllock_waiters q FORCE INDEX (by_resource)
                JOIN app.sqllock_sessions t ON t.id = q.session AND t.expires_at > UTC_TIMESTAMP(6)
               WHERE q.resource = r.id AND (w.waiter = 0 OR q.id < w.waiter))
           < LEAST(w.permits, COALESCE((SELECT MIN(h.permits) FROM app.sqllock_holders h WHERE h.resource = r.id), w.permits)))

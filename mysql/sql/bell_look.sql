-- What there is for the sessions to hear: their epochs, null for one that is gone; and their waiters who could be granted what they wait for.
-- ? sessions, as JSON; twice
SELECT s.id, t.epoch, NULL
  FROM JSON_TABLE(?, '$[*]' COLUMNS (id BIGINT PATH '$')) s
  LEFT JOIN app.sqllock_sessions t FORCE INDEX (PRIMARY) ON t.id = s.id
 UNION ALL
SELECT q.session, NULL, q.id
  FROM JSON_TABLE(?, '$[*]' COLUMNS (id BIGINT PATH '$')) s
  STRAIGHT_JOIN app.sqllock_waiters q FORCE INDEX (by_session) ON q.session = s.id
 WHERE NOT EXISTS (SELECT 1 FROM app.sqllock_holders h
                    WHERE h.resource = q.resource AND (q.mode = 'x' OR h.mode <> q.mode))
   AND NOT EXISTS (SELECT 1 FROM app.sqllock_waiters e JOIN app.sqllock_sessions t ON t.id = e.session AND t.expires_at > UTC_TIMESTAMP(6)
                    WHERE e.resource = q.resource AND e.id < q.id AND (q.mode = 'x' OR e.mode <> q.mode))
   AND (q.mode <> 'p' OR NOT EXISTS (SELECT 1 FROM app.sqllock_holders h WHERE h.resource = q.resource
                                     HAVING COUNT(*) >= LEAST(q.permits, MIN(h.permits))))

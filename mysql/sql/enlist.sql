-- One that reaches the server late, when its session has reconciled since, finds another epoch and adds nothing: nobody would ever
-- remove its waiters, and they would stand in everybody's way for as long as the session lives.
-- ? namespace
INSERT INTO app.sqllock_waiters (resource, session, mode, permits, since)
SELECT r.id, @session, w.mode, w.permits, UTC_TIMESTAMP(6)
  FROM JSON_TABLE(@want, '$[*]' COLUMNS (n INT PATH '$.n', name VARCHAR(510) PATH '$.name', mode CHAR(1) PATH '$.mode', permits INT PATH '$.permits')) w
  STRAIGHT_JOIN app.sqllock_resources r FORCE INDEX (by_name) ON r.namespace = ? AND r.name = UNHEX(w.name)
 WHERE @session IS NOT NULL
 ORDER BY w.n

-- Those that the statement before has added: a session enlists one batch at a time.
-- ? namespace
SELECT w.n, q.id
  FROM JSON_TABLE(@want, '$[*]' COLUMNS (n INT PATH '$.n', name VARCHAR(510) PATH '$.name')) w
  STRAIGHT_JOIN app.sqllock_resources r FORCE INDEX (by_name) ON r.namespace = ? AND r.name = UNHEX(w.name)
  STRAIGHT_JOIN app.sqllock_waiters q FORCE INDEX (by_resource) ON q.resource = r.id AND q.id >= @first
 WHERE q.session = @session

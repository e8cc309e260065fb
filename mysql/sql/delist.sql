DELETE q
  FROM JSON_TABLE(@want, '$[*]' COLUMNS (id BIGINT PATH '$')) w
  STRAIGHT_JOIN app.sqllock_waiters q FORCE INDEX (PRIMARY) ON q.id = w.id

DELETE q
  FROM JSON_TABLE(@granted, '$[*]' COLUMNS (waiter BIGINT PATH '$.waiter')) g
  STRAIGHT_JOIN app.sqllock_waiters q FORCE INDEX (PRIMARY) ON q.id = g.waiter

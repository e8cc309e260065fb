DELETE t
  FROM JSON_TABLE(@dead, '$[*]' COLUMNS (id BIGINT PATH '$')) d
  STRAIGHT_JOIN app.sqllock_sessions t FORCE INDEX (PRIMARY) ON t.id = d.id

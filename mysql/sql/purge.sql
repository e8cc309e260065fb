DELETE r
  FROM JSON_TABLE(@dead, '$[*]' COLUMNS (id BIGINT PATH '$')) d
  STRAIGHT_JOIN app.sqllock_resources r FORCE INDEX (PRIMARY) ON r.id = d.id

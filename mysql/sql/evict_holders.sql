DELETE h
  FROM JSON_TABLE(@dead, '$[*]' COLUMNS (resource BIGINT PATH '$.resource', token BIGINT PATH '$.token')) d
  STRAIGHT_JOIN app.sqllock_holders h FORCE INDEX (PRIMARY) ON h.resource = d.resource AND h.token = d.token

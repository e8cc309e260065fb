DELETE h
  FROM JSON_TABLE(@mine, '$[*]' COLUMNS (resource BIGINT PATH '$.resource', token BIGINT PATH '$.token', keep INT PATH '$.keep')) m
  STRAIGHT_JOIN app.sqllock_holders h FORCE INDEX (PRIMARY) ON h.resource = m.resource AND h.token = m.token
 WHERE m.keep = 0

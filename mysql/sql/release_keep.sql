-- One that is to be kept loses its session instead.
UPDATE JSON_TABLE(IF(@keep, @mine, '[]'), '$[*]' COLUMNS (resource BIGINT PATH '$.resource', token BIGINT PATH '$.token', keep INT PATH '$.keep')) m
  STRAIGHT_JOIN app.sqllock_holders h FORCE INDEX (PRIMARY) ON h.resource = m.resource AND h.token = m.token
   SET h.session = NULL
 WHERE m.keep = 1

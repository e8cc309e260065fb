-- What is left of those that were to be given up: somebody has them locked.
SELECT h.resource, h.token
  FROM JSON_TABLE(@want, '$[*]' COLUMNS (resource BIGINT PATH '$.resource', token BIGINT PATH '$.token')) w
  STRAIGHT_JOIN app.sqllock_holders h FORCE INDEX (PRIMARY) ON h.resource = w.resource AND h.token = w.token

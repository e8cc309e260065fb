-- The token counts with each grant.
UPDATE JSON_TABLE(@granted, '$[*]' COLUMNS (resource BIGINT PATH '$.resource', token BIGINT PATH '$.token', mode CHAR(1) PATH '$.mode')) g
  STRAIGHT_JOIN app.sqllock_resources r FORCE INDEX (PRIMARY) ON r.id = g.resource
   SET r.token = g.token, r.alone = (g.mode = 'x'), r.used_at = UTC_TIMESTAMP(6)

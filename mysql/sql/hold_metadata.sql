-- Sent only where somebody has some.
UPDATE JSON_TABLE(@granted, '$[*]' COLUMNS (n INT PATH '$.n', resource BIGINT PATH '$.resource', token BIGINT PATH '$.token')) g
  STRAIGHT_JOIN app.sqllock_holders h FORCE INDEX (PRIMARY) ON h.resource = g.resource AND h.token = g.token
   SET h.metadata = NULLIF(JSON_UNQUOTE(JSON_EXTRACT(@want, CONCAT('$[', g.n, '].metadata'))), '')

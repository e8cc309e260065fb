INSERT INTO app.sqllock_holders (resource, token, mode, permits, session, acquired_at, keep_until)
SELECT resource, token, mode, permits, @session, UTC_TIMESTAMP(6), CASE WHEN keep > 0 THEN UTC_TIMESTAMP(6) + INTERVAL keep MICROSECOND END
  FROM JSON_TABLE(@granted, '$[*]' COLUMNS (resource BIGINT PATH '$.resource', token BIGINT PATH '$.token', mode CHAR(1) PATH '$.mode',
           permits INT PATH '$.permits', keep BIGINT PATH '$.keep')) g

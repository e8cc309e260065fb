-- Holders to be given up, but for those that a guarded transaction has locked: they are left for later.
SELECT COALESCE(CAST(JSON_ARRAYAGG(JSON_OBJECT('resource', resource, 'token', token, 'keep', COALESCE(keep_until > UTC_TIMESTAMP(6), 0))) AS CHAR), '[]'),
       COALESCE(MAX(keep_until > UTC_TIMESTAMP(6)), 0)
  INTO @mine, @keep
  FROM (SELECT h.resource, h.token, h.keep_until
          FROM JSON_TABLE(@want, '$[*]' COLUMNS (resource BIGINT PATH '$.resource', token BIGINT PATH '$.token')) w
          STRAIGHT_JOIN app.sqllock_holders h FORCE INDEX (PRIMARY) ON h.resource = w.resource AND h.token = w.token
           FOR UPDATE /*!80000 OF h */ SKIP LOCKED) m

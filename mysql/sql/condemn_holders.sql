-- One that a guarded transaction has locked stays, and holds.
SELECT COALESCE(CAST(JSON_ARRAYAGG(JSON_OBJECT('resource', resource, 'token', token)) AS CHAR), '[]') INTO @dead
  FROM (SELECT h.resource, h.token
          FROM JSON_TABLE(@suspects, '$[*]' COLUMNS (resource BIGINT PATH '$.resource', token BIGINT PATH '$.token')) s
          STRAIGHT_JOIN app.sqllock_holders h FORCE INDEX (PRIMARY) ON h.resource = s.resource AND h.token = s.token
           FOR UPDATE /*!80000 OF h */ SKIP LOCKED) d

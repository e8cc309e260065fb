-- A renewal that got there first wins: the row lock re-checks the expiry.
SELECT COALESCE(CAST(JSON_ARRAYAGG(id) AS CHAR), '[]') INTO @dead
  FROM (SELECT t.id
          FROM JSON_TABLE(@suspects, '$[*]' COLUMNS (id BIGINT PATH '$')) s
          STRAIGHT_JOIN app.sqllock_sessions t FORCE INDEX (PRIMARY) ON t.id = s.id
         WHERE t.expires_at <= UTC_TIMESTAMP(6)
           FOR UPDATE /*!80000 OF t */ SKIP LOCKED) d

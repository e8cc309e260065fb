-- Sessions of holders in the way that have expired.
SELECT COALESCE(CAST(JSON_ARRAYAGG(id) AS CHAR), '[]') INTO @suspects
  FROM (SELECT DISTINCT t.id
          FROM JSON_TABLE(CONCAT('[', @locked, ']'), '$[*]' COLUMNS (id BIGINT PATH '$')) l
          STRAIGHT_JOIN app.sqllock_holders h FORCE INDEX (PRIMARY) ON h.resource = l.id
          STRAIGHT_JOIN app.sqllock_sessions t FORCE INDEX (PRIMARY) ON t.id = h.session
         WHERE t.expires_at <= UTC_TIMESTAMP(6)) s

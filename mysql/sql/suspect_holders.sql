-- Holders whose session is gone, which it is for ever.
SELECT COALESCE(CAST(JSON_ARRAYAGG(JSON_OBJECT('resource', resource, 'token', token)) AS CHAR), '[]') INTO @suspects
  FROM (SELECT h.resource, h.token
          FROM JSON_TABLE(CONCAT('[', @locked, ']'), '$[*]' COLUMNS (id BIGINT PATH '$')) l
          STRAIGHT_JOIN app.sqllock_holders h FORCE INDEX (PRIMARY) ON h.resource = l.id
          LEFT JOIN app.sqllock_sessions t FORCE INDEX (PRIMARY) ON t.id = h.session
         WHERE t.id IS NULL AND (h.keep_until IS NULL OR h.keep_until <= UTC_TIMESTAMP(6))) s

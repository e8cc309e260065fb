-- Sessions that have expired a while ago without anybody meeting them, a few at a time.
SELECT COALESCE(CAST(JSON_ARRAYAGG(id) AS CHAR), '[]') INTO @suspects
  FROM (SELECT id FROM app.sqllock_sessions WHERE expires_at < UTC_TIMESTAMP(6) - INTERVAL 1 MINUTE ORDER BY id LIMIT 100) s

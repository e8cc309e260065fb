-- Waiters whose session is gone, a few at a time.
SELECT COALESCE(CAST(JSON_ARRAYAGG(id) AS CHAR), '[]') INTO @want
  FROM (SELECT q.id FROM app.sqllock_waiters q LEFT JOIN app.sqllock_sessions t ON t.id = q.session WHERE t.id IS NULL LIMIT 100) d

-- As release_lock.sql, for all holders of a session.
-- ? session
SELECT COALESCE(CAST(JSON_ARRAYAGG(JSON_OBJECT('resource', resource, 'token', token, 'keep', COALESCE(keep_until > UTC_TIMESTAMP(6), 0))) AS CHAR), '[]'),
       COALESCE(MAX(keep_until > UTC_TIMESTAMP(6)), 0)
  INTO @mine, @keep
  FROM (SELECT resource, token, keep_until FROM app.sqllock_holders FORCE INDEX (by_session) WHERE session = ? FOR UPDATE SKIP LOCKED) m

-- Those of the locked names that are free, now that nobody can be granted them and the dead have been evicted.
SELECT COALESCE(CAST(JSON_ARRAYAGG(id) AS CHAR), '[]'), COALESCE(MAX(token), 0), COUNT(*) INTO @dead, @highest, @purged
  FROM (SELECT r.id, r.token
          FROM JSON_TABLE(CONCAT('[', @locked, ']'), '$[*]' COLUMNS (id BIGINT PATH '$')) l
          STRAIGHT_JOIN app.sqllock_resources r FORCE INDEX (PRIMARY) ON r.id = l.id
         WHERE NOT EXISTS (SELECT 1 FROM app.sqllock_holders h WHERE h.resource = r.id)
           AND NOT EXISTS (SELECT 1 FROM app.sqllock_waiters q JOIN app.sqllock_sessions t ON t.id = q.session
                            WHERE q.resource = r.id AND t.expires_at > UTC_TIMESTAMP(6))) f

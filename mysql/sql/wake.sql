-- Who is next in line for what was freed, and only they: the first waiter, or all who could share with it. It runs after the commit that made
-- room: a waiter that is not seen here enlisted later, and will see the room when it tries.
-- What is returned are connections, and whether they sleep.
SELECT connection, IS_USED_LOCK(CONCAT('sqllock asleep ', COALESCE(connection, 0))) <=> connection
  FROM (SELECT DISTINCT IS_USED_LOCK(CONCAT('sqllock bell ', q.session)) AS connection
          FROM JSON_TABLE(@freed, '$[*]' COLUMNS (resource BIGINT PATH '$.resource')) f
          STRAIGHT_JOIN app.sqllock_waiters q FORCE INDEX (by_resource) ON q.resource = f.resource
          STRAIGHT_JOIN app.sqllock_sessions t FORCE INDEX (PRIMARY) ON t.id = q.session AND t.expires_at > UTC_TIMESTAMP(6)
         WHERE NOT EXISTS (SELECT 1 FROM app.sqllock_waiters e JOIN app.sqllock_sessions u ON u.id = e.session AND u.expires_at > UTC_TIMESTAMP(6)
                            WHERE e.resource = q.resource AND e.id < q.id AND (q.mode = 'x' OR e.mode <> q.mode))) bells
 WHERE connection IS NOT NULL

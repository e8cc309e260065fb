-- Gives up one exclusive lock, and wakes those who wait in other sessions, if there are any: they hold its companion shared.
-- $1: key; $2, $3: companion. 0: nobody waits; 1: notified; -1: this session did not hold it.
SELECT CASE WHEN pg_advisory_unlock($1) THEN
         CASE WHEN pg_try_advisory_lock($2, $3) THEN
                CASE WHEN pg_advisory_unlock($2, $3) THEN 0 END
              WHEN pg_notify('sqllock', 'x' || $1) IS NOT NULL THEN 1
         END
         ELSE -1
       END

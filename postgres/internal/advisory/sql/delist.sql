-- This session waits no longer. Those who have yielded to it are told to try. Arrays: keys; companions; intents, or null.
SELECT CASE WHEN pg_advisory_unlock_shared(c1, c2) THEN
         CASE WHEN i1 IS NULL THEN 0
              WHEN pg_advisory_unlock(i1, i2) THEN
                CASE WHEN pg_try_advisory_lock(c1, c2) THEN
                       CASE WHEN pg_advisory_unlock(c1, c2) THEN 0 END
                     WHEN pg_notify('sqllock', 'x' || k) IS NOT NULL THEN 1
                END
              ELSE -1
         END
         ELSE -1
       END
  FROM unnest($1::bigint[], $2::int[], $3::int[], $4::int[], $5::int[]) AS u(k, c1, c2, i1, i2)

-- unlock.sql for many. Arrays: keys; companions.
SELECT CASE WHEN pg_advisory_unlock(k) THEN
         CASE WHEN pg_try_advisory_lock(c1, c2) THEN
                CASE WHEN pg_advisory_unlock(c1, c2) THEN 0 END
              WHEN pg_notify('sqllock', 'x' || k) IS NOT NULL THEN 1
         END
         ELSE -1
       END
  FROM unnest($1::bigint[], $2::int[], $3::int[]) AS u(k, c1, c2)

-- lock.sql for many. Arrays: keys; barriers. The statements for many are kept apart by what they do, because the server sets up the whole
-- expression each time, and that is most of what a small one costs.
SELECT CASE WHEN pg_try_advisory_lock(k) THEN
         CASE WHEN pg_try_advisory_lock(b1, b2) THEN
                CASE WHEN pg_advisory_unlock(b1, b2) THEN nextval('public.sqllock_token') END
              WHEN pg_advisory_unlock(k) THEN -1
         END
       END
  FROM unnest($1::bigint[], $2::int[], $3::int[]) AS u(k, b1, b2)

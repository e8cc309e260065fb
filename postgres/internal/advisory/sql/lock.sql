-- One exclusive attempt. $1: key; $2, $3: its barrier for all. The barrier is held by transactions that a former holder has guarded.
-- NULL: held by another; -1: free, but guarded; else granted, and the token. CASE makes the order certain.
SELECT CASE WHEN pg_try_advisory_lock($1) THEN
         CASE WHEN pg_try_advisory_lock($2, $3) THEN
                CASE WHEN pg_advisory_unlock($2, $3) THEN nextval('public.sqllock_token') END
              WHEN pg_advisory_unlock($1) THEN -1
         END
       END

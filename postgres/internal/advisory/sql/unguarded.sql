-- Whether no transaction is open that a holder of the key has guarded. $1, $2: its barrier for all.
SELECT CASE WHEN pg_try_advisory_lock($1, $2) THEN pg_advisory_unlock($1, $2) ELSE false END

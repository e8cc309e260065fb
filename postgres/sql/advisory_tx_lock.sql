-- Waits for a key, and then for the end of transactions that former holders have guarded.
SELECT CASE WHEN pg_advisory_xact_lock($1::bigint) IS NOT NULL THEN pg_advisory_xact_lock($2::int, $3::int) IS NOT NULL END

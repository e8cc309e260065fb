SELECT CASE WHEN pg_try_advisory_xact_lock($1::bigint) THEN pg_try_advisory_xact_lock($2::int, $3::int) ELSE false END

SELECT coalesce(sum(calls), 0)::bigint FROM pg_stat_statements
 WHERE query NOT LIKE '%pg_stat_statements%' AND query NOT LIKE '%backend_xmin%'

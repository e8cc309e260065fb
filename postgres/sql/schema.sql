SELECT (SELECT max(version) FROM public.sqllock_schema_version WHERE NOT dirty), (SELECT oldest_reader FROM public.sqllock_meta), pg_catalog.pg_is_in_recovery()

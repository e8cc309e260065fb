DELETE FROM public.sqllock_names WHERE namespace = $1 AND seen_at < now() - $2 * interval '1 microsecond'

SELECT key, name FROM public.sqllock_names WHERE namespace = $1

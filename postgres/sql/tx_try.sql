-- Null says that somebody has the name locked; no row, that there is no such name.
-- $1 namespace, $2 name
SELECT (SELECT set_config('sqllock.locked', id::text, true)
          FROM (SELECT id FROM public.sqllock_resources WHERE namespace = $1 AND name = $2 FOR UPDATE SKIP LOCKED) r)
  FROM public.sqllock_resources WHERE namespace = $1 AND name = $2

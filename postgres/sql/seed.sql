-- Names start from the floor that Purge has raised. The floor is locked: a name that is being purged cannot come back below it.
-- $1 namespace, $2 names
INSERT INTO public.sqllock_resources (namespace, name, token, used_at)
SELECT $1, name, token_floor, clock_timestamp()
  FROM (SELECT token_floor FROM public.sqllock_meta FOR SHARE) meta, unnest($2::text[]) name
 ORDER BY name
    ON CONFLICT (namespace, name) DO NOTHING

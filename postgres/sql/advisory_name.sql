-- Rewritten at most once a day, so that names that are in use are not purged.
INSERT INTO public.sqllock_names AS known (key, namespace, name)
SELECT u.key, $1, u.name FROM unnest($2::bigint[], $3::text[]) AS u(key, name)
    ON CONFLICT (namespace, name) DO UPDATE SET key = excluded.key, seen_at = now()
 WHERE known.key <> excluded.key OR known.seen_at < now() - interval '1 day'

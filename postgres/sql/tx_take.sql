-- With the resource locked and the dead evicted: is it free? If so a token is used up, so that the guard of an earlier holder fails.
WITH taken AS (
    UPDATE public.sqllock_resources r SET token = token + 1, used_at = clock_timestamp()
     WHERE id = current_setting('sqllock.locked')::bigint
       AND NOT EXISTS (SELECT FROM public.sqllock_holders h WHERE h.resource = r.id)
    RETURNING token
)
SELECT (SELECT token FROM taken),
       coalesce((SELECT min(s.owner) FROM public.sqllock_holders h JOIN public.sqllock_sessions s ON s.id = h.session
                  WHERE h.resource = current_setting('sqllock.locked')::bigint), ''),
       (SELECT min(s.expires_at) FROM public.sqllock_holders h JOIN public.sqllock_sessions s ON s.id = h.session
         WHERE h.resource = current_setting('sqllock.locked')::bigint)

-- Grants one name that nobody holds and nobody waits for, dead or alive. All else is for grant.sql, which the server needs several times as long
-- to set up.
-- $1 namespace, $2 name, $3 session, $4 mode, $5 permits, $6 keep for so many microseconds, $7 metadata
WITH counted AS (
    UPDATE public.sqllock_resources r SET token = r.token + 1, used_at = clock_timestamp()
     WHERE r.namespace = $1 AND r.name = $2
       AND current_setting('sqllock.session') <> '' AND current_setting('sqllock.locked') = r.id::text
       AND NOT EXISTS (SELECT FROM public.sqllock_holders o WHERE o.resource = r.id)
       AND NOT EXISTS (SELECT FROM public.sqllock_waiters q WHERE q.resource = r.id)
    RETURNING r.id, r.token
)
INSERT INTO public.sqllock_holders (resource, token, mode, permits, session, metadata, acquired_at, keep_until)
SELECT id, token, $4, $5, $3, $7::jsonb, clock_timestamp(),
       CASE WHEN $6::bigint > 0 THEN clock_timestamp() + $6::bigint * interval '1 microsecond' END
  FROM counted
RETURNING resource, token, set_config('synchronous_commit', 'on', true) -- as in grant.sql

-- Removes some names that nobody has used for a while. A name that was granted since this statement's snapshot has a later used_at, which
-- the row lock re-checks.
-- $1 unused for so many microseconds, $2 limit
WITH idle AS (
    SELECT id FROM public.sqllock_resources r
     WHERE used_at < clock_timestamp() - $1::bigint * interval '1 microsecond'
       AND NOT EXISTS (SELECT FROM public.sqllock_holders h WHERE h.resource = r.id)
       AND NOT EXISTS (SELECT FROM public.sqllock_waiters q WHERE q.resource = r.id)
     ORDER BY id LIMIT $2 FOR UPDATE SKIP LOCKED
), purged AS (
    DELETE FROM public.sqllock_resources r USING idle WHERE r.id = idle.id RETURNING r.token
), raised AS (
    UPDATE public.sqllock_meta SET token_floor = greatest(token_floor, (SELECT max(token) FROM purged))
     WHERE EXISTS (SELECT FROM purged)
)
SELECT count(*) FROM purged

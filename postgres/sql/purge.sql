-- Removes those of the locked names that are free, now that nobody can be granted them and the dead have been evicted.
WITH purged AS (
    DELETE FROM public.sqllock_resources r
     WHERE id = ANY (string_to_array(current_setting('sqllock.locked'), ',')::bigint[])
       AND NOT EXISTS (SELECT FROM public.sqllock_holders h WHERE h.resource = r.id)
       AND NOT EXISTS (SELECT FROM public.sqllock_waiters q JOIN public.sqllock_sessions t ON t.id = q.session
                        WHERE q.resource = r.id AND t.expires_at > clock_timestamp())
    RETURNING token
), raised AS (
    UPDATE public.sqllock_meta SET token_floor = greatest(token_floor, (SELECT max(token) FROM purged))
     WHERE EXISTS (SELECT FROM purged)
)
SELECT count(*) FROM purged

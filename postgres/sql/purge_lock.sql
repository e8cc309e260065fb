-- Locks some names that have not been used for a while. The dead hold nothing. What was locked is remembered for the statements that follow:
-- a name may have been granted since the snapshot of this one.
-- $1 unused for so many microseconds, $2 limit
SELECT set_config('sqllock.locked', coalesce(string_agg(id::text, ','), ''), true), count(*)
  FROM (SELECT id FROM public.sqllock_resources r
         WHERE used_at < clock_timestamp() - $1::bigint * interval '1 microsecond'
           AND NOT EXISTS (SELECT FROM public.sqllock_holders h LEFT JOIN public.sqllock_sessions t ON t.id = h.session
                            WHERE h.resource = r.id AND greatest(t.expires_at, h.keep_until) > clock_timestamp())
           AND NOT EXISTS (SELECT FROM public.sqllock_waiters q JOIN public.sqllock_sessions t ON t.id = q.session
                            WHERE q.resource = r.id AND t.expires_at > clock_timestamp())
         ORDER BY id LIMIT $2 FOR UPDATE SKIP LOCKED) idle

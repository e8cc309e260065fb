-- lock.sql for one name.
-- $1 namespace, $2 name, $3 session, $4 epoch
SELECT set_config('sqllock.session', coalesce((
           SELECT id::text FROM public.sqllock_sessions
            WHERE id = $3 AND epoch = $4 AND expires_at > clock_timestamp() FOR KEY SHARE), ''), true),
       set_config('sqllock.locked', coalesce((
           SELECT id::text FROM public.sqllock_resources WHERE namespace = $1 AND name = $2 FOR UPDATE SKIP LOCKED), ''), true),
       set_config('synchronous_commit', 'off', true) -- until something is granted

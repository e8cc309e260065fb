-- Locks the resources that we may look at, and our own session against being ended by others while we acquire.
-- What was locked is remembered for the statements that follow: they must be statements of their own, because the
-- snapshot of this one is older than the locks it gets.
-- $1 namespace, $2 names, $3 session, $4 epoch
SELECT set_config('sqllock.session', coalesce((
           SELECT id::text FROM public.sqllock_sessions
            WHERE id = $3 AND epoch = $4 AND expires_at > clock_timestamp() FOR KEY SHARE), ''), true),
       set_config('sqllock.locked', coalesce((
           SELECT string_agg(id::text, ',') FROM (
               SELECT id FROM public.sqllock_resources
                WHERE namespace = $1 AND name = ANY ($2::text[])
                ORDER BY id FOR UPDATE SKIP LOCKED) r), ''), true),
       set_config('statement_timeout', '0', true),
       set_config('synchronous_commit', 'off', true), -- until something is granted
       -- grant.sql is planned once, and so that it is right for tables of any size: names are looked up one by one. Bitmap scans would not mark
       -- the index entries of holders that are gone, and so meet all of them again each time.
       set_config('plan_cache_mode', 'force_generic_plan', true),
       set_config('enable_bitmapscan', 'off', true),
       set_config('enable_seqscan', 'off', true),
       set_config('enable_hashjoin', 'off', true),
       set_config('enable_mergejoin', 'off', true)

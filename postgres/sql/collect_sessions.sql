-- Ends, a few at a time, sessions that have expired a while ago without anybody meeting them.
DELETE FROM public.sqllock_sessions s
 USING (SELECT id FROM public.sqllock_sessions WHERE expires_at < clock_timestamp() - interval '1 minute'
         ORDER BY id LIMIT 100 FOR UPDATE SKIP LOCKED) dead
 WHERE s.id = dead.id

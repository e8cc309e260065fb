-- Removes, a few at a time, waiters whose session is gone.
DELETE FROM public.sqllock_waiters q
 USING (SELECT id FROM public.sqllock_waiters w
         WHERE NOT EXISTS (SELECT FROM public.sqllock_sessions s WHERE s.id = w.session)
         ORDER BY id LIMIT 100 FOR UPDATE SKIP LOCKED) dead
 WHERE q.id = dead.id

-- Ends expired sessions that are in the way. A renewal that got there first wins: the row lock re-checks the expiry.
DELETE FROM public.sqllock_sessions s
 USING (SELECT id FROM public.sqllock_sessions
         WHERE id IN (SELECT session FROM public.sqllock_holders
                       WHERE resource = ANY (string_to_array(current_setting('sqllock.locked'), ',')::bigint[]))
           AND expires_at <= clock_timestamp()
         ORDER BY id FOR UPDATE SKIP LOCKED) dead
 WHERE s.id = dead.id

-- Removes holders whose session is gone. One that a guarded transaction has locked stays, and holds.
DELETE FROM public.sqllock_holders h
 USING (SELECT resource, token FROM public.sqllock_holders o
         WHERE resource = ANY (string_to_array(current_setting('sqllock.locked'), ',')::bigint[])
           AND (keep_until IS NULL OR keep_until <= clock_timestamp())
           AND NOT EXISTS (SELECT FROM public.sqllock_sessions s WHERE s.id = o.session)
           FOR UPDATE SKIP LOCKED) dead
 WHERE h.resource = dead.resource AND h.token = dead.token

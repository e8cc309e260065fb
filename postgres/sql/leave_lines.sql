-- $1 session
DELETE FROM public.sqllock_waiters WHERE session = $1 RETURNING resource

-- $1 session
DELETE FROM public.sqllock_sessions WHERE id = $1

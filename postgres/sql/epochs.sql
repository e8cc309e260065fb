-- What a session that did not listen yet may have missed.
-- $1 sessions
SELECT id, epoch FROM public.sqllock_sessions WHERE id = ANY ($1::bigint[])

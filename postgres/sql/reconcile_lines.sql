-- leave_lines for reconcile.
-- $1 session, $2 epoch
DELETE FROM public.sqllock_waiters
 WHERE session = $1 AND (SELECT epoch FROM public.sqllock_sessions WHERE id = $1) = $2 RETURNING resource

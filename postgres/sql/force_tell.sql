-- Tells the holders: those who listen at once, the others when they renew.
-- $1 resource
WITH told AS (
    UPDATE public.sqllock_sessions s SET epoch = epoch + 1
     WHERE id IN (SELECT session FROM public.sqllock_holders WHERE resource = $1) RETURNING id, epoch
)
SELECT pg_notify('sqllock_' || id, 'e' || epoch) FROM told

-- $1 waiters
DELETE FROM public.sqllock_waiters WHERE id = ANY ($1::bigint[]) RETURNING resource

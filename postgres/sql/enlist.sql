-- $1 namespace, $2 names, $3 session, $4 modes, $5 permits
WITH want AS (
    SELECT w.n, w.mode, w.permits, r.id
      FROM unnest($2::text[], $4::text[], $5::int[]) WITH ORDINALITY AS w (name, mode, permits, n)
      LEFT JOIN public.sqllock_resources r ON r.namespace = $1 AND r.name = w.name
), enlisted AS (
    INSERT INTO public.sqllock_waiters (resource, session, mode, permits, since)
    SELECT id, $3, mode, permits, clock_timestamp() FROM want WHERE id IS NOT NULL ORDER BY n
    RETURNING id AS waiter, resource
)
SELECT coalesce(waiter, 0), set_config('synchronous_commit', 'off', true)
  FROM want LEFT JOIN enlisted ON resource = want.id ORDER BY n

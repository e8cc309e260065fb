-- One that reaches the server late, when its session has reconciled since, finds another epoch and adds nothing: nobody would ever
-- remove its waiters, and they would stand in everybody's way for as long as the session lives.
-- $1 namespace, $2 names, $3 session, $4 epoch, $5 modes, $6 permits
WITH me AS MATERIALIZED (
    SELECT id FROM public.sqllock_sessions WHERE id = $3 AND epoch = $4 FOR KEY SHARE
), want AS (
    SELECT w.n, w.mode, w.permits, r.id
      FROM unnest($2::text[], $5::text[], $6::int[]) WITH ORDINALITY AS w (name, mode, permits, n)
      LEFT JOIN public.sqllock_resources r ON r.namespace = $1 AND r.name = w.name
), enlisted AS (
    INSERT INTO public.sqllock_waiters (resource, session, mode, permits, since)
    SELECT id, $3, mode, permits, clock_timestamp() FROM want WHERE id IS NOT NULL AND EXISTS (SELECT FROM me) ORDER BY n
    RETURNING id AS waiter, resource
)
SELECT coalesce(waiter, 0), set_config('synchronous_commit', 'off', true)
  FROM want LEFT JOIN enlisted ON resource = want.id ORDER BY n

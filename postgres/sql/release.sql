-- Gives up holders. One that is to be kept loses its session instead, one that a guarded transaction has locked is left for later.
-- A release that a crash of the server undoes is found out by reconciling when the connection that listens breaks: it need not wait for the
-- disk. Where nothing listens, or not yet, it does.
-- $1 resources, $2 tokens, $3 synchronous_commit
WITH want AS (
    SELECT * FROM unnest($1::bigint[], $2::bigint[]) WITH ORDINALITY AS w (resource, token, n)
), mine AS (
    SELECT want.n, h.resource, h.token, coalesce(h.keep_until > clock_timestamp(), false) AS keep
      FROM public.sqllock_holders h JOIN want USING (resource, token) FOR UPDATE OF h SKIP LOCKED
), kept AS (
    UPDATE public.sqllock_holders h SET session = NULL FROM mine
     WHERE h.resource = mine.resource AND h.token = mine.token AND mine.keep
), deleted AS (
    DELETE FROM public.sqllock_holders h USING mine
     WHERE h.resource = mine.resource AND h.token = mine.token AND NOT mine.keep
)
SELECT n, 'released', set_config('synchronous_commit', $3, true) FROM mine
UNION ALL
SELECT n, CASE WHEN EXISTS (SELECT FROM public.sqllock_holders h WHERE h.resource = want.resource AND h.token = want.token)
               THEN 'guarded' ELSE 'missing' END,
       set_config('synchronous_commit', $3, true)
  FROM want WHERE n NOT IN (SELECT n FROM mine)

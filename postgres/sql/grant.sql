-- Decides about each name, and grants. Holders and earlier waiters are counted; a dead waiter counts for nothing, a dead holder
-- holds until it is evicted ('expired' says that it can be). There are no joins between the steps: with hundreds of names they
-- would cost more than all the rest.
-- $1 namespace, $2 names, $3 session, $4 modes, $5 permits, $6 keep for so many microseconds, $7 metadata, $8 own waiter or 0
WITH seen AS MATERIALIZED (
    SELECT w.*, r.id, look.at, held.it AS held, queue.it AS queued, h.dead, h.alive, least(h.ends, q.ends) AS ends,
           look.at AND NOT held.it AND NOT queue.it AND current_setting('sqllock.session') <> '' AS ok
      FROM unnest($2::text[], $4::text[], $5::int[], $6::bigint[], $7::text[], $8::bigint[])
           WITH ORDINALITY AS w (name, mode, permits, keep, metadata, waiter, n)
      LEFT JOIN LATERAL (SELECT id FROM public.sqllock_resources WHERE namespace = $1 AND name = w.name LIMIT 1) r ON true
     CROSS JOIN LATERAL (
           SELECT coalesce(r.id = ANY ((SELECT string_to_array(current_setting('sqllock.locked'), ',')::bigint[])::bigint[]), false) AS at) look
     CROSS JOIN LATERAL (
           SELECT count(*) FILTER (WHERE o.mode = 'x') AS x,
                  count(*) FILTER (WHERE o.mode = 's') AS s,
                  count(*) FILTER (WHERE o.mode = 'p') AS p,
                  min(o.permits) FILTER (WHERE o.mode = 'p') AS permits,
                  count(*) FILTER (WHERE coalesce(t.expires_at, '-infinity') <= clock_timestamp()
                                     AND coalesce(o.keep_until, '-infinity') <= clock_timestamp()) AS dead,
                  min(o.token) FILTER (WHERE greatest(t.expires_at, o.keep_until) > clock_timestamp()) AS alive,
                  min(greatest(t.expires_at, o.keep_until)) AS ends
             FROM public.sqllock_holders o LEFT JOIN public.sqllock_sessions t ON t.id = o.session
            WHERE o.resource = r.id) h
     CROSS JOIN LATERAL (
           SELECT count(*) FILTER (WHERE o.mode = 'x') AS x,
                  count(*) FILTER (WHERE o.mode = 's') AS s,
                  count(*) FILTER (WHERE o.mode = 'p') AS p,
                  min(t.expires_at) AS ends
             FROM public.sqllock_waiters o JOIN public.sqllock_sessions t ON t.id = o.session
            WHERE o.resource = r.id AND t.expires_at > clock_timestamp()
              AND (w.waiter = 0 OR o.id < w.waiter)) q
     CROSS JOIN LATERAL (
           SELECT CASE w.mode WHEN 'x' THEN h.x + h.s + h.p > 0
                              WHEN 's' THEN h.x + h.p > 0
                              ELSE h.x + h.s > 0 OR h.p >= least(w.permits, h.permits) END AS it) held
     CROSS JOIN LATERAL (
           SELECT CASE w.mode WHEN 'x' THEN q.x + q.s + q.p > 0
                              WHEN 's' THEN q.x + q.p > 0
                              ELSE q.x + q.s > 0 OR h.p + q.p >= least(w.permits, h.permits) END AS it) queue
), counted AS (
    UPDATE public.sqllock_resources r SET token = r.token + 1, used_at = clock_timestamp()
      FROM seen WHERE seen.ok AND r.id = seen.id
    RETURNING r.id, r.token, seen.n, seen.mode, seen.permits, seen.metadata, seen.keep
), granted AS (
    INSERT INTO public.sqllock_holders (resource, token, mode, permits, session, metadata, acquired_at, keep_until)
    SELECT id, token, mode, permits, $3, metadata::jsonb, clock_timestamp(),
           CASE WHEN keep > 0 THEN clock_timestamp() + keep * interval '1 microsecond' END
      FROM counted
), left_line AS (
    DELETE FROM public.sqllock_waiters q USING seen WHERE seen.ok AND q.id = seen.waiter
)
SELECT n, 'granted', id, token, '', NULL, 0,
       -- A grant is durable before anybody hears of it, whatever the server's default; a refusal has nothing to keep.
       set_config('synchronous_commit', 'on', true)
  FROM counted
UNION ALL
SELECT n,
       CASE WHEN current_setting('sqllock.session') = '' THEN 'stale'
            WHEN id IS NULL THEN 'unseeded'
            WHEN at AND held AND dead > 0 THEN 'expired'
            WHEN at OR held AND alive IS NOT NULL THEN 'held'
            ELSE 'busy' END,
       0, 0,
       coalesce((SELECT t.owner FROM public.sqllock_holders o JOIN public.sqllock_sessions t ON t.id = o.session
                  WHERE o.resource = seen.id AND o.token = seen.alive), ''),
       ends, coalesce(extract(epoch FROM ends - clock_timestamp())::float8, 0), ''
  FROM seen WHERE NOT ok

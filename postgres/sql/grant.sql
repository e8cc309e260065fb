-- Decides about each name, and grants. Holders and earlier waiters are counted; a dead waiter counts for nothing, a dead holder
-- holds until it is evicted ('expired' says that it can be).
-- $1 namespace, $2 names, $3 session, $4 modes, $5 permits, $6 keep for so many microseconds, $7 metadata, $8 own waiter or 0
WITH want AS (
    SELECT * FROM unnest($2::text[], $4::text[], $5::int[], $6::bigint[], $7::text[], $8::bigint[])
             WITH ORDINALITY AS w (name, mode, permits, keep, metadata, waiter, n)
), seen AS (
    SELECT w.*, r.id,
           r.id = ANY (string_to_array(current_setting('sqllock.locked'), ',')::bigint[]) AS looked,
           CASE w.mode WHEN 'x' THEN h.x + h.s + h.p > 0
                       WHEN 's' THEN h.x + h.p > 0
                       ELSE h.x + h.s > 0 OR h.p >= least(w.permits, h.permits) END AS held,
           CASE w.mode WHEN 'x' THEN q.x + q.s + q.p > 0
                       WHEN 's' THEN q.x + q.p > 0
                       ELSE q.x + q.s > 0 OR h.p + q.p >= least(w.permits, h.permits) END AS queued,
           h.dead, h.alive, least(h.ends, q.ends) AS ends
      FROM want w
      LEFT JOIN public.sqllock_resources r ON r.namespace = $1 AND r.name = w.name
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
), ok AS (
    SELECT * FROM seen WHERE looked AND NOT held AND NOT queued AND current_setting('sqllock.session') <> ''
), counted AS (
    UPDATE public.sqllock_resources r SET token = r.token + 1, used_at = clock_timestamp()
      FROM ok WHERE r.id = ok.id RETURNING r.id, r.token
), granted AS (
    INSERT INTO public.sqllock_holders (resource, token, mode, permits, session, metadata, acquired_at, keep_until)
    SELECT ok.id, c.token, ok.mode, ok.permits, $3, ok.metadata::jsonb, clock_timestamp(),
           CASE WHEN ok.keep > 0 THEN clock_timestamp() + ok.keep * interval '1 microsecond' END
      FROM ok JOIN counted c USING (id)
    RETURNING resource, token
), left_line AS (
    DELETE FROM public.sqllock_waiters q USING ok WHERE q.id = ok.waiter
)
SELECT CASE WHEN current_setting('sqllock.session') = '' THEN 'stale'
            WHEN g.token IS NOT NULL THEN 'granted'
            WHEN seen.id IS NULL THEN 'unseeded'
            WHEN seen.looked AND seen.held AND seen.dead > 0 THEN 'expired'
            WHEN seen.looked THEN 'held'
            WHEN seen.held AND seen.alive IS NOT NULL THEN 'held'
            ELSE 'busy' END,
       coalesce(seen.id, 0), coalesce(g.token, 0),
       coalesce(CASE WHEN g.token IS NULL THEN (
           SELECT t.owner FROM public.sqllock_holders o JOIN public.sqllock_sessions t ON t.id = o.session
            WHERE o.resource = seen.id AND o.token = seen.alive) END, ''),
       seen.ends,
       coalesce(extract(epoch FROM seen.ends - clock_timestamp())::float8, 0),
       -- A grant is durable before anybody hears of it, whatever the server's default; a refusal has nothing to keep.
       set_config('synchronous_commit', CASE WHEN EXISTS (SELECT FROM granted) THEN 'on' ELSE 'off' END, true)
  FROM seen LEFT JOIN granted g ON g.resource = seen.id
 ORDER BY seen.n

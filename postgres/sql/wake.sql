-- Tells those who are next in line, and only them: the first waiter, or all who could share with it. It runs after the commit that
-- made room: a waiter that is not seen here enlisted later, and will see the room when it tries.
-- $1 resources
SELECT pg_notify('sqllock_' || session, 'w' || id)
  FROM (SELECT session, id, head, place, count(*) FILTER (WHERE mode <> head) OVER (PARTITION BY resource ORDER BY id) AS others
          FROM (SELECT q.resource, q.session, q.id, q.mode,
                       first_value(q.mode) OVER line AS head, row_number() OVER line AS place
                  FROM (SELECT DISTINCT unnest($1::bigint[]) AS resource) freed
                 CROSS JOIN LATERAL (
                       SELECT * FROM public.sqllock_waiters w
                        WHERE w.resource = freed.resource
                          AND (SELECT t.expires_at FROM public.sqllock_sessions t WHERE t.id = w.session) > clock_timestamp()
                       OFFSET 0) q -- on its own, so that it is a lookup in every plan
                WINDOW line AS (PARTITION BY q.resource ORDER BY q.id)) queue) front
 WHERE others = 0 AND (place = 1 OR head <> 'x')

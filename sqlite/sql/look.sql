-- What stands in the way of one name: holders, and who waits since before. A dead waiter counts for nothing, a dead holder
-- holds until it is evicted.
-- ?1 namespace, ?2 name, ?3 own waiter or 0
WITH now AS (SELECT CAST(unixepoch('subsec') * 1000 AS INTEGER) AS ms),
     r AS (SELECT id FROM sqllock_resources WHERE namespace = ?1 AND name = ?2)
SELECT (SELECT id FROM r),
       h.x, h.s, h.p, h.permits, h.dead, h.ends, coalesce(h.owner, ''),
       q.x, q.s, q.p, q.ends,
       now.ms
  FROM now,
       (SELECT count(*) FILTER (WHERE o.mode = 'x') AS x,
               count(*) FILTER (WHERE o.mode = 's') AS s,
               count(*) FILTER (WHERE o.mode = 'p') AS p,
               coalesce(min(o.permits) FILTER (WHERE o.mode = 'p'), 0) AS permits,
               count(*) FILTER (WHERE max(coalesce(t.expires_at, 0), coalesce(o.keep_until, 0)) <= now.ms) AS dead,
               min(max(coalesce(t.expires_at, 0), coalesce(o.keep_until, 0))) AS ends,
               min(t.owner) AS owner
          FROM now, sqllock_holders o LEFT JOIN sqllock_sessions t ON t.id = o.session
         WHERE o.resource = (SELECT id FROM r)) h,
       (SELECT count(*) FILTER (WHERE o.mode = 'x') AS x,
               count(*) FILTER (WHERE o.mode = 's') AS s,
               count(*) FILTER (WHERE o.mode = 'p') AS p,
               min(t.expires_at) AS ends
          FROM now, sqllock_waiters o JOIN sqllock_sessions t ON t.id = o.session
         WHERE o.resource = (SELECT id FROM r) AND t.expires_at > now.ms AND (?3 = 0 OR o.id < ?3)) q

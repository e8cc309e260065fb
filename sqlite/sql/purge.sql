-- ?1 unused for so many milliseconds, ?2 limit
DELETE FROM sqllock_resources WHERE id IN (
    SELECT id FROM sqllock_resources r
     WHERE used_at < CAST(unixepoch('subsec') * 1000 AS INTEGER) - ?1
       AND NOT EXISTS (SELECT 1 FROM sqllock_holders h WHERE h.resource = r.id)
       AND NOT EXISTS (SELECT 1 FROM sqllock_waiters q JOIN sqllock_sessions t ON t.id = q.session WHERE q.resource = r.id)
     ORDER BY id LIMIT ?2)
RETURNING token

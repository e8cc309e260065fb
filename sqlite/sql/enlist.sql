-- ?1 namespace, ?2 name, ?3 session, ?4 mode, ?5 permits
INSERT INTO sqllock_waiters (resource, session, mode, permits, since)
SELECT id, ?3, ?4, ?5, CAST(unixepoch('subsec') * 1000 AS INTEGER) FROM sqllock_resources WHERE namespace = ?1 AND name = ?2
RETURNING id

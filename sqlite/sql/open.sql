-- ?1 session, ?2 owner, ?3 ttl in milliseconds
INSERT INTO sqllock_sessions (id, owner, opened_at, expires_at) SELECT ?1, ?2, ms, ms + ?3 FROM (SELECT CAST(unixepoch('subsec') * 1000 AS INTEGER) AS ms)

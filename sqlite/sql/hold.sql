-- ?1 resource, ?2 token, ?3 mode, ?4 permits, ?5 session, ?6 metadata, ?7 keep for so many milliseconds
INSERT INTO sqllock_holders (resource, token, mode, permits, session, metadata, acquired_at, keep_until)
SELECT ?1, ?2, ?3, ?4, ?5, ?6, ms, CASE WHEN ?7 > 0 THEN ms + ?7 END FROM (SELECT CAST(unixepoch('subsec') * 1000 AS INTEGER) AS ms)

-- A holder that is to be kept loses its session instead of its row.
-- ?1 resource, ?2 token
UPDATE sqllock_holders SET session = NULL
 WHERE resource = ?1 AND token = ?2 AND keep_until > CAST(unixepoch('subsec') * 1000 AS INTEGER)

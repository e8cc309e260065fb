-- ?1 resource
UPDATE sqllock_resources SET token = token + 1, used_at = CAST(unixepoch('subsec') * 1000 AS INTEGER) WHERE id = ?1 RETURNING token

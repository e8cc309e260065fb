-- ?1 resource, ?2 token, ?3 metadata
UPDATE sqllock_holders SET metadata = ?3 WHERE resource = ?1 AND token = ?2 AND session IS NOT NULL

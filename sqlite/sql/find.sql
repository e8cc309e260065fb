-- ?1 namespace, ?2 name
SELECT id FROM sqllock_resources WHERE namespace = ?1 AND name = ?2

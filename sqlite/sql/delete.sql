-- ?1 resource, ?2 token
DELETE FROM sqllock_holders WHERE resource = ?1 AND token = ?2

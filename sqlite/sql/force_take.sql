-- ?1 resource
DELETE FROM sqllock_holders WHERE resource = ?1

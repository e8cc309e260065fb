-- ?1 resource
UPDATE sqllock_sessions SET epoch = epoch + 1
 WHERE id IN (SELECT session FROM sqllock_holders WHERE resource = ?1)

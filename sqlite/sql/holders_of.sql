-- ?1 session
SELECT resource, token FROM sqllock_holders WHERE session = ?1

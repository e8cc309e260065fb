-- Nobody holds it, and nobody waits, whether alive or dead: everything else is for grant.sql. A statement of its own, since what one_lock.sql reads
-- without locking would be older than its lock.
SELECT EXISTS (SELECT 1 FROM app.sqllock_sessions t FORCE INDEX (PRIMARY) WHERE t.id = @session AND t.expires_at > UTC_TIMESTAMP(6))
       AND NOT EXISTS (SELECT 1 FROM app.sqllock_holders h FORCE INDEX (PRIMARY) WHERE h.resource = @resource AND h.token = @token - 1)
       AND (@alone OR NOT EXISTS (SELECT 1 FROM app.sqllock_holders h FORCE INDEX (PRIMARY) WHERE h.resource = @resource))
       AND NOT EXISTS (SELECT 1 FROM app.sqllock_waiters q FORCE INDEX (by_resource) WHERE q.resource = @resource)
       AND @resource IS NOT NULL
  INTO @free

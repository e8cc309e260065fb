-- What is left when the dead have been evicted.
SELECT @resource, COUNT(h.token), MIN(t.owner), TIMESTAMPDIFF(MICROSECOND, '1970-01-01', MIN(t.expires_at))
  FROM app.sqllock_holders h FORCE INDEX (PRIMARY) LEFT JOIN app.sqllock_sessions t ON t.id = h.session
 WHERE h.resource = @resource

-- After the commit, as wake.sql.
-- ? resource
SELECT @token IS NOT NULL, EXISTS (SELECT 1 FROM app.sqllock_waiters FORCE INDEX (by_resource) WHERE resource = ?)

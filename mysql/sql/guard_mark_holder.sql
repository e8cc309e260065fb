-- The same for one holder, beside others of the name.
-- ? resource, token
UPDATE app.sqllock_holders SET acquired_at = acquired_at + INTERVAL 1 MICROSECOND WHERE resource = ? AND token = ?

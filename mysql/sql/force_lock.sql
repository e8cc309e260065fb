-- Waits, as long as innodb_lock_wait_timeout allows, for transactions that guard the name.
-- ? namespace, name
SELECT MAX(id) INTO @resource
  FROM (SELECT id FROM app.sqllock_resources FORCE INDEX (by_name) WHERE namespace = ? AND name = ? FOR UPDATE) r

-- Locks the row for a moment: is there no transaction that has it? Asked before the caller's transaction tries. MariaDB gives that a snapshot with its
-- first locking read (innodb_snapshot_isolation), even one that skips, and would refuse to lock a later version.
-- ? namespace, name
SELECT COUNT(*) FROM (SELECT id FROM app.sqllock_resources FORCE INDEX (by_name) WHERE namespace = ? AND name = ? FOR UPDATE SKIP LOCKED) r

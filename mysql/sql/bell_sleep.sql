-- Sleeps until somebody interrupts it. It uses no table: neither DDL nor FLUSH TABLES nor purge has to wait for it.
-- Who rings while this lock is not held finds the connection awake, and rings again: what it has looked at may be older.
-- ? seconds
SELECT GET_LOCK(CONCAT('sqllock asleep ', CONNECTION_ID()), 0)
   AND SLEEP(?) + RELEASE_LOCK(CONCAT('sqllock asleep ', CONNECTION_ID()))

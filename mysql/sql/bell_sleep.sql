-- Sleeps until somebody interrupts it: it waits for a user lock that another connection of this Client keeps. SLEEP would do, but in MariaDB all that
-- sleep share one mutex, and a KILL that does not get it at once tries for two seconds. It uses no table: neither DDL nor FLUSH TABLES nor purge has
-- to wait for it. 1 says that the other connection is gone.
-- Who rings while sqllock asleep is not held finds the connection awake, and rings again: what it has looked at may be older.
-- ? seconds
SELECT GET_LOCK(CONCAT('sqllock asleep ', CONNECTION_ID()), 0) AND GET_LOCK(CONCAT('sqllock rope ', CONNECTION_ID()), ?)

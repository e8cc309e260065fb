-- In the order in which the tables are locked by those who use them.
DROP TABLE sqllock_sessions, sqllock_resources, sqllock_holders, sqllock_waiters, sqllock_meta;

DROP TABLE sqllock_waiters, sqllock_holders, sqllock_resources, sqllock_sessions, sqllock_meta;

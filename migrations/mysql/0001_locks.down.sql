DROP TABLE IF EXISTS sqllock_sessions, sqllock_resources, sqllock_holders, sqllock_waiters, sqllock_named, sqllock_leaders, sqllock_meta;

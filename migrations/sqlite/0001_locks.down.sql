DROP TABLE sqllock_waiters;
DROP TABLE sqllock_holders;
DROP TABLE sqllock_resources;
DROP TABLE sqllock_sessions;
DROP TABLE sqllock_meta;

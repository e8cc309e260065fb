-- The version goes with the tables, and first: where a DROP can be cut off between two tables, the next Up begins again.
DROP TABLE IF EXISTS sqllock_schema_version, sqllock_sessions, sqllock_resources, sqllock_holders, sqllock_waiters, sqllock_named, sqllock_leaders, sqllock_meta;

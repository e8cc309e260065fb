// Package postgres installs the toolkit's tables in a PostgreSQL database: those of version 1, which postgres.Table needs,
// and what version 2 adds for session locks, which use it for tokens, lists and leader election where it is installed.
//
//	err := postgres.Up(ctx, db) // at the start of every process, or once by an administrator
//
// The tables are described by plain .sql files, applied with golang-migrate. [Files] and [SQL] hand them to whoever would
// rather apply them with psql or with a migration tool of their own.
//
// The *sql.DB may be of any driver whose errors have a method SQLState() string and that executes several statements at
// once; it is tested with pgx's stdlib. PgBouncer in transaction mode is no obstacle, because nothing here outlives a
// transaction; where it does not keep track of prepared statements, add default_query_exec_mode=exec to the DSN of pgx.
//
// # The version
//
// The table sqllock_schema_version has the columns that golang-migrate gives its own, version and dirty, and one row, or
// does not exist. The tables and the version change in one transaction. A process that is killed during a migration leaves
// nothing behind: its server process notices within about a second (from PostgreSQL 14 on, on Linux; elsewhere after the
// statement that it executes) and rolls back.
//
// # The lock
//
// In that transaction the migrator has the advisory lock 5018683233816539059, the first 8 bytes of the SHA-256 of
// "sqllock_schema_version" as a big-endian number:
//
//	SELECT ('x' || left(encode(sha256('sqllock_schema_version'), 'hex'), 16))::bit(64)::bigint
//
// There is one for all schemas of a database. Whoever holds it by pg_advisory_lock keeps migrators out, and may change
// what they like meanwhile.
//
// Nobody waits for it in the server. A session that is blocked in pg_advisory_lock has a snapshot for as long as it waits,
// so that a CREATE INDEX CONCURRENTLY by the lock's holder waits for it and fails with a deadlock (40P01), and VACUUM is
// held back. Here a waiter asks again with pg_try_advisory_xact_lock, each time in a transaction of its own, after pauses
// that grow to a quarter of a second.
//
// # Settings
//
// Timeouts that a role or database has by default (statement_timeout, lock_timeout, idle_in_transaction_session_timeout,
// transaction_timeout) are off during a migration; its context is the bound. search_path is the schema alone, the
// isolation level is READ COMMITTED, and default_transaction_read_only does not apply. All that ends with the transaction.
package postgres

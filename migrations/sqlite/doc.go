// Package sqlite installs the toolkit's tables in a SQLite file, where sqlite.Table keeps its leases.
//
//	err := sqlite.Up(ctx, db)
//
// The tables are described by plain .sql files, applied with golang-migrate. [Files] and [SQL] hand them to whoever would
// rather apply them with the sqlite3 shell or with a migration tool of their own.
//
// The *sql.DB is one of modernc.org/sqlite, with any settings.
//
// # The version
//
// The table sqllock_schema_version has the columns that golang-migrate gives its own, version and dirty, and one row, or
// does not exist. The tables and the version change in one transaction. A process that is killed during a migration leaves
// nothing behind but perhaps a journal, which SQLite rolls back when somebody next opens the file.
//
// # The lock
//
// That transaction begins with BEGIN IMMEDIATE: what excludes other migrators, of this process and of others, is SQLite's
// own write lock, and so they exclude whoever else writes to the file. It is waited for until the context ends, however
// short the connection's busy_timeout is; so are readers, where the file is not in WAL mode and a COMMIT has to wait for
// them.
package sqlite

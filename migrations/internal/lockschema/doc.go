// Package lockschema installs, removes and reads the version of the toolkit's own tables. The packages migrations/postgres,
// migrations/mysql and migrations/sqlite give it their files and their [Database], which is all that differs.
//
// # One transaction
//
// DDL is transactional in PostgreSQL and SQLite, so golang-migrate gets a driver here that makes its Lock a BEGIN and its Unlock
// a COMMIT or ROLLBACK: every file that one call applies, and the version, become visible at once or not at all. A process
// that is killed on the way leaves nothing behind, so the tables are never "dirty" by a crash, and the lock, which lives
// in that transaction, ends with it.
//
//	Lock                  begin, locked against every other migrator; create the version table if it is missing
//	Version               read it: whoever waited for the lock sees here what the previous holder committed
//	SetVersion(v, true)   nothing: nobody could see it
//	Run(file)             execute the file
//	SetVersion(v, false)  write v; after the last down migration, drop the version table
//	Unlock                commit, if all of that succeeded and anything was written; else roll back
//
// The stock drivers of golang-migrate do each of these in a transaction of its own, which is where dirty versions come from;
// on PostgreSQL they wait for the lock inside the server, with a snapshot that makes a CREATE INDEX CONCURRENTLY of the
// lock's holder fail with a deadlock (40P01), and on SQLite their lock excludes nobody outside the process.
//
// MySQL commits each statement that defines a table as it runs. There ([Stepwise]) the lock is one of the connection, each statement of the
// files can be repeated, and the version is written last: a process that is killed on the way leaves the version of before, and the next Up
// begins again. The other way round that version would say that all is there, so the first down file drops the version table in the same statement as the
// tables.
//
// # Waiting
//
// Whoever finds another migrator at work asks again, in new and short transactions with growing pauses, until the context
// ends. golang-migrate's own lock timeout is switched off: it would leave the waiter behind as a goroutine that may yet
// get the lock.
package lockschema

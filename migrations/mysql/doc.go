// Package mysql installs the toolkit's tables in a MySQL or MariaDB database, for mysql.Table, and for what mysql.Named keeps in
// tables: tokens and leaders.
//
//	err := mysql.Up(ctx, db) // at the start of every process, or once by an administrator
//
// The tables are described by plain .sql files, applied with golang-migrate. [Files] and [SQL] hand them to whoever would
// rather apply them with the client or with a migration tool of their own.
//
// The *sql.DB may be of any driver; it need not execute several statements at once. Errors are understood if they are those of
// github.com/go-sql-driver/mysql.
//
// # The version
//
// The table sqllock_schema_version has the columns that golang-migrate gives its own, version and dirty, and one row, or
// does not exist. MySQL commits each statement that defines a table as it runs, so a process that is killed during a migration leaves
// some of the tables behind, and the version of before. That is not dirty: each statement of the files can be repeated, and the next [Up]
// begins again. [Down] drops all tables in one statement, this one first.
//
// # The lock
//
// The migrator has the user lock "sqllock_schema_version" on a connection of its own, which is closed afterwards. There is one for all
// databases of a server. Whoever has it by GET_LOCK keeps migrators out, and may change what they like meanwhile.
//
// Nobody waits for it in the server: a waiter asks again, after pauses that grow to a quarter of a second. So the wait ends with its context, not
// after whole seconds, and a process that is killed leaves no waiter behind. A Galera node knows nothing of the user locks of
// the others: there migrators on two nodes may do the same at the same time, which the statements allow.
//
// # Settings
//
// sql_mode is strict, and time limits for statements that a server or user has by default are off during a migration; its context
// is the bound.
package mysql

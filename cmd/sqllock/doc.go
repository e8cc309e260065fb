// Command sqllock takes locks in a database for shell scripts, cron jobs and everything else that is not written in Go.
//
//	sqllock exec nightly-report -- ./report.sh
//	sqllock exec --dsn-file db.dsn --backend table -w 30s --ttl 1m deploy -- ./deploy.sh
//	sqllock migrate up --dsn-file db.dsn
//
// Without a DSN the locks are in a SQLite file in the user's state directory, for processes of one user on one machine.
//
// # Exit codes of exec
//
//	the command's   it ran and ended; 128 + n if signal n killed it
//	1               the lock was not acquired (-n, -w); another with -E
//	64              usage: a flag, a name, a DSN
//	69              the database cannot be reached, or answers with an error
//	75              the lock was lost while the command ran; the command was ended
//	78              the toolkit's tables are missing or of another version: sqllock migrate up
//	126, 127        the command cannot be started, or does not exist
//	128 + n         signal n ended the waiting
package main

// Command sqllock takes locks in a database for shell scripts, cron jobs and everything else that is not written in Go.
//
//	sqllock exec nightly-report -- ./report.sh
//	sqllock exec --dsn-file db.dsn --backend table -w 30s --ttl 1m deploy -- ./deploy.sh
//	sqllock migrate up --dsn-file db.dsn
//
// exec waits until it holds the lock, runs the command, and releases the lock when the command has ended. The command is run
// without a shell. It has our stdin, stdout and stderr, leads a process group of its own, and gets the terminal if we had it. What it
// leaves running in the background is not waited for, and runs on without the lock.
//
// # Where the locks are
//
// The database is named by --dsn, or by the contents of the file --dsn-file, or by $SQLLOCK_DSN:
//
//	postgres://user:password@host:port/database?sslmode=…   as libpq has it; postgresql:// is the same
//	sqlite:PATH, sqlite:///PATH                             the latter for absolute paths
//
// The PATH of SQLite is taken as it is, without escapes or parameters. The file is made, with its tables, if it does not exist; its
// directory must. In PostgreSQL `sqllock migrate up` installs the tables. What the URL leaves open is taken from $PGHOST, $PGUSER,
// $PGPASSWORD, ~/.pgpass and so on. Connecting is given up after ten seconds unless connect_timeout says otherwise.
//
// If none of the three is given, the locks are in sqllock/locks.db in $XDG_STATE_HOME, or else in ~/.local/state: for processes of one
// user on one machine. One that is given but empty is an error.
//
// A password in --dsn can be seen by everybody with ps, so that gets a warning. Passwords are never shown, and $SQLLOCK_DSN is taken
// out of the command's environment, where these are:
//
//	SQLLOCK_NAME    the name that is locked
//	SQLLOCK_TOKEN   the fencing token, larger for each later holder of the name
//	SQLLOCK_OWNER   what we call ourselves in the database: --owner, or HOST/PID
//
// # When the lock is lost
//
// The lock is a lease, which we renew every third of --ttl. If no renewal has succeeded for so long that only --kill-after is left until a
// tenth before its end, the command's group gets TERM, and what is then still there gets KILL that tenth before: before anybody else
// can have the lock. If it was taken away by force, or deleted in the database, somebody else may have it already; the command
// gets TERM at once, and KILL after --kill-after. In all these cases the exit code is 75, whatever the command's own was.
//
// A process that has left the group (setsid, a daemon) is out of reach. And sqllock cannot act while it is stopped, or the machine
// asleep: then the command goes on, or wakes up, without the lock, and is killed as soon as sqllock finds out. Work that must never
// happen twice needs SQLLOCK_TOKEN, checked by whoever stores its results.
//
// # When sqllock is killed
//
// TERM, INT, HUP and QUIT end the waiting, and our place in line with it; once the command runs they are passed on to its group. After
// kill -9 of sqllock, a second process on Linux kills the command and its group at once, and the lock is free when its lease has run
// out. On other systems the command runs on. On Windows there are no process groups either: signals, TERM included, kill the
// command alone and at once.
//
// # Exit codes
//
//	the command's   it ran and ended; 128 + n if signal n killed it
//	1               the lock was not acquired (-n, -w); another with -E
//	64              usage: a flag, a name, a DSN
//	69              the database cannot be reached, or answers with an error
//	71              the system does not let us run and watch over a command
//	75              the lock was lost while the command ran; the command was ended
//	78              the toolkit's tables are missing or of another version: sqllock migrate up
//	126, 127        the command cannot be started, or does not exist
//	128 + n         signal n ended the waiting
//
// A code that is ours and not the command's comes with one line on stderr that begins with "sqllock: ". The other subcommands use 64 and
// 69 in the same way.
package main

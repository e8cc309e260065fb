// Command sqllock takes locks in a database for shell scripts, cron jobs and everything else that is not written in Go.
//
//	sqllock exec nightly-report -- ./report.sh
//	sqllock exec --dsn-file db.dsn -w 30s deploy -- ./deploy.sh
//	sqllock migrate up --dsn-file db.dsn
//	sqllock exec --dsn-file db.dsn --backend table --ttl 1m deploy -- ./deploy.sh
//	sqllock elect --dsn-file db.dsn --restart scheduler -- ./scheduler.sh
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
//	mysql://user:password@host:port/database?…              MySQL and MariaDB; mariadb:// is the same
//	user:password@tcp(host:port)/database?…                 the form of the Go driver, go-sql-driver/mysql
//	sqlite:PATH, sqlite:///PATH                             the latter for absolute paths
//
// The PATH of SQLite is taken as it is, without escapes or parameters. The file is made, with its tables, if it does not exist; its
// directory must. On servers `sqllock migrate up` installs the tables, for those who need them: see below. What the URL leaves open
// is taken from $PGHOST, $PGUSER, $PGPASSWORD, ~/.pgpass and so on for PostgreSQL. The parameters of a mysql:// URL are those of the Go driver:
// https://github.com/go-sql-driver/mysql#parameters. Connecting is given up after ten seconds unless connect_timeout, or timeout, says
// otherwise, and for a session lock after eight at the latest.
//
// If none of the three is given, the locks are in sqllock/locks.db in $XDG_STATE_HOME, or else in ~/.local/state: for processes of one
// user on one machine. One that is given but empty is an error.
//
// A password in --dsn can be seen by everybody with ps, so that gets a warning. Passwords are never shown, and $SQLLOCK_DSN is taken
// out of the command's environment, where these are:
//
//	SQLLOCK_NAME    the name that is locked
//	SQLLOCK_TOKEN   the fencing token, larger for each later holder of the name; 0 if the backend gives none
//	SQLLOCK_OWNER   what we call ourselves in the database: --owner, or HOST/PID
//
// # How the lock is kept
//
//	--backend advisory   a session lock of PostgreSQL, and the default there
//	--backend named      a session lock of MySQL and MariaDB, and the default there
//	--backend table      a lease in the toolkit's tables; all that SQLite has
//
// A session lock needs nothing installed, and is free as soon as its session with the server ends, be it because we were killed, because
// the connection broke or because an administrator ended it. Its session must not be shared: behind PgBouncer in transaction mode it is
// refused, and so it is on a standby, or a node of a Galera cluster. On PostgreSQL, where the tables are installed and we may use the sequence
// sqllock_token, it has a token. Its --slots must be the same number for everybody there; MySQL knows neither --slots nor --shared for it. On MySQL it
// belongs to the database that the DSN names.
//
// A lease survives its connection, and a restart of the server: for up to --ttl, also after we were killed. It always has a token,
// can be kept --at-least for a while, and is given to those who wait in the order in which they came. Behind a pooler in
// transaction mode the URL needs default_query_exec_mode=exec.
//
// The two do not exclude each other: everybody who wants a name must use the same. The default will not change.
//
// # When the lock is lost
//
// A lease we renew every third of --ttl. If no renewal has succeeded for so long that only --kill-after is left until a
// tenth before its end, the command's group gets TERM, and what is then still there gets KILL that tenth before: before anybody else
// can have the lock. If it was taken away by force, or deleted in the database, somebody else may have it already; the command
// gets TERM at once, and KILL after --kill-after.
//
// With a session lock the command gets TERM as soon as we learn that the session has ended or the lock was taken away by force, and KILL
// after --kill-after; somebody else may have the lock already. If the server does not answer for eight seconds, we give up: the command
// gets TERM, and KILL after --kill-after, which is at most five seconds, so before the server, which keeps the session for fifteen, lets
// anybody else have the lock.
//
// In all these cases the exit code is 75, whatever the command's own was. What we have to say on stderr waits for nobody who should read it: of more than 64 KiB that
// nobody has read, the rest is left out and counted, and at the end it is waited for for a second at most.
//
// A process that has left the group (setsid, a daemon) is out of reach. And sqllock cannot act while it is stopped, or the machine
// asleep: then the command goes on, or wakes up, without the lock, and is ended as soon as sqllock finds out. (Of a session lock
// whose sqllock is stopped, a server older than PostgreSQL 14 never lets go.) Work that must never happen twice needs SQLLOCK_TOKEN,
// checked by whoever stores its results.
//
// # Leading
//
// Of all sqllock elect with one NAME one is the leader, which is to hold the lock of that name, and runs its command as exec would. All that is said here of
// exec holds for each term of it, but for these:
//
// When the lock is lost and the command has been ended, it campaigns again, and runs the command again when it is elected. So it does if the command had ended by itself,
// with code 0 too, before the loss was noticed: nobody knows how much of its work it did without the lock. So the exit code 75 comes only if there was
// a signal before. When the command has ended by itself while the lock was held, sqllock resigns, which lets somebody else lead at once, and ends with its exit code. With --restart it
// stands back for --stand-back and campaigns again; if the command fails, with a code other than 0, it does so for longer each time in a row, up to 30 s. After a signal that
// was passed on to the command, HUP too, it ends with the command. A command that cannot be started ends it in any case.
//
// The database has to answer at the beginning (69, 78); afterwards a campaign goes on whatever happens to it, and tells of it on stderr.
//
// What a leader says of itself with --value, and its --owner, can be read by Go programs, whose package leaderelect takes part in the same elections, and with
// sqllock elect --observe, which prints a line for each change:
//
//	2026-03-01T09:30:00.000Z -
//	2026-03-01T09:30:07.311Z web-1 42 address=10.0.0.7:8080
//	{"time":"2026-03-01T09:30:07.311Z","leader":"web-1","token":42,"value":{"address":"10.0.0.7:8080"}}
//
// A dash, or null, is nobody, seen at that time on our clock; a leader leads since that time on the database's. The last is what --json makes of it. It asks
// every --interval, so a leader that follows another within that time may be the only one of the two that is seen. What looks like more than one word is quoted. If the
// database stops answering it says so on stderr, and tells who leads anew when it answers again.
//
// Session locks need the tables of sqllock migrate up for --value and --observe, and 78 says that they are missing.
//
// # When sqllock is killed
//
// TERM, INT, HUP and QUIT end the waiting, and our place in line with it; once the command runs they are passed on to its group. After
// kill -9 of sqllock, a second process on Linux kills the command and its group at once. A lease is free when it has run out, long
// after that; a session lock is free at the same moment, so the next holder may begin while the last of the group are dying.
// On other systems the command runs on. On Windows there are no process groups either: signals, TERM included, kill the
// command alone and at once.
//
// # Exit codes
//
//	the command's   it ran and ended; 128 + n if signal n killed it
//	1               the lock was not acquired (-n, -w); another with -E
//	64              usage: a flag, a name, a DSN
//	69              the database cannot be reached, answers with an error, or has no room for another lock
//	71              the system does not let us run and watch over a command
//	75              the lock was lost while the command ran; the command was ended. elect: and there is no further campaign
//	78              the toolkit's tables are missing or of another version: sqllock migrate up; or session locks would exclude nobody
//	                there (a pooler in transaction mode, a standby): the message says what to change
//	126, 127        the command cannot be started, or does not exist
//	128 + n         signal n ended the waiting, or the observing
//
// A code that is ours and not the command's comes with one line on stderr that begins with "sqllock: ". The other subcommands use 64 and
// 69 in the same way.
package main

// Package testdb gives tests real database servers, and leaves nothing behind.
//
// # What a test package does
//
// It hands its tests to [Main], and asks for what it needs:
//
//	func TestMain(m *testing.M) { testdb.Main(m) }
//
//	func TestSomething(t *testing.T) {
//		dsn := testdb.Postgres(t) // a database of this test's own
//		...
//	}
//
// [Postgres] gives each test an empty database on one server that all tests of
// the process share; it is started by the first test that asks, and is ready in
// about a second. A test that has to break its server asks [StartPostgres] for
// one of its own, and may stop, kill, freeze and restart it, and ask it for a
// [PostgresServer.Replica], which streams from it and can be promoted.
//
// [MySQL] and [StartMySQL] do the same for MySQL and MariaDB; which of the two it
// is, the test finds out from the server. [StartGalera] makes a cluster of MariaDB
// nodes.
//
// [StartPostgresWithClock] and [StartMySQLWithClock] start a server whose clock the
// test sets, forward and back, while clients are connected.
//
// [PgBouncer] puts a pooler in front of a server. [DropIncoming] and [Silencer]
// make TCP connections go silent, as a network does that loses packets: with no
// error to either side, and with a server that goes on, which a frozen one does
// not.
//
// # Where the servers come from
//
// Postgres takes the first of these that is there:
//
//  1. SQLLOCK_TEST_POSTGRES, the postgres:// URL of a running server, whose user
//     may create databases;
//  2. the programs initdb and postgres: in the directory that
//     SQLLOCK_TEST_POSTGRES_BIN names, which is how one version is asked for;
//     else on PATH; else the newest under /usr/lib/postgresql;
//  3. a container, where a container engine answers. The nested module in
//     containers/ starts it, so that nobody who uses this library inherits the
//     dependencies of testcontainers-go.
//
// MySQL does the same with SQLLOCK_TEST_MYSQL, the address of a running server as
// the driver has it; then SQLLOCK_TEST_MYSQL_BIN, PATH, and /usr/sbin, where
// mariadbd with its mariadb-install-db comes before mysqld; then a container.
//
// If there is none, the test fails and says how to provide one: a suite that
// skips itself on a bare machine is green and proves nothing. Only -short
// leaves the server tests out, and this package alone looks at that flag.
//
// StartPostgres and StartMySQL accept nothing but the programs: neither a server
// that belongs to somebody else nor one inside a container can be killed and
// frozen at will. initdb and postgres are enough, for replicas too; PgBouncer needs
// pgbouncer, StartGalera the library of Galera and rsync, a clock of its own
// a C compiler, cc. Programs are run, and packets dropped, on Linux only.
//
// Servers have the settings that they come with, except for some that only make
// them faster or smaller: no commit waits for the disk. They lose nothing when they
// are killed, since the kernel keeps what they have written.
//
// # How nothing is left behind
//
// Every server of a test process lives below one directory, its home, and a
// second process, the janitor, watches over it. The janitor makes the directory
// and then reads from a pipe whose other end only the test process holds. When
// that read ends, it kills every process that works in the directory, and
// removes it. The kernel closes the pipe however the test process ends: by
// itself, by a panic, by go test's -timeout, by Ctrl-C or by SIGKILL. There is
// no other clean-up at the end of a run, so the one that has to work in the worst
// case is exercised by every run.
//
// The home is in TMPDIR. Where that is not set, it is in memory, in /dev/shm, if
// several gigabytes are free there, else in /tmp. So a measurement for which fsync
// has to mean something sets TMPDIR to a directory on disk.
//
// Servers and janitor are in sessions of their own, out of reach of a terminal's
// Ctrl-C. Servers listen on a loopback port alone; without Unix sockets there is
// no path that a long TMPDIR could make too long. The shared memory that would
// outlive a killed server is kept in its directory or removed by name.
//
// Servers do not run as root, so root runs them all as the user postgres, mysql or
// nobody, the first that there is, to whom the home is handed over.
package testdb

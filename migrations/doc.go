// Package migrations lets one process at a time migrate an application's database, when many replicas of it start together. The migrations are the
// application's own, and so is the tool that runs them; the tables of this toolkit are installed by the packages below this one.
//
//	err := migrations.Up(ctx, locks, "migrations", func(context.Context) (*migrate.Migrate, error) {
//		return migrate.New("file://migrations", databaseURL)
//	})
//
// [Guard] puts any tool under a lock, [Up] golang-migrate, and [Open] does so for those who build a migrate.Migrate themselves, or need more than
// Up migrations. [SessionLocker] is for goose. Which is for whom, and what dirty databases are about, is in docs/migrations.md.
//
// # Who believes what
//
// golang-migrate writes into its version table before each migration that the database is dirty, and after it that it is clean. A dirty
// database is migrated by nobody until somebody has looked. That mark, and the lock, are all there is:
//
//	moment                                the one that migrates          the database        others
//	it waits for the lock                 nothing was opened             unlocked            one of them migrates
//	it is killed while it opens or        –                              clean               get the lock, as soon as it has ended, and go on
//	between two migrations
//	it is killed in a migration           –                              dirty               get the lock, report the DirtyError, run nothing
//	it is killed, the server goes on      –                              dirty; the state-   the same; the statement may end well after that
//	with the statement                                                   ment still runs
//	the lock is lost between two          verifies it before the next:   clean               get the lock, and go on
//	migrations                            stops, ErrLost
//	the lock is lost in a migration       it goes on to its end, no      dirty meanwhile     get the lock, report the DirtyError, run nothing
//	                                      other begins, ErrLost
//	  – afterwards, under Open            may write no more              stays dirty         the same
//	  – afterwards, under Up              golang-migrate records it      clean               go on, when they start again
//	the process is stopped, and goes on   the next look at the lock      as it was           as above
//	after the lock was lost               reads the clock: lost
//	the migration fails                   its error                      dirty               get the lock, report the DirtyError, run nothing
//
// A lock ends as docs/leases.md and docs/advisory.md say: of a process that dies at once, or, where it is a lease, when the TTL has passed.
//
// # No migration begins twice
//
// Between looking at a lock and writing there is always a moment in which it can be lost. Open closes it with the mark: after that is
// committed, and before the migration begins, the database is asked whether the lock is held. If it is, whoever gets the lock
// later finds the mark. If it is not, or there is no answer, nothing is run; the mark stays, and the error says that nothing is behind it. (A process that was
// stopped just before it wrote the mark may so have written it over a later version of somebody else. That stops everybody until somebody has looked.)
//
// Up has nothing to ask in that place. It verifies the lock, and then golang-migrate takes its own, reads the version again, marks and runs. On
// PostgreSQL and MySQL that inner lock is a session's, the one that migrates, so whoever got the outer lock waits for it or finds the mark; it must not be
// switched off (x-no-lock). On SQLite it excludes nobody outside the process: one that is stopped in exactly that moment,
// for longer than the TTL, may go on beside another. Take Open there.
//
// # Why not the tool's own lock
//
// golang-migrate waits inside the server, by pg_advisory_lock, which holds a snapshot for as long. CREATE INDEX CONCURRENTLY waits
// for everybody who has one, and they wait for the lock of its session: a deadlock, which fails them or the index (40P01). Who gives up after
// LockTimeout leaves a goroutine behind that goes on waiting, and then has the lock. On MySQL the wait ends after 10 s, however long the migration takes.
// And the lock is taken first when the database is opened, without a timeout, so it has to be guarded from there: that is why Guard and Up
// open inside the lock. There nobody else is waiting for golang-migrate's lock, and it does no harm.
//
// It still is of use where not all programs that migrate a database know this package yet, for instance while the first release that
// does is rolled out: under Up and Guard both exclude. Open leaves golang-migrate's lock out, so it is for when all do. The other side of it is that
// under Up and Guard the server holds golang-migrate's lock too for as long as it runs what a killed process has begun, and the one that comes next waits
// for that, in the server, when it opens the database; under Open it sees the mark at once.
//
// # What is not stopped
//
// golang-migrate cannot be told to end the statement under way. Up does not use its GracefulStop: golang-migrate reads that channel from two goroutines, with
// a data race between them, and then returns nil although migrations are missing. Up asks for one migration at a time instead.
package migrations

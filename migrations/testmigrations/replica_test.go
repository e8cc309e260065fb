package testmigrations

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/golang-migrate/migrate/v4"
	"github.com/golang-migrate/migrate/v4/database"
	"github.com/golang-migrate/migrate/v4/source/iofs"
	"github.com/stretchr/testify/require"
	sqlitedriver "modernc.org/sqlite"

	"github.com/sqllock/toolkit/migrations"
	"github.com/sqllock/toolkit/migrations/internal/proctest"
	"github.com/sqllock/toolkit/sqllock"
)

// role is how a replica migrates, as text kind/lock/way/part: for instance postgres/advisory/up/first.
type role struct {
	kind string // of database
	lock string // of the kind's backends
	way  string // up, open, or alone: with golang-migrate's own lock
	part string // first: begins at once; between: does, and stops after the second migration; last: begins when it is told
}

func (r role) String() string { return strings.Join([]string{r.kind, r.lock, r.way, r.part}, "/") }

// TestReplica is what other tests run in processes of their own. It writes down how its migrations have ended, and stays until it is killed.
func TestReplica(t *testing.T) {
	text, dsn := proctest.Role()
	if text == "" {
		t.Skip("only runs inside other tests")
	}
	p := strings.Split(text, "/")
	r := role{p[0], p[1], p[2], p[3]}
	sqlitedriver.MustRegisterScalarFunction("gate", 0, func(*sqlitedriver.FunctionContext, []driver.Value) (driver.Value, error) {
		if r.part == "first" {
			proctest.Say("in the middle")
			proctest.Hold()
		}
		return nil, nil
	})
	b, _, err := backend(t.Context(), r.kind, r.lock, dsn)
	require.NoError(t, err)
	var opts []sqllock.ClientOption
	if b.Capabilities().Leases {
		opts = append(opts, sqllock.TTL(3*time.Second)) // which the others wait for when a holder is killed
	}
	locks := sqllock.New(b, opts...)
	if r.part == "last" {
		proctest.Say("ready")
		proctest.Hold()
	}

	outcome := outcomeOf(r.migrate(t.Context(), dsn, locks))

	db := open(t, kinds[r.kind].driver, dsn)
	_, err = db.ExecContext(t.Context(), fmt.Sprintf("INSERT INTO outcomes VALUES ('%s')", strings.ReplaceAll(outcome, "'", "''")))
	require.NoError(t, err)
	proctest.Say("done")
	select {} // golang-migrate leaves goroutines behind when a migration fails
}

func (r role) migrate(ctx context.Context, dsn string, locks *sqllock.Client) (err error) {
	openDriver := func() (database.Driver, error) { return kinds[r.kind].open(dsn) }
	switch r.way {
	case "up":
		return migrations.Up(ctx, locks, name, func(context.Context) (*migrate.Migrate, error) { return r.with(openDriver()) })
	case "open":
		m, err := r.with(migrations.Open(ctx, locks, name, openDriver))
		return upAndClose(m, err)
	default:
		m, err := r.with(openDriver())
		return upAndClose(m, err)
	}
}

func upAndClose(m *migrate.Migrate, err error) error {
	if err != nil {
		return err
	}
	err = m.Up()
	fromSource, fromDatabase := m.Close()
	return errors.Join(err, fromSource, fromDatabase)
}

// with is a Migrate of the kind's files.
func (r role) with(d database.Driver, err error) (*migrate.Migrate, error) {
	if err != nil {
		return nil, err
	}
	source, err := iofs.New(files(r.kind), ".")
	if err != nil {
		return nil, err
	}
	m, err := migrate.NewWithInstance("iofs", source, r.kind, d)
	if err == nil && r.part == "between" {
		m.Log = pauser{}
	}
	return m, err
}

// pauser stops when golang-migrate has told it that the second migration is recorded.
type pauser struct{}

func (pauser) Verbose() bool { return false }

func (pauser) Printf(format string, args ...any) {
	if strings.HasPrefix(fmt.Sprintf(format, args...), "2/u ") {
		proctest.Say("between")
		proctest.Hold()
	}
}

func outcomeOf(err error) string {
	dirty, isDirty := errors.AsType[*migrations.DirtyError](err)
	told, wasTold := errors.AsType[migrate.ErrDirty](err)
	switch {
	case err == nil, err.Error() == migrate.ErrNoChange.Error(): // and nothing joined to it
		return "migrated"
	case isDirty:
		return fmt.Sprintf("dirty at %d", dirty.Version)
	case wasTold:
		return fmt.Sprintf("golang-migrate says dirty at %d", told.Version)
	case errors.Is(err, sqllock.ErrLost):
		return "lost"
	case strings.Contains(err.Error(), "40P01"):
		return "40P01"
	default:
		return err.Error()
	}
}

// stage is a database in which replicas migrate.
type stage struct {
	*testing.T
	role
	dsn  string
	db   *sql.DB
	held *sql.Conn // locks the gate
	eyes *sqllock.Client
	all  []*proctest.Process
}

// newStage is a database with a gate, which is locked.
func newStage(t *testing.T, r role) *stage {
	t.Helper()
	k := kinds[r.kind]
	s := &stage{T: t, role: r, dsn: k.fresh(t)}
	s.db = open(t, k.driver, s.dsn)
	s.exec("CREATE TABLE outcomes (outcome varchar(1000))", "CREATE TABLE gate (n bigint)", "INSERT INTO gate VALUES (1)")
	b, closeBackend, err := backend(t.Context(), r.kind, r.lock, s.dsn)
	require.NoError(t, err)
	s.eyes = sqllock.New(b)
	t.Cleanup(func() {
		require.NoError(t, s.eyes.Close(context.Background()))
		closeBackend()
	})
	if len(k.gate) > 0 {
		s.held, err = s.db.Conn(t.Context())
		require.NoError(t, err)
		t.Cleanup(func() { _ = s.held.Close() })
		for _, statement := range k.gate {
			_, err := s.held.ExecContext(t.Context(), statement)
			require.NoError(t, err)
		}
	}
	return s
}

func (s *stage) exec(statements ...string) {
	s.Helper()
	for _, statement := range statements {
		_, err := s.db.ExecContext(s.Context(), statement)
		require.NoError(s, err, statement)
	}
}

func (s *stage) int(query string) (n int) {
	s.Helper()
	require.NoError(s, s.db.QueryRowContext(s.Context(), query).Scan(&n), query)
	return n
}

func (s *stage) eventually(n int, what, query string) {
	s.Helper()
	require.Eventually(s, func() bool { return s.int(query) == n }, patience, poll, what)
}

func (s *stage) openGate() {
	s.Helper()
	if s.held != nil {
		_, err := s.held.ExecContext(s.Context(), kinds[s.kind].ungate)
		require.NoError(s, err)
	}
}

// starts a replica that plays a part.
func (s *stage) starts(part string) *proctest.Process {
	s.Helper()
	r := s.role
	r.part = part
	p := proctest.Start(s, "TestReplica", r.String(), s.dsn)
	s.all = append(s.all, p)
	return p
}

// startsTogether are n more replicas that begin at once.
func (s *stage) startsTogether(n int) (all []*proctest.Process) {
	s.Helper()
	for range n {
		all = append(all, s.starts("last"))
	}
	for _, p := range all {
		p.Await("ready")
	}
	for _, p := range all {
		p.Release()
	}
	return all
}

// awaitGated returns when a migration waits at the gate.
func (s *stage) awaitGated() {
	s.Helper()
	s.eventually(1, "a migration waits at the gate", kinds[s.kind].gated)
}

// awaitWaiters returns when n replicas wait for the toolkit's lock.
func (s *stage) awaitWaiters(n int) {
	s.Helper()
	require.Eventually(s, func() bool {
		infos, err := s.eyes.Locks(s.Context())
		require.NoError(s, err)
		waiting := 0
		for _, info := range infos {
			if info.Waiting {
				waiting++
			}
		}
		return waiting == n
	}, patience, poll, "%d replicas wait", n)
}

// kills a replica.
func (s *stage) kills(p *proctest.Process) {
	s.Helper()
	p.Kill()
	s.all = slices.DeleteFunc(s.all, func(other *proctest.Process) bool { return other == p })
}

// done are replicas that have come to an end.
func (s *stage) done(all ...*proctest.Process) {
	s.Helper()
	for _, p := range all {
		p.Await("done")
	}
}

// outcomes is how many replicas have ended how.
func (s *stage) outcomes() map[string]int {
	s.Helper()
	rows, err := s.db.QueryContext(s.Context(), "SELECT outcome, count(*) FROM outcomes GROUP BY outcome")
	require.NoError(s, err)
	defer rows.Close()
	all := make(map[string]int)
	for rows.Next() {
		var outcome string
		var n int
		require.NoError(s, rows.Scan(&outcome, &n))
		all[outcome] = n
	}
	require.NoError(s, rows.Err())
	return all
}

// version is what golang-migrate's table says.
func (s *stage) version() string {
	s.Helper()
	var version int
	var dirty bool
	require.NoError(s, s.db.QueryRowContext(s.Context(), "SELECT version, dirty FROM schema_migrations").Scan(&version, &dirty))
	if dirty {
		return fmt.Sprintf("dirty at %d", version)
	}
	return fmt.Sprintf("clean at %d", version)
}

// leavesNobody kills what is left of the replicas, and waits until the server does nothing for them.
func (s *stage) leavesNobody() {
	s.Helper()
	for _, p := range s.all {
		p.Kill()
	}
	if busy := kinds[s.kind].busy; busy != "" {
		s.eventually(0, "no session does or waits for anything", busy)
	}
}

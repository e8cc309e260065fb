package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sqllock/toolkit/internal/testdb"
	migrations "github.com/sqllock/toolkit/migrations/postgres"
	"github.com/sqllock/toolkit/postgres"
	"github.com/sqllock/toolkit/sqllock"
)

// estate is a server whose administrator has installed the tables in a schema on which nobody else has any rights.
type estate struct {
	*scene
	mu    sync.Mutex // grants on one relation at the same time fail
	roles int
}

func newEstate(t *testing.T) *estate {
	t.Helper()
	server := testdb.StartPostgres(t)
	s := sceneAt(t, server.DSN())
	s.exec("CREATE SCHEMA locks")
	require.NoError(t, migrations.Up(t.Context(), connect(t, server.DSN()), migrations.Schema("locks")))
	return &estate{scene: s}
}

// role makes one that may log in and has these rights alone. It returns a pool of its own.
func (e *estate) role(t *testing.T, grants ...string) *pgxpool.Pool {
	t.Helper()
	e.mu.Lock()
	defer e.mu.Unlock()
	e.roles++
	name := fmt.Sprint("role_", e.roles)
	_, err := e.pool.Exec(t.Context(), "CREATE ROLE "+name+" LOGIN")
	require.NoError(t, err)
	for _, grant := range grants {
		_, err := e.pool.Exec(t.Context(), "GRANT "+grant+" TO "+name)
		require.NoError(t, err, grant)
	}
	dsn, err := url.Parse(e.dsn)
	require.NoError(t, err)
	dsn.User = url.User(name)
	return poolAt(t, dsn.String())
}

// user is somebody who has made a backend of either kind as a role.
type user struct {
	ctx     context.Context
	pool    *pgxpool.Pool
	owner   *pgxpool.Pool   // of the administrator, who may do everything
	backend                 // of the role
	as      sqllock.Backend // of the administrator
	events  journal
}

// locked runs fn with a lock of its own.
func (u user) locked(fn func(c *sqllock.Client, l *sqllock.Lock) error, opts ...sqllock.Option) (err error) {
	c := sqllock.New(u.backend, sqllock.Logger(slog.New(u.events)))
	defer func() { err = errors.Join(err, c.Close(u.ctx)) }()
	l, err := c.TryAcquire(u.ctx, "n", opts...)
	if err != nil {
		return err
	}
	return errors.Join(fn(c, l), l.Release(u.ctx))
}

// holds acquires in every mode, waits in vain, verifies, publishes where that is with the lock, and releases.
func (u user) holds() error {
	for _, mode := range [][]sqllock.Option{nil, {sqllock.Shared()}, {sqllock.Permits(2)}} {
		err := u.locked(func(c *sqllock.Client, l *sqllock.Lock) error { return errors.Join(u.waits(), l.Verify(u.ctx)) }, mode...)
		if err != nil {
			return err
		}
	}
	return nil
}

// waits until a waiter is in line, and then gives up.
func (u user) waits() (err error) {
	c := sqllock.New(u.backend)
	defer func() { err = errors.Join(err, c.Close(u.ctx)) }()
	if !c.Capabilities().Fair { // nothing is written where there is no line
		if _, err := c.TryAcquire(u.ctx, "n"); !errors.Is(err, sqllock.ErrNotAcquired) {
			return fmt.Errorf("trying: %w", err)
		}
		return nil
	}
	ctx, giveUp := context.WithTimeout(u.ctx, sceneSlack)
	defer giveUp()
	var all sync.WaitGroup
	all.Go(func() { _, err = c.Acquire(ctx, "n"); giveUp() })
	for ctx.Err() == nil {
		var n int
		const query = "SELECT count(*) FROM locks.sqllock_waiters JOIN locks.sqllock_resources r ON r.id = resource WHERE namespace = $1"
		if err := u.owner.QueryRow(u.ctx, query, u.pool.Config().ConnConfig.User).Scan(&n); err != nil || n > 0 {
			giveUp()
		}
	}
	all.Wait()
	if errors.Is(err, sqllock.ErrNotAcquired) {
		return nil
	}
	return fmt.Errorf("waiting: %w", err)
}

// guards has a lock of the administrator, and a transaction of the role under it.
func (u user) guards(opts ...sqllock.Option) (err error) {
	c := sqllock.New(u.as)
	defer func() { err = errors.Join(err, c.Close(u.ctx)) }()
	l, err := c.Acquire(u.ctx, "n", opts...)
	if err != nil {
		return err
	}
	tx, err := u.pool.Begin(u.ctx)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback(u.ctx) }()
	type guard interface {
		Guard(ctx context.Context, tx pgx.Tx, lock *sqllock.Lock) error
	}
	return u.backend.(guard).Guard(u.ctx, tx, l)
}

// locksInTransactions of its own.
func (u user) locksInTransactions() error {
	type txLocker interface {
		LockTx(ctx context.Context, tx pgx.Tx, name string) error
		TryLockTx(ctx context.Context, tx pgx.Tx, name string) error
	}
	b := u.backend.(txLocker)
	return pgx.BeginFunc(u.ctx, u.pool, func(tx pgx.Tx) error {
		return errors.Join(b.LockTx(u.ctx, tx, "n"), b.TryLockTx(u.ctx, tx, "m"))
	})
}

// locksAfterTheDead has a holder in the way whose lease has run out.
func (u user) locksAfterTheDead() error {
	const die = `WITH s AS (INSERT INTO locks.sqllock_sessions (id, owner, opened_at, expires_at)
			VALUES ((random() * 1e15)::bigint, 'dead', now(), now() - interval '1 hour') RETURNING id),
		r AS (INSERT INTO locks.sqllock_resources (namespace, name, token, used_at)
			SELECT $1::text, n, 1, now() FROM unnest(array['n', 'm']) n RETURNING id)
		INSERT INTO locks.sqllock_holders (resource, token, mode, permits, session, acquired_at) SELECT r.id, 1, 'x', 0, s.id, now() FROM r, s`
	if _, err := u.owner.Exec(u.ctx, die, u.pool.Config().ConnConfig.User); err != nil {
		return err
	}
	return u.locksInTransactions()
}

// collects what dead processes have left behind, whether there is anything or not.
func (u user) collects() error {
	if err := u.locked(func(*sqllock.Client, *sqllock.Lock) error { return nil }); err != nil {
		return err
	}
	if event := u.events.find("collecting expired sessions failed"); event != "" {
		return errors.New(event)
	}
	return nil
}

// lists and forces what the administrator holds.
func (u user) lists() error {
	c := sqllock.New(u.backend)
	_, err := c.Locks(u.ctx)
	return errors.Join(err, c.Close(u.ctx))
}

func (u user) forces() (err error) {
	holder, c := sqllock.New(u.as), sqllock.New(u.backend)
	defer func() { err = errors.Join(err, c.Close(u.ctx), holder.Close(u.ctx)) }()
	l, err := holder.Acquire(u.ctx, "n")
	if err != nil {
		return err
	}
	if err := c.ForceRelease(u.ctx, "n"); err != nil {
		return err
	}
	select {
	case <-l.Done():
		return nil
	case <-time.After(sceneSlack):
		return errors.New("the holder is not told")
	}
}

func (u user) publishes() error {
	return u.locked(func(_ *sqllock.Client, l *sqllock.Lock) error {
		return l.Publish(u.ctx, map[string]string{"at": "here"})
	})
}

// observes what the administrator publishes.
func (u user) observes() (err error) {
	leader, c := sqllock.New(u.as), sqllock.New(u.backend)
	defer func() { err = errors.Join(err, c.Close(u.ctx), leader.Close(u.ctx)) }()
	l, err := leader.Acquire(u.ctx, "n")
	if err != nil {
		return err
	}
	if err := l.Publish(u.ctx, map[string]string{"at": "here"}); err != nil {
		return err
	}
	_, err = c.Leader(u.ctx, "n")
	return err
}

func (u user) purges() error {
	type purger interface {
		Purge(ctx context.Context, unused time.Duration) (int64, error)
	}
	_, err := u.backend.(purger).Purge(u.ctx, 0)
	return err
}

// isNamed is seen by others under its name, and not only its key.
func (u user) isNamed() error {
	return u.locked(func(*sqllock.Client, *sqllock.Lock) error {
		eyes := sqllock.New(u.as)
		defer func() { _ = eyes.Close(u.ctx) }()
		for deadline := time.Now().Add(sceneSlack); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
			infos, err := eyes.Locks(u.ctx)
			if err != nil {
				return err
			}
			if slices.ContainsFunc(infos, func(i sqllock.LockInfo) bool { return i.Name == "n" }) {
				return nil
			}
			if event := u.events.find("names of locks not written"); event != "" {
				return errors.New(event)
			}
		}
		return errors.New("nobody sees the name")
	})
}

// rights on the toolkit's relations, each as one that may be granted: letters of SELECT, INSERT, UPDATE, DELETE and, of the sequence, USAGE (G).
func rights(of ...string) (grants []string) {
	names := map[rune]string{'S': "SELECT", 'I': "INSERT", 'U': "UPDATE", 'D': "DELETE", 'G': "USAGE"}
	grants = []string{"USAGE ON SCHEMA locks"}
	for _, rights := range of {
		letters, relation, _ := strings.Cut(rights, " ")
		for _, letter := range letters {
			grants = append(grants, names[letter]+" ON locks.sqllock_"+relation)
		}
	}
	return grants
}

// TestPrivileges has roles do things that have the rights to them and no others, and then each time one less, which must be what the error says.
func TestPrivileges(t *testing.T) {
	t.Parallel()
	e := newEstate(t)
	table := func(pool *pgxpool.Pool, namespace string) backend {
		return postgres.Table(pool, postgres.Schema("locks"), postgres.Namespace(namespace))
	}
	advisory := func(opts ...postgres.Option) func(*pgxpool.Pool, string) backend {
		return func(pool *pgxpool.Pool, namespace string) backend {
			return postgres.Advisory(pool, append(opts, postgres.Schema("locks"), postgres.Namespace(namespace))...)
		}
	}
	quick := postgres.SessionTimeout(3 * time.Second) // names are written down soon
	hold := rights("S schema_version", "SU meta", "SIUD sessions", "SIU resources", "SIUD holders", "SID waiters")
	tokens := rights("GSU token")
	for name, c := range map[string]struct {
		open   func(*pgxpool.Pool, string) backend
		do     func(user) error
		grants []string
		given  []string // without which nothing would be tried
	}{
		"TableHold":        {table, user.holds, hold, nil},
		"TablePublish":     {table, user.publishes, nil, hold},
		"TableCollect":     {table, user.collects, rights("U waiters")[1:], hold},
		"TableForce":       {table, user.forces, rights("SU sessions", "SU resources", "SD holders", "S waiters"), nil},
		"TableLocks":       {table, user.lists, rights("S sessions", "S resources", "S holders", "S waiters"), nil},
		"TableLeader":      {table, user.observes, rights("S sessions", "S resources", "S holders"), nil},
		"TableGuard":       {table, func(u user) error { return u.guards() }, rights("SU resources", "S holders"), nil},
		"TableGuardShared": {table, func(u user) error { return u.guards(sqllock.Shared()) }, rights("SU holders"), nil},
		"TableLockTx":      {table, user.locksInTransactions, rights("SU meta", "S sessions", "SIU resources", "S holders"), nil},
		"TableLockTxEvict": {table, user.locksAfterTheDead, rights("SUD sessions", "SU resources", "SUD holders"), nil},
		"TablePurge":       {table, user.purges, rights("SU meta", "SUD sessions", "SUD resources", "SUD holders", "S waiters"), nil},
		"Advisory":         {advisory(postgres.Sentinel()), user.holds, nil, nil},
		"AdvisoryGuard":    {advisory(), func(u user) error { return u.guards() }, nil, nil},
		"AdvisoryLockTx":   {advisory(), user.locksInTransactions, nil, nil},
		"AdvisoryLocks":    {advisory(), user.lists, nil, nil},
		"AdvisoryForce":    {advisory(), user.forces, nil, nil},
		"AdvisoryTokens":   {advisory(postgres.WithTokens()), user.holds, tokens, nil},
		"AdvisoryNames":    {advisory(quick), user.isNamed, rights("SIU names")[1:], tokens},
		"AdvisoryPurge":    {advisory(), user.purges, rights("SD names"), nil},
		"AdvisoryPublish":  {advisory(), user.publishes, rights("SIU leaders"), nil},
		"AdvisoryLeader":   {advisory(), user.observes, rights("S leaders"), nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			try := func(t *testing.T, grants []string) error {
				t.Helper()
				pool := e.role(t, append(grants, c.given...)...)
				defer pool.Close()
				namespace := pool.Config().ConnConfig.User
				u := user{t.Context(), pool, e.pool, c.open(pool, namespace), c.open(e.pool, namespace), newJournal()}
				return errors.Join(c.do(u), u.Close(t.Context()))
			}
			require.NoError(t, try(t, c.grants))
			for i, grant := range c.grants {
				t.Run("Without"+grant, func(t *testing.T) {
					t.Parallel()
					err := try(t, slices.Delete(slices.Clone(c.grants), i, i+1))
					unknown(t, err, grant)
					if errors.Is(err, sqllock.ErrSchema) {
						assert.ErrorContains(t, err, "sqllock_token")
						return
					}
					_, object, _ := strings.Cut(grant, "locks")
					assert.ErrorContains(t, err, "permission denied")
					if name == "AdvisoryPublish" {
						assert.ErrorIs(t, err, sqllock.ErrUnsupported, "who has nothing to tell leads without")
					}
					assert.ErrorContains(t, err, strings.TrimPrefix(object, "."))
				})
			}
		})
	}
}

// TestPrivilegesOverOthersSessions: whose addresses are listed, and whose sessions may be ended. Owners are seen by all.
func TestPrivilegesOverOthersSessions(t *testing.T) {
	t.Parallel()
	e := newEstate(t)
	ctx := t.Context()
	holderPool := e.role(t)
	holder := sqllock.New(postgres.Advisory(holderPool), sqllock.Owner("the holder"))
	t.Cleanup(func() { assert.NoError(t, holder.Close(context.Background())) })
	for _, c := range []struct {
		grants          []string
		sees, terminate bool
	}{
		{nil, false, false},
		{[]string{"pg_read_all_stats"}, true, false},
		{[]string{"pg_signal_backend"}, false, true},
		{[]string{holderPool.Config().ConnConfig.User}, true, true}, // a member of the holder's role
	} {
		l := e.acquire(holder, "n")
		b := postgres.Advisory(e.role(t, c.grants...))
		eyes := sqllock.New(b)
		infos, err := eyes.Locks(ctx)
		require.NoError(t, err)
		require.Len(t, infos, 1)
		require.Equal(t, "the holder", infos[0].Owner)
		require.Equal(t, c.sees, infos[0].Client != "", "%v: %q", c.grants, infos[0].Client)
		freed, err := b.Terminate(ctx, "n")
		if c.terminate {
			require.NoError(t, err)
			require.Len(t, freed, 1)
			e.ends(l)
		} else {
			var denied *pgconn.PgError
			require.ErrorAs(t, err, &denied)
			require.Equal(t, "42501", denied.Code)
			require.NoError(t, l.Verify(ctx))
			e.release(l)
		}
		require.NoError(t, errors.Join(eyes.Close(ctx), b.Close(ctx)))
	}
}

// TestPrivilegesToInstall are those on the schema. Who has them owns the tables.
func TestPrivilegesToInstall(t *testing.T) {
	t.Parallel()
	e := newEstate(t)
	e.exec("CREATE SCHEMA fresh")
	grants := []string{"USAGE ON SCHEMA fresh", "CREATE ON SCHEMA fresh"}
	up := func(grants []string) (*pgxpool.Pool, error) {
		pool := e.role(t, grants...)
		return pool, migrations.Up(t.Context(), connect(t, pool.Config().ConnString()), migrations.Schema("fresh"))
	}
	for i, grant := range grants {
		_, err := up(slices.Delete(slices.Clone(grants), i, i+1))
		require.ErrorContains(t, err, "permission denied for schema fresh", grant)
	}
	pool, err := up(grants)
	require.NoError(t, err)
	b := postgres.Table(pool, postgres.Schema("fresh"))
	c := sqllock.New(b)
	l, err := c.TryAcquire(t.Context(), "n")
	require.NoError(t, err)
	require.NoError(t, errors.Join(l.Release(t.Context()), c.Close(t.Context()), b.Close(t.Context())))
}

package mysql_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	driver "github.com/go-sql-driver/mysql"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sqllock/toolkit/internal/testdb"
	migrations "github.com/sqllock/toolkit/migrations/mysql"
	"github.com/sqllock/toolkit/mysql"
	"github.com/sqllock/toolkit/sqllock"
)

// grants are privileges on tables of the toolkit, "SELECT ON meta" for example. They are those of the documentation.
type grants []string

var (
	// ofTable is what a Client of Table needs, and LockTx, WithTx and Guard.
	ofTable = grants{
		"SELECT ON schema_version",
		"SELECT ON meta",
		"SELECT ON sessions", "INSERT ON sessions", "UPDATE ON sessions", "DELETE ON sessions",
		"SELECT ON resources", "INSERT ON resources", "UPDATE ON resources",
		"SELECT ON holders", "INSERT ON holders", "UPDATE ON holders", "DELETE ON holders",
		"SELECT ON waiters", "INSERT ON waiters", "DELETE ON waiters",
	}
	// ofPurge is what Purge needs beside it.
	ofPurge = grants{"UPDATE ON meta", "DELETE ON resources"}

	// ofTokens is what Named needs WithTokens, and ofLeaders to publish.
	ofTokens  = grants{"SELECT ON named", "INSERT ON named", "UPDATE ON named"}
	ofLeaders = grants{"SELECT ON leaders", "INSERT ON leaders", "UPDATE ON leaders"}
)

func (g grants) without(missing string) grants {
	return slices.DeleteFunc(slices.Clone(g), func(grant string) bool { return grant == missing })
}

// privileged is a server with users who may do little.
type privileged struct {
	*namedScene
	users int
}

func newPrivileged(t *testing.T) *privileged {
	t.Helper()
	server := testdb.StartMySQL(t)
	migrate(t, server.Config())
	p := &privileged{namedScene: namedSceneAt(t, server.Config())}
	p.exec("CREATE TABLE test.work (id INT AUTO_INCREMENT PRIMARY KEY)")
	return p
}

// user is a new user who may write to the application's table, and what is granted.
func (p *privileged) user(granted grants) *driver.Config {
	p.Helper()
	p.users++
	cfg := p.cfg.Clone()
	cfg.User, cfg.Passwd = fmt.Sprint("user", p.users), "secret"
	p.exec(fmt.Sprintf("CREATE USER %s IDENTIFIED BY 'secret'", cfg.User))
	p.exec("GRANT INSERT ON test.work TO " + cfg.User)
	for _, grant := range granted {
		p.exec("GRANT " + strings.Replace(grant, " ON ", " ON test.sqllock_", 1) + " TO " + cfg.User)
	}
	return cfg
}

// everyGrantIsNeeded has a user with all privileges do everything, and users who lack one of needed fail, with an error that says so.
func (p *privileged) everyGrantIsNeeded(all, needed grants, everything func(*driver.Config) error) {
	p.Helper()
	type attempt struct {
		missing string
		err     error
	}
	attempts := make(chan attempt, 1+len(needed))
	for _, missing := range append([]string{""}, needed...) {
		cfg := p.user(all.without(missing))
		p.dead(cfg)
		go func() { attempts <- attempt{missing, everything(cfg)} }()
	}
	for range cap(attempts) {
		a := <-attempts
		if a.missing == "" {
			assert.NoError(p, a.err)
			continue
		}
		if !assert.Error(p, a.err, "%s is not needed", a.missing) {
			continue
		}
		privilege, table, _ := strings.Cut(a.missing, " ON ")
		if !strings.Contains(a.err.Error(), "SELECT with locking clause command denied") { // for which MySQL wants one more
			assert.ErrorContains(p, a.err, privilege+" command denied", a.missing)
		}
		assert.ErrorContains(p, a.err, "sqllock_"+table, a.missing)
		assert.NotErrorIs(p, a.err, sqllock.ErrNotAcquired, a.missing)
		if table == "leaders" {
			assert.ErrorIs(p, a.err, sqllock.ErrUnsupported, "who has nothing to tell leads without")
		}
	}
}

// steps are done in order, until one fails.
func steps(all ...func() error) error {
	for i, step := range all {
		if err := step(); err != nil {
			return fmt.Errorf("step %d: %w", i, err)
		}
	}
	return nil
}

func TestTableNeedsTheDocumentedPrivileges(t *testing.T) {
	t.Parallel()
	p := newPrivileged(t)
	p.everyGrantIsNeeded(ofTable, ofTable, p.useTable)
	p.everyGrantIsNeeded(append(slices.Clone(ofTable), ofPurge...), ofPurge, func(cfg *driver.Config) error {
		table := mysql.Table(cfg)
		_, err := table.Purge(t.Context(), 0)
		return errors.Join(err, table.Close(context.Background()))
	})
}

// useTable does all that can be done with leases, as two processes of one user.
func (p *privileged) useTable(cfg *driver.Config) (err error) {
	ctx, cancel := context.WithTimeout(p.Context(), 20*time.Second)
	defer cancel()
	table := mysql.Table(cfg, mysql.Poll(time.Minute))
	a, b := sqllock.New(table, sqllock.TTL(3*time.Second)), sqllock.New(table, sqllock.TTL(time.Hour))
	defer func() {
		err = errors.Join(err, a.Close(context.Background()), b.Close(context.Background()), table.Close(context.Background()))
	}()
	name := cfg.User // which is new
	var held *sqllock.Lock
	acquire := func(c *sqllock.Client, name string, opts ...sqllock.Option) error {
		held, err = c.Acquire(ctx, name, append(opts, sqllock.Wait(5*time.Second))...)
		return err
	}
	release := func() error { return held.Release(ctx) }
	inTx := func(do func(tx *sql.Tx) error) error { return work(ctx, cfg, do) }
	return steps(
		func() error { return a.Ping(ctx) },
		func() error { return acquire(a, name, sqllock.Metadata(map[string]string{"k": "v"})) },
		func() error { return inTx(func(tx *sql.Tx) error { return table.Guard(ctx, tx, held) }) },
		func() error { return held.Publish(ctx, map[string]string{"address": "here"}) },
		func() error { _, err := b.Leader(ctx, name); return err },
		func() error { _, err := b.Locks(ctx); return err },
		func() error { return held.Verify(ctx) },
		func() error { return handOverTo(ctx, held, b) },
		func() error { return acquire(a, "of the dead "+name) },
		release,
		func() error { return acquire(a, name, sqllock.Permits(2)) },
		func() error { return inTx(func(tx *sql.Tx) error { return table.Guard(ctx, tx, held) }) },
		release,
		func() error { return inTx(func(tx *sql.Tx) error { return table.LockTx(ctx, tx, name) }) },
		func() error { return table.WithTx(ctx, name, func(*sql.Tx) error { return nil }) },
		func() error { return acquire(a, "kept "+name, sqllock.AtLeast(time.Hour)) },
		func() error { return renewed(held) },
		release,
		func() error { return acquire(a, name) },
		func() error { return b.ForceRelease(ctx, name) },
		func() error { return told(held) },
	)
}

// work is a transaction of the application.
func work(ctx context.Context, cfg *driver.Config, do func(tx *sql.Tx) error) error {
	connector, err := driver.NewConnector(cfg)
	if err != nil {
		return err
	}
	db := sql.OpenDB(connector)
	defer db.Close()
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }()
	if err := do(tx); err != nil {
		return err
	}
	if _, err := tx.ExecContext(ctx, "INSERT INTO test.work VALUES ()"); err != nil {
		return err
	}
	return tx.Commit()
}

// dead leaves a holder behind whose process has died.
func (p *privileged) dead(cfg *driver.Config) {
	p.Helper()
	number, name := strings.TrimPrefix(cfg.User, "user"), "of the dead "+cfg.User
	p.exec("INSERT INTO test.sqllock_resources (namespace, name, token, used_at) VALUES ('', ?, 1, UTC_TIMESTAMP(6))", name)
	p.exec(`INSERT INTO test.sqllock_sessions (id, owner, epoch, opened_at, expires_at)
		VALUES (-?, 'dead', 0, UTC_TIMESTAMP(6), UTC_TIMESTAMP(6) - INTERVAL 1 SECOND)`, number)
	p.exec(`INSERT INTO test.sqllock_holders (resource, token, mode, permits, session, acquired_at)
		SELECT id, token, 'x', 0, -?, UTC_TIMESTAMP(6) FROM test.sqllock_resources WHERE name = ?`, number, name)
}

// handOverTo has other wait for what is held, and be told of its release.
func handOverTo(ctx context.Context, held *sqllock.Lock, other *sqllock.Client) error {
	ctx, leave := context.WithTimeout(ctx, 10*time.Second)
	defer leave()
	got := make(chan error, 1)
	go func() {
		next, err := other.Acquire(ctx, held.Name())
		if err == nil {
			err = next.Release(ctx)
		}
		got <- err
	}()
	for {
		infos, err := other.Locks(ctx)
		if err != nil {
			return errors.Join(err, held.Release(ctx))
		}
		if slices.ContainsFunc(infos, func(i sqllock.LockInfo) bool { return i.Name == held.Name() && i.Waiting }) {
			break
		}
		select {
		case err := <-got:
			return errors.Join(err, held.Release(ctx))
		case <-time.After(2 * time.Millisecond): // between two looks
		}
	}
	if err := held.Release(ctx); err != nil {
		return err
	}
	return <-got
}

// told waits until the holder of a lock is told of its loss.
func told(l *sqllock.Lock) error {
	select {
	case <-l.Done():
		return nil
	case <-time.After(namedSlack):
		return errors.New("its holder is not told")
	}
}

// renewed waits for a renewal.
func renewed(l *sqllock.Lock) error {
	for first := l.Deadline(); ; {
		select {
		case <-l.Done():
			return l.Err()
		case <-time.After(10 * time.Millisecond): // between two looks
			if l.Deadline().After(first) {
				return nil
			}
		}
	}
}

func TestNamedNeedsTheDocumentedPrivileges(t *testing.T) {
	t.Parallel()
	p := newPrivileged(t)
	// USAGE alone lets nobody into a database: it is named, and not entered.
	require.NoError(t, p.useNamed(p.outside(p.user(nil)), mysql.Database("test")))
	p.everyGrantIsNeeded(ofTokens, ofTokens, func(cfg *driver.Config) error {
		return steps(
			func() error { return p.useNamed(cfg, mysql.WithTokens()) },
			func() error { return p.useNamed(p.outside(cfg), mysql.WithTokens(), mysql.Database("test")) },
		)
	})
	p.everyGrantIsNeeded(ofLeaders, ofLeaders, p.publish)
}

// outside is not connected to a database.
func (p *privileged) outside(cfg *driver.Config) *driver.Config {
	cfg = cfg.Clone()
	cfg.DBName = ""
	return cfg
}

// useNamed does all that can be done with session locks, as two processes of one user.
func (p *privileged) useNamed(cfg *driver.Config, opts ...mysql.Option) (err error) {
	ctx, cancel := context.WithTimeout(p.Context(), 20*time.Second)
	defer cancel()
	backend := mysql.Named(cfg, append(opts, mysql.SessionTimeout(3*time.Second))...)
	tokens := backend.Capabilities().Tokens
	a, b := sqllock.New(backend), sqllock.New(backend)
	defer func() {
		err = errors.Join(err, a.Close(context.Background()), b.Close(context.Background()), backend.Close(context.Background()))
	}()
	name := cfg.User + cfg.DBName // which is new
	var held *sqllock.Lock
	acquire := func() error {
		held, err = a.Acquire(ctx, name, sqllock.Wait(5*time.Second))
		return err
	}
	return steps(
		func() error { return a.Ping(ctx) },
		acquire,
		func() error { return held.Verify(ctx) },
		func() error { return handOverTo(ctx, held, b) },
		func() error { return backend.WithTx(ctx, name, func(*sql.Tx) error { return nil }) },
		acquire,
		func() error {
			if !tokens {
				return nil
			}
			return work(ctx, cfg, func(tx *sql.Tx) error { return backend.Guard(ctx, tx, held) })
		},
		func() error {
			_, err := b.Acquire(ctx, name, sqllock.Wait(time.Second)) // whose parked connection is called off
			if !errors.Is(err, sqllock.ErrNotAcquired) {
				return fmt.Errorf("acquired twice: %w", err)
			}
			return nil
		},
		func() error { return b.ForceRelease(ctx, name) },
		func() error { return told(held) },
		acquire,
		func() error { _, err := backend.Terminate(ctx, name); return err },
		func() error { return told(held) },
	)
}

func (p *privileged) publish(cfg *driver.Config) (err error) {
	ctx := p.Context()
	backend := mysql.Named(cfg)
	c := sqllock.New(backend)
	defer func() { err = errors.Join(err, c.Close(context.Background()), backend.Close(context.Background())) }()
	var held *sqllock.Lock
	return steps(
		func() error { held, err = c.Acquire(ctx, "leader of "+cfg.User); return err },
		func() error { return held.Publish(ctx, map[string]string{"address": "here"}) },
		func() error { return held.Publish(ctx, map[string]string{"address": "there"}) },
		func() error { _, err := c.Leader(ctx, held.Name()); return err },
	)
}

// TestNamedListsWhatItsUserMaySee and says nothing of the rest.
func TestNamedListsWhatItsUserMaySee(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	p := newPrivileged(t)
	one, another := p.outside(p.user(nil)), p.outside(p.user(nil))
	client := func(cfg *driver.Config) *sqllock.Client {
		return p.processOf(t, func(*driver.Config) backend { return mysql.Named(cfg, mysql.Database("test")) })
	}
	a, b := client(one), client(another)
	held := p.acquire(a, "n")
	infos, err := b.Locks(ctx)
	require.NoError(t, err)
	for _, i := range infos {
		assert.Equal(t, held.Name(), i.Name) // where the server shows it
	}
	stranger := mysql.Named(another, mysql.Database("test"))
	defer func() { assert.NoError(t, stranger.Close(context.Background())) }()
	_, err = stranger.Terminate(ctx, "n")
	require.Error(t, err)
	assert.ErrorContains(t, err, "not owner")
	require.NoError(t, held.Verify(ctx))
	p.release(held)
}

// TestMigrationsNeedTheDocumentedPrivileges to install, and to remove.
func TestMigrationsNeedTheDocumentedPrivileges(t *testing.T) {
	t.Parallel()
	s := namedSceneAt(t, testdb.StartMySQL(t).Config())
	privileges := []string{"SELECT", "INSERT", "DELETE", "CREATE", "DROP"}
	for i, missing := range append([]string{""}, privileges...) {
		database, user := fmt.Sprint("database", i), fmt.Sprint("installer", i)
		s.exec("CREATE DATABASE " + database)
		s.exec("CREATE USER " + user + " IDENTIFIED BY 'secret'")
		for _, privilege := range privileges {
			if privilege != missing {
				s.exec("GRANT " + privilege + " ON " + database + ".* TO " + user)
			}
		}
		cfg := s.cfg.Clone()
		cfg.User, cfg.Passwd, cfg.DBName = user, "secret", database
		db := connect(t, cfg)
		err := migrations.Up(t.Context(), db)
		if missing == "" || missing == "DROP" {
			require.NoError(t, err)
			err = migrations.Down(t.Context(), db)
		}
		if missing == "" {
			require.NoError(t, err)
			continue
		}
		assert.ErrorContains(t, err, missing+" command denied", missing)
	}
}

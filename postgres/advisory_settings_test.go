package postgres_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sqllock/toolkit/internal/testdb"
	"github.com/sqllock/toolkit/postgres"
	"github.com/sqllock/toolkit/sqllock"
)

// configured is a Client with a pool of its own, for which configure has prepared the configuration.
func (s *scene) configured(configure func(*pgxpool.Config), opts ...postgres.Option) *sqllock.Client {
	s.Helper()
	cfg, err := pgxpool.ParseConfig(s.dsn)
	require.NoError(s, err)
	configure(cfg)
	pool, err := pgxpool.NewWithConfig(s.Context(), cfg)
	require.NoError(s, err)
	s.Cleanup(pool.Close)
	c := sqllock.New(postgres.Advisory(pool, opts...))
	s.Cleanup(func() { assert.NoError(s, c.Close(context.Background())) })
	return c
}

// TestAdvisoryConnectsAsTheApplicationDoes with what it wants done to each connection, but leaves its handler of notifications alone.
func TestAdvisoryConnectsAsTheApplicationDoes(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	s := newScene(t)
	c := s.configured(func(cfg *pgxpool.Config) {
		cfg.ConnConfig.RuntimeParams["application_name"] = "never seen"
		cfg.BeforeConnect = func(_ context.Context, cc *pgx.ConnConfig) error {
			cc.RuntimeParams["application_name"] = "before"
			return nil
		}
		cfg.AfterConnect = func(ctx context.Context, conn *pgx.Conn) error {
			var name string
			if err := conn.QueryRow(ctx, "SHOW application_name").Scan(&name); err != nil {
				return err
			}
			assert.Equal(t, "before", name)
			_, err := conn.Exec(ctx, "SET application_name = 'after'; SET lock_timeout = 1; LISTEN application; NOTIFY application", pgx.QueryExecModeSimpleProtocol)
			return err
		}
		cfg.ConnConfig.OnNotification = func(_ *pgconn.PgConn, n *pgconn.Notification) {
			t.Errorf("the application's handler is called on a connection that it does not know: %v", n)
		}
	})
	held := s.acquire(c, "n")
	require.Equal(t, "after", s.infos("n")[0].Owner)
	s.exec("NOTIFY application, 'while something is held'")
	require.NoError(t, held.Verify(ctx)) // which the server answers after it has delivered that
	got := s.waits(s.client(), "n")
	s.release(held)
	s.release(s.granted(got, 0))
}

// TestAdvisoryHooksMayRefuse to connect, which says nothing about who holds.
func TestAdvisoryHooksMayRefuse(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	s := newScene(t)
	errHook := errors.New("the hook's own")
	for name, configure := range map[string]func(*pgxpool.Config){
		"BeforeConnect": func(cfg *pgxpool.Config) {
			cfg.BeforeConnect = func(context.Context, *pgx.ConnConfig) error { return errHook }
		},
		"AfterConnect": func(cfg *pgxpool.Config) {
			cfg.ConnConfig.RuntimeParams["application_name"] = "refused"
			cfg.AfterConnect = func(context.Context, *pgx.Conn) error { return errHook }
		},
	} {
		c := s.configured(configure)
		_, err := c.TryAcquire(ctx, "n")
		unknown(t, err, name)
		assert.ErrorIs(t, err, errHook, name)
		_, err = c.Acquire(ctx, "n")
		unknown(t, err, name)
		assert.ErrorIs(t, err, errHook, name)
	}
	s.eventually(func() bool {
		return s.int("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'refused'") == 0
	},
		"connections that a hook refused are closed")
}

// TestAdvisoryDefaultsDoNotMatter connects to a database, and as a role, whose defaults would break what a session does if it took them as
// they come.
func TestAdvisoryDefaultsDoNotMatter(t *testing.T) {
	t.Parallel()
	for name, alter := range map[string]string{
		"OfTheDatabase": "ALTER DATABASE %I SET %s = %L", "OfTheRole": "ALTER ROLE CURRENT_USER IN DATABASE %I SET %s = %L",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx := t.Context()
			dsn := testdb.Postgres(t)
			migrate(t, dsn)
			cfg, err := pgxpool.ParseConfig(dsn)
			require.NoError(t, err)
			for setting, value := range map[string]string{
				"statement_timeout": "0", "lock_timeout": "0", "idle_in_transaction_session_timeout": "0", "default_transaction_read_only": "off",
			} {
				cfg.ConnConfig.RuntimeParams[setting] = value
			}
			pool, err := pgxpool.NewWithConfig(ctx, cfg)
			require.NoError(t, err)
			t.Cleanup(pool.Close)
			s := &scene{T: t, dsn: dsn, pool: pool} // which looks on, and is not concerned by what follows
			s.eyes = s.client()
			for setting, value := range map[string]string{
				"statement_timeout":                   "1ms",
				"lock_timeout":                        "1ms",
				"idle_in_transaction_session_timeout": "1ms",
				"idle_session_timeout":                "1s",
				"default_transaction_read_only":       "on",
				"default_transaction_isolation":       "serializable",
				"default_transaction_deferrable":      "on",
				"synchronous_commit":                  "off",
				"search_path":                         "pg_temp, nowhere",
				"standard_conforming_strings":         "off",
				"bytea_output":                        "escape",
				"row_security":                        "off",
			} {
				if s.int("SELECT count(*) FROM pg_settings WHERE name = $1", setting) == 0 {
					continue // this server is older
				}
				var statement string
				require.NoError(t, s.pool.QueryRow(ctx, "SELECT format($1, current_database(), $2::text, $3::text)", alter, setting, value).Scan(&statement))
				s.exec(statement)
			}
			plain := func(*pgxpool.Config) {}
			a, b := s.configured(plain), s.configured(plain)
			require.NoError(t, a.Ping(ctx))
			kept := s.acquire(a, "kept")
			since := time.Now()
			var last int64
			for range 5 {
				for _, mode := range [][]sqllock.Option{nil, {sqllock.Shared()}, {sqllock.Permits(1)}} {
					held := s.acquire(a, "n")
					assert.Greater(t, held.Token(), last)
					got := s.waits(b, "n", mode...)
					s.release(held)
					l := s.granted(got, 0)
					s.refused(a, "n")
					require.NoError(t, l.Verify(ctx))
					last = l.Token()
					s.release(l)
				}
			}
			held := s.acquire(a, "n")
			require.NoError(t, b.ForceRelease(ctx, "n"))
			s.ends(held)
			require.ErrorIs(t, held.Err(), sqllock.ErrForced)
			select {
			case <-kept.Done():
				t.Error(kept.Err())
			case <-time.After(time.Until(since.Add(1500 * time.Millisecond))): // longer than the longest of those timeouts
			}
			s.release(kept)
			s.onlySessionsLeft()
		})
	}
}

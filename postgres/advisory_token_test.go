package postgres_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"net/url"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sqllock/toolkit/internal/testdb"
	"github.com/sqllock/toolkit/postgres"
	"github.com/sqllock/toolkit/sqllock"
)

// TestAdvisoryTokensGrow over Clients and names, and over a crash of the server, which forgets the end of its log.
func TestAdvisoryTokensGrow(t *testing.T) {
	t.Parallel()
	server := testdb.StartPostgres(t)
	migrate(t, server.DSN())
	s := sceneAt(t, server.DSN())
	a, b := s.client(), s.client()
	var last int64
	grow := func(c *sqllock.Client, name string, opts ...sqllock.Option) {
		t.Helper()
		l := s.acquire(c, name, opts...)
		require.Greater(t, l.Token(), last, name)
		last = l.Token()
		s.release(l)
	}
	for crash := range 3 {
		for i := range 5 {
			for _, c := range []*sqllock.Client{a, b} {
				grow(c, "n")
				grow(c, fmt.Sprint("other ", crash, i))
				grow(c, "s", sqllock.Shared())
				grow(c, "p", sqllock.Permits(2))
			}
			set, err := a.AcquireAll(t.Context(), []string{"1", "2", "3"})
			require.NoError(t, err)
			for _, l := range set.Locks() {
				require.Greater(t, l.Token(), last)
			}
			for _, l := range set.Locks() {
				last = max(last, l.Token())
			}
			require.NoError(t, set.Release(t.Context()))
		}
		held := s.acquire(a, "held")
		require.Greater(t, held.Token(), last)
		last = held.Token()
		server.Kill()
		<-held.Done()
		server.Start()
		s.eventually(func() bool { return a.Ping(t.Context()) == nil && b.Ping(t.Context()) == nil }, "the server is back")
	}
	grow(s.client(), "n")
}

func TestAdvisoryTokensNeedTheSchemaOnlyIfInsistedOn(t *testing.T) {
	t.Parallel()
	s := sceneAt(t, testdb.Postgres(t))
	c := s.client()
	require.False(t, c.Capabilities().Tokens)
	require.NoError(t, c.Ping(t.Context()))
	for _, mode := range [][]sqllock.Option{nil, {sqllock.Shared()}, {sqllock.Permits(2)}} {
		l := s.acquire(c, "n", mode...)
		assert.Zero(t, l.Token())
		require.NoError(t, l.Verify(t.Context()))
		s.refused(s.client(), "n")
		s.release(l)
	}
	set, err := c.AcquireAll(t.Context(), []string{"1", "2"})
	require.NoError(t, err)
	require.NoError(t, set.Release(t.Context()))

	insisting := s.client(postgres.WithTokens())
	require.True(t, insisting.Capabilities().Tokens)
	assertSchemaError(t, insisting)
	migrate(t, s.dsn)
	require.NoError(t, insisting.Ping(t.Context()), "what is missing may come")
	assert.Positive(t, s.acquire(insisting, "n").Token())
}

// assertSchemaError asks for everything that has to say that the schema is missing.
func assertSchemaError(t *testing.T, c *sqllock.Client) {
	t.Helper()
	_, tryErr := c.TryAcquire(t.Context(), "n")
	_, err := c.Acquire(t.Context(), "n")
	_, setErr := c.AcquireAll(t.Context(), []string{"n", "m"})
	for _, err := range []error{c.Ping(t.Context()), tryErr, err, setErr, c.ForceRelease(t.Context(), "n")} {
		require.ErrorIs(t, err, sqllock.ErrSchema)
		require.NotErrorIs(t, err, sqllock.ErrNotAcquired)
		require.ErrorContains(t, err, "sqllock migrate up")
	}
}

// TestAdvisoryRoleWithoutRightsGetsNoTokens rather than errors, whichever of the rights it lacks.
func TestAdvisoryRoleWithoutRightsGetsNoTokens(t *testing.T) {
	t.Parallel()
	server := testdb.StartPostgres(t)
	migrate(t, server.DSN())
	owner := sceneAt(t, server.DSN())
	const noSchema = "ALL, but not on the schema"
	for i, rights := range []string{"", "USAGE", "SELECT", "USAGE, SELECT", "UPDATE", "USAGE, UPDATE", "SELECT, UPDATE", "ALL", noSchema} {
		role := fmt.Sprint("role_", i)
		owner.exec("CREATE ROLE " + role + " LOGIN")
		switch rights {
		case "":
		case noSchema:
			owner.exec("REVOKE USAGE ON SCHEMA public FROM PUBLIC")
			owner.exec("GRANT ALL ON SEQUENCE sqllock_token TO " + role)
		default:
			owner.exec("GRANT " + rights + " ON SEQUENCE sqllock_token TO " + role)
		}
		dsn, err := url.Parse(server.DSN())
		require.NoError(t, err)
		dsn.User = url.User(role)
		pool, err := pgxpool.New(t.Context(), dsn.String())
		require.NoError(t, err)
		t.Cleanup(pool.Close)
		c, insisting := sqllock.New(postgres.Advisory(pool)), sqllock.New(postgres.Advisory(pool, postgres.WithTokens()))
		t.Cleanup(func() {
			assert.NoError(t, c.Close(context.Background()))
			assert.NoError(t, insisting.Close(context.Background()))
		})
		l, err := c.TryAcquire(t.Context(), "n")
		require.NoError(t, err, rights)
		if l.Token() == 0 {
			require.NotEqual(t, "ALL", rights)
			assertSchemaError(t, insisting)
		} else {
			require.NotContains(t, []string{"", "SELECT"}, rights)
			other, err := insisting.TryAcquire(t.Context(), "another")
			require.NoError(t, err, rights)
			require.Greater(t, other.Token(), l.Token())
			require.NoError(t, other.Release(t.Context()))
		}
		require.NoError(t, l.Release(t.Context()))
	}
}

// TestAdvisorySessionsThatBeginWaitForEachOther at the sequence, each for the commits of all before it, for longer than anything else may wait, and longer
// than a session may be silent.
func TestAdvisorySessionsThatBeginWaitForEachOther(t *testing.T) {
	t.Parallel()
	const timeout = 6 * time.Second
	s := newScene(t)
	other := s.session()
	turn := []byte("sqltoken")
	_, err := other.Exec(t.Context(), "SELECT pg_advisory_lock($1, $2)", int32(binary.BigEndian.Uint32(turn)), int32(binary.BigEndian.Uint32(turn[4:])))
	require.NoError(t, err)
	got := make(chan grant, 1)
	c := s.client(postgres.SessionTimeout(timeout))
	go func() {
		l, err := c.TryAcquire(t.Context(), "n")
		got <- grant{l, err}
	}()
	s.eventually(func() bool {
		return len(got) > 0 || s.int(`SELECT count(*) FROM pg_locks JOIN pg_stat_activity USING (pid)
			WHERE locktype = 'advisory' AND NOT granted AND database = datid AND datname = current_database()
			AND clock_timestamp() - query_start > $1`, timeout*8/15) == 1
	}, "a session has waited for longer than its limit of silence")
	_, err = other.Exec(t.Context(), "SELECT pg_advisory_unlock_all()")
	require.NoError(t, err)
	l := s.granted(got, 0)
	require.NoError(t, l.Err())
	s.release(l)
}

package postgres_test

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sqllock/toolkit/postgres"
	"github.com/sqllock/toolkit/sqllock"
)

// psqlKey is what docs/advisory.md tells people to type. $1: namespace, $2: name.
const psqlKey = `SELECT ('x' || left(encode(sha256(convert_to($1, 'UTF8') || '\x00'::bytea || convert_to($2, 'UTF8')), 'hex'), 16))::bit(64)::bigint`

// TestAdvisoryKeyIsWhatPsqlComputes: the server's own functions are a second implementation of the hash.
func TestAdvisoryKeyIsWhatPsqlComputes(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	names := []string{"n", "N", "é", "e\u0301", "'; --", `\`, "\x01", "日本語", "a b", "\U0001F512", strings.Repeat("x", sqllock.MaxName)}
	for i := range 100 {
		names = append(names, fmt.Sprint("job:", i))
	}
	seen := make(map[string]bool)
	for _, namespace := range []string{"", "app", "a 'namespace'", "é", strings.Repeat("n", sqllock.MaxName)} {
		b := postgres.Advisory(s.pool, postgres.Namespace(namespace))
		for _, name := range names {
			key := b.Key(name)
			require.Equal(t, strconv.FormatInt(s.int(psqlKey, namespace, name), 10), key, "%q %q", namespace, name)
			require.False(t, seen[key], "%q %q", namespace, name)
			seen[key] = true
		}
	}
}

// TestAdvisoryExcludesThoseWhoLockTheKeyThemselves, and they exclude it: that is how other languages and psql take part.
func TestAdvisoryExcludesThoseWhoLockTheKeyThemselves(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	ctx := t.Context()
	c, other := s.client(postgres.Namespace("app")), s.session()
	key := s.int(psqlKey, "app", "n")
	ask := func(function string) (ok bool) {
		require.NoError(t, other.QueryRow(ctx, "SELECT "+function+"($1)", key).Scan(&ok), function)
		return ok
	}
	l := s.acquire(c, "n")
	require.False(t, ask("pg_try_advisory_lock"))
	require.False(t, ask("pg_try_advisory_lock_shared"))
	s.release(l)
	require.True(t, ask("pg_try_advisory_lock"))
	for _, mode := range [][]sqllock.Option{nil, {sqllock.Shared()}, {sqllock.Permits(2)}} {
		s.refused(c, "n", mode...)
	}
	short, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	require.ErrorIs(t, postgres.Advisory(s.pool, postgres.Namespace("app")).WithTx(short, "n", nil), sqllock.ErrNotAcquired)
	require.True(t, ask("pg_advisory_unlock"))

	reader := s.acquire(c, "n", sqllock.Shared())
	require.False(t, ask("pg_try_advisory_lock"))
	require.True(t, ask("pg_try_advisory_lock_shared"))
	s.release(reader)
	s.refused(c, "n")
	s.release(s.acquire(c, "n", sqllock.Shared()))
	require.True(t, ask("pg_advisory_unlock_shared"))
	s.release(s.acquire(c, "n"))
}

// TestAdvisoryNamesThatShareAKeyExcludeEachOther, inside one Client as well, to whose session the server would grant the key again.
func TestAdvisoryNamesThatShareAKeyExcludeEachOther(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	keyFunc := postgres.KeyFunc(func(name string) int64 { return int64(len(name)) })
	a, b := s.client(keyFunc), s.client(keyFunc)
	require.Equal(t, "3", postgres.Advisory(s.pool, keyFunc).Key("one"))
	l := s.acquire(a, "one")
	require.Equal(t, int64(1), s.int("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objsubid = 1 AND classid = 0 AND objid = 3 AND granted"))
	for _, c := range []*sqllock.Client{a, b} {
		s.refused(c, "two")
		s.refused(c, "two", sqllock.Shared())
		s.refused(c, "two", sqllock.Permits(2))
		free, err := c.TryAcquire(t.Context(), "three")
		require.NoError(t, err)
		s.release(free)
	}
	waiting := []<-chan grant{s.begins(a, "two"), s.begins(b, "six")}
	s.release(l)
	first := s.first(waiting)
	s.release(first)
	s.release(s.first(waiting))

	set, err := a.AcquireAll(t.Context(), []string{"one", "two", "three", "six"})
	require.NoError(t, err)
	require.Len(t, set.Locks(), 2, "names with one key count once")
	s.refused(b, "two")
	require.NoError(t, set.Release(t.Context()))

	readers := []*sqllock.Lock{s.acquire(a, "one", sqllock.Shared()), s.acquire(a, "two", sqllock.Shared()), s.acquire(b, "six", sqllock.Shared())}
	s.refused(b, "one")
	s.release(readers[0], readers[2])
	s.refused(b, "one")
	s.release(readers[1])
	s.release(s.acquire(b, "one"))
	s.onlySessionsLeft()
}

// begins acquires in a goroutine.
func (s *scene) begins(c *sqllock.Client, name string) <-chan grant {
	got := make(chan grant, 1)
	go func() {
		l, err := c.Acquire(s.Context(), name)
		got <- grant{l, err}
	}()
	return got
}

// first is what one of several has been granted, who is struck off.
func (s *scene) first(waiting []<-chan grant) (l *sqllock.Lock) {
	s.Helper()
	s.eventually(func() bool {
		for i, w := range waiting {
			select {
			case g := <-w:
				require.NoError(s, g.err)
				l, waiting[i] = g.lock, nil
				return true
			default:
			}
		}
		return false
	}, "one of them is granted")
	return l
}

func TestAdvisoryNamespacesAreApart(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	var held []*sqllock.Lock
	for _, namespace := range []string{"", "a", "b"} {
		c := s.client(postgres.Namespace(namespace))
		l, err := c.TryAcquire(t.Context(), "n")
		require.NoError(t, err, namespace)
		held = append(held, l)
		infos, err := c.Locks(t.Context())
		require.NoError(t, err)
		if assert.Len(t, infos, 1, "those of other namespaces are not listed") {
			assert.Equal(t, "n", infos[0].Name)
		}
		require.NoError(t, c.ForceRelease(t.Context(), "another"))
	}
	require.NoError(t, s.client(postgres.Namespace("a")).ForceRelease(t.Context(), "n"))
	require.NoError(t, held[0].Verify(t.Context()))
	require.ErrorIs(t, held[1].Verify(t.Context()), sqllock.ErrForced)
	require.NoError(t, held[2].Verify(t.Context()))
	s.release(held[0], held[2])
}

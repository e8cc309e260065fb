package mysql_test

import (
	"strings"
	"testing"

	driver "github.com/go-sql-driver/mysql"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sqllock/toolkit/internal/testdb"
	"github.com/sqllock/toolkit/mysql"
	"github.com/sqllock/toolkit/sqllock"
)

// keyExpression is the key in SQL, for programs that take part by hand: but for what is there for people to read.
const keyExpression = `SELECT
	CONCAT('sqllock.', LEFT(SHA2(CONCAT(LOWER(?), X'00', CONVERT(? USING utf8mb4)), 256), 8), ':'),
	CONCAT(':', LEFT(SHA2(CONCAT(LOWER(?), X'00', CONVERT(? USING utf8mb4), X'00', CONVERT(? USING utf8mb4)), 256), 32))`

// TestNamedKeysAreFrozen, and fit into what MySQL takes for the name of a user lock.
func TestNamedKeysAreFrozen(t *testing.T) {
	t.Parallel()
	s := newNamedScene(t)
	for _, c := range []struct{ database, namespace, name, key string }{
		{"app", "", "nightly-report", "sqllock.5211eaad:nightly-report:037b5843a20e03fadb5e9de88cc3e2ac"},
		{"app", "billing", "nightly-report", "sqllock.63090b0f:nightly-report:01041fcc588b63e8d6e9492cd2f736ef"},
		{"other", "", "nightly-report", "sqllock.ad078230:nightly-report:7ad8b52117a5499fab8df0df134b40be"},
		{"app", "", "é", "sqllock.5211eaad:_:d943fc537e4a355eab8fa2aef7c9170e"},
		{"app", "", "O'Reilly \\ \"Sons\"", "sqllock.5211eaad:o_reilly____so:633c7b4410817c888cb8f4fde35b50d1"},
		{"app", "", strings.Repeat("x", 255), "sqllock.5211eaad:xxxxxxxxxxxxxx:0460b6000a488b635696b29d73bf3140"},
	} {
		key := mysql.Named(&driver.Config{DBName: c.database}, mysql.Namespace(c.namespace)).Key(c.name)
		assert.Equal(t, c.key, key)
		assert.LessOrEqual(t, len(key), 64)
		assert.Equal(t, strings.ToLower(key), key)
		assert.NotContains(t, key, "'")
		var prefix, suffix string
		require.NoError(t, s.db.QueryRow(keyExpression, c.database, c.namespace, c.database, c.namespace, c.name).Scan(&prefix, &suffix))
		assert.True(t, strings.HasPrefix(key, prefix), "%s is not a prefix of %s", prefix, key)
		assert.True(t, strings.HasSuffix(key, suffix), "%s is not a suffix of %s", suffix, key)
	}
}

// TestNamedNamesAreComparedAsBytes whatever the server's collation thinks of them.
func TestNamedNamesAreComparedAsBytes(t *testing.T) {
	t.Parallel()
	s := newNamedScene(t)
	a, b := s.client(), s.client()
	var held []*sqllock.Lock
	for _, name := range []string{
		"job", "JOB", "job ", " job", "jöb", "j\u006f\u0308b", "job\t", "ｊｏｂ", "j%b", "j_b", "j'b", "j\\b", strings.Repeat("j", 254), strings.Repeat("j", 255),
	} {
		l, err := a.TryAcquire(t.Context(), name)
		require.NoError(t, err, "%q", name)
		s.refused(b, name)
		held = append(held, l)
	}
	for _, l := range held {
		require.NoError(t, l.Verify(t.Context()))
	}
	s.release(held...)
}

func TestNamedDatabasesAndNamespacesAreApart(t *testing.T) {
	t.Parallel()
	s := newNamedScene(t)
	elsewhere := namedSceneAt(t, testdb.MySQL(t))
	clients := map[string]*sqllock.Client{
		"plain": s.client(), "namespace": s.client(mysql.Namespace("a")), "another": s.client(mysql.Namespace("b")), "database": elsewhere.client(),
	}
	held := make(map[string]*sqllock.Lock)
	for of, c := range clients {
		l, err := c.TryAcquire(t.Context(), "n")
		require.NoError(t, err, of)
		held[of] = l
	}
	for of, c := range clients {
		infos, err := c.Locks(t.Context())
		require.NoError(t, err)
		if assert.Len(t, infos, 1, "those of others are not listed") {
			assert.Equal(t, held[of].Hold().(interface{ Key() string }).Key(), infos[0].Key)
		}
	}
	s.refused(elsewhere.client(mysql.Database(s.cfg.DBName)), "n")
	require.NoError(t, clients["namespace"].ForceRelease(t.Context(), "n"))
	for of, l := range held {
		if of == "namespace" {
			require.ErrorIs(t, l.Err(), sqllock.ErrForced)
			continue
		}
		require.NoError(t, l.Verify(t.Context()), of)
		s.release(l)
	}
}

package mysql

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sqllock/toolkit/internal/testdb"
	migrations "github.com/sqllock/toolkit/migrations/mysql"
	"github.com/sqllock/toolkit/mysql/internal/named"
)

// TestTokenOfAnAttemptThatFailedIsForgotten: the transaction that raises tokens is tried again after a deadlock. If the session has ended meanwhile,
// what the first attempt was about to give is somebody else's token by now.
func TestTokenOfAnAttemptThatFailedIsForgotten(t *testing.T) {
	t.Parallel()
	cfg := testdb.MySQL(t)
	b := Named(cfg, WithTokens())
	db, err := openDB(cfg)
	require.NoError(t, err)
	defer func() { require.NoError(t, db.Close()) }()
	require.NoError(t, migrations.Up(t.Context(), db))
	ledger, err := newLedger(cfg, b.tokens(), "")
	require.NoError(t, err)
	defer func() { require.NoError(t, ledger.db.Close()) }()

	keys := []named.Counted{{Key: b.Key("n"), Name: "n", Marker: "sqllock-session:ended", Token: 1, Guarded: true}} // as it was left
	require.NoError(t, ledger.Count(t.Context(), keys))
	require.Zero(t, keys[0].Token)
	require.False(t, keys[0].Guarded)
}

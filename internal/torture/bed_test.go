//go:build linux

package torture

import (
	"context"
	"net/url"
	"os"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sqllock/toolkit/internal/testdb"
)

// TestLossIsSilentAndEnds loses what a client sends: the server hears nothing, the client gets no error, and afterwards both go on.
func TestLossIsSilentAndEnds(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	server := testdb.StartPostgres(t)
	client, err := pgx.Connect(ctx, server.DSN())
	require.NoError(t, err)
	defer client.Close(context.WithoutCancel(ctx))
	u, err := url.Parse(server.DSN())
	require.NoError(t, err)

	l, err := lose(u.Host, server.Dir(), os.Getpid())
	require.NoError(t, err)
	require.Len(t, l.ports, 1)
	answered := make(chan error, 1)
	go func() { answered <- client.Ping(ctx) }()
	select {
	case err := <-answered:
		t.Fatalf("an answer to what was lost: %v", err)
	case <-time.After(300 * time.Millisecond): // the silence itself
	}
	require.NoError(t, l.end())
	require.NoError(t, <-answered)
}

// TestTroublesHappenInTurns: each kind does before one happens again, so that a short round is not a lottery.
func TestTroublesHappenInTurns(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{postgresAdvisory, postgresTable, mysqlNamed, mysqlTable, sqliteTable} {
		b := &bed{kind: kind, random: random(1)}
		deck := b.shuffle()
		seen := make(map[string]int)
		for _, d := range deck {
			seen[d.kind]++
		}
		for _, trouble := range troubles {
			if trouble.backend(kind) {
				assert.Equal(t, max(trouble.often, 1), seen[trouble.kind], "%s: %s", kind, trouble.kind)
			} else {
				assert.Zero(t, seen[trouble.kind], "%s: %s", kind, trouble.kind)
			}
		}
	}
}

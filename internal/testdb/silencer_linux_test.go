package testdb

import (
	"context"
	"net"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestSilencerSilencesAllThatItHasDialled(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer listener.Close()
	var network Silencer
	var clients, peers [2]net.Conn
	for i := range clients {
		clients[i], err = network.Dial(t.Context(), "tcp", listener.Addr().String())
		require.NoError(t, err)
		defer clients[i].Close()
		peers[i] = accept(t, listener)
	}

	require.NoError(t, network.Silence())

	for i := range clients {
		write(t, peers[i], "lost")
		assertLost(t, clients[i], peers[i], len("lost"))
	}
	require.NoError(t, clients[0].Close())
	require.NoError(t, network.Restore(), "although a connection is closed")
	assert.Equal(t, "lost", read(t, clients[1], 4))
	assert.Len(t, network.sockets, 1, "the closed one is forgotten")
}

func TestDialWhileSilentLastsUntilItIsCancelledOrRestored(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer listener.Close()
	var network Silencer
	require.NoError(t, network.Silence())

	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	_, err = network.Dial(ctx, "tcp", listener.Addr().String())

	var timeout net.Error
	require.ErrorAs(t, err, &timeout)
	assert.True(t, timeout.Timeout(), err)

	dialled := make(chan error)
	go func() {
		conn, err := network.Dial(t.Context(), "tcp", listener.Addr().String())
		if err == nil {
			err = conn.Close()
		}
		dialled <- err
	}()
	require.Eventually(t, func() bool {
		network.mu.Lock()
		defer network.mu.Unlock()
		return len(network.sockets) == 2 // the first one is cancelled
	}, startTimeout, poll)
	require.NoError(t, network.Restore())
	require.NoError(t, <-dialled)
}

func TestSilencerDialsNothingButTCP(t *testing.T) {
	t.Parallel()
	var network Silencer

	_, err := network.Dial(t.Context(), "unix", "/nonexistent")

	require.ErrorContains(t, err, "only TCP can be silenced")
}

func TestSilencedPgxConnectionTimesOutAndANewOneWorksAfterwards(t *testing.T) {
	t.Parallel()
	var network Silencer
	config, err := pgx.ParseConfig(Postgres(t))
	require.NoError(t, err)
	config.DialFunc = network.Dial
	client, err := pgx.ConnectConfig(t.Context(), config)
	require.NoError(t, err)
	require.NoError(t, network.Silence())

	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	require.ErrorIs(t, client.Ping(ctx), context.DeadlineExceeded)

	ctx, cancel = context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	_, err = pgx.ConnectConfig(ctx, config)
	require.True(t, pgconn.Timeout(err), err)

	require.NoError(t, network.Restore())
	fresh, err := pgx.ConnectConfig(t.Context(), config)
	require.NoError(t, err)
	require.NoError(t, fresh.Ping(t.Context()))
	require.NoError(t, fresh.Close(t.Context()))
	// Meanwhile pgx has tried to cancel the query, on a connection of this network.
	<-client.PgConn().CleanupDone()
}

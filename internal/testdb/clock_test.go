//go:build linux

package testdb

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// near is ample for a question to a server, and little beside a jump.
const near = 10 * time.Second

func TestPostgresClockJumpsWhileClientsAreConnected(t *testing.T) {
	t.Parallel()
	server := StartPostgresWithClock(t)
	client := connect(t.Context(), t, server.DSN())
	now := func() (at time.Time) {
		require.NoError(t, client.QueryRow(t.Context(), "SELECT clock_timestamp()").Scan(&at))
		return at
	}

	for _, ahead := range []time.Duration{0, time.Hour, -time.Hour, 24 * time.Hour, 1500 * time.Millisecond, 0} {
		server.JumpClock(ahead)
		assert.WithinDuration(t, time.Now().Add(ahead), now(), near, ahead)
		// Those who connect have it too.
		var at time.Time
		require.NoError(t, connect(t.Context(), t, server.DSN()).QueryRow(t.Context(), "SELECT clock_timestamp()").Scan(&at))
		assert.WithinDuration(t, time.Now().Add(ahead), at, near, ahead)
	}

	server.JumpClock(-time.Hour)
	server.Kill()
	server.Start()
	assert.Less(t, queryString(t, server.DSN(), "SELECT clock_timestamp()::timestamp::text"), time.Now().UTC().Add(-time.Hour/2).Format(time.DateTime))
}

func TestMySQLClockJumpsWhileClientsAreConnected(t *testing.T) {
	t.Parallel()
	server := StartMySQLWithClock(t)
	config := server.Config()
	config.ParseTime = true
	client := connectMySQL(t, config)
	now := func() (at time.Time) {
		require.NoError(t, client.QueryRowContext(t.Context(), "SELECT UTC_TIMESTAMP(6)").Scan(&at))
		return at
	}

	for _, ahead := range []time.Duration{0, time.Hour, -time.Hour, 24 * time.Hour, 1500 * time.Millisecond, 0} {
		server.JumpClock(ahead)
		assert.WithinDuration(t, time.Now().Add(ahead), now(), near, ahead)
	}

	server.JumpClock(-time.Hour)
	server.Kill()
	server.Start()
	assert.Less(t, queryMySQL(t, server.Config(), "SELECT UTC_TIMESTAMP(6)"), time.Now().UTC().Add(-time.Hour/2).Format(time.DateTime))
}

// PostgreSQL judges its timeouts in signal handlers, MySQL waits for an instant. Both have to see the same clock there as elsewhere.
func TestServerWhoseClockHasJumpedKeepsItsTimeouts(t *testing.T) {
	t.Parallel()
	postgres, mysql := StartPostgresWithClock(t), StartMySQLWithClock(t)
	_, err := connectMySQL(t, mysql.Config()).ExecContext(t.Context(), "DO GET_LOCK('held', 0)")
	require.NoError(t, err)
	client := connect(t.Context(), t, postgres.DSN())

	for _, ahead := range []time.Duration{time.Hour, -time.Hour} {
		postgres.JumpClock(ahead)
		mysql.JumpClock(ahead)
		for name, wait := range map[string]func(){
			"PostgreSQL ends a statement": func() {
				_, err := client.Exec(t.Context(), "SET statement_timeout = '300ms'")
				require.NoError(t, err)
				_, err = client.Exec(t.Context(), "SELECT pg_sleep(60)")
				assert.ErrorContains(t, err, "statement timeout")
			},
			"MySQL sleeps":                func() { assert.Equal(t, "0", queryMySQL(t, mysql.Config(), "SELECT SLEEP(0.5)")) },
			"MySQL waits for a user lock": func() { assert.Equal(t, "0", queryMySQL(t, mysql.Config(), "SELECT GET_LOCK('held', 1)")) },
		} {
			start := time.Now()
			wait()
			assert.GreaterOrEqual(t, time.Since(start), 300*time.Millisecond, name)
			assert.Less(t, time.Since(start), near, name)
		}
	}
}

func TestMySQLWaitEndsWhenItsClockJumpsBeyondIt(t *testing.T) {
	t.Parallel()
	server := StartMySQLWithClock(t)
	_, err := connectMySQL(t, server.Config()).ExecContext(t.Context(), "DO GET_LOCK('held', 0)")
	require.NoError(t, err)
	waiter := connectMySQL(t, server.Config())
	waited := make(chan error, 1)
	go func() {
		_, err := waiter.ExecContext(context.Background(), "DO GET_LOCK('held', 3600)")
		waited <- err
	}()
	require.Eventually(t, func() bool {
		return queryMySQL(t, server.Config(), "SELECT COUNT(*) FROM information_schema.processlist WHERE state = 'User lock'") == "1"
	}, startTimeout, poll)
	server.JumpClock(2 * time.Hour)
	select {
	case err := <-waited:
		require.NoError(t, err)
	case <-time.After(near):
		t.Error("it waits for an hour that is over")
	}
}

func TestServerWithTheClockOfTheMachineRefusesToJump(t *testing.T) {
	t.Parallel()
	server := StartMySQL(t)

	assert.ErrorIs(t, server.mysqld.setClock(time.Hour), errNoOwnClock)
}

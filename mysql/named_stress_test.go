package mysql_test

import (
	"context"
	"database/sql"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sqllock/toolkit/internal/testdb"
	"github.com/sqllock/toolkit/mysql"
	"github.com/sqllock/toolkit/sqllock"
)

// TestNamedGuardedWritesNeverInterleave ends sessions at random while many acquire, give up waiting, and write in guarded transactions in a way
// that loses updates if two do it at once. What was committed has to be what is there.
func TestNamedGuardedWritesNeverInterleave(t *testing.T) {
	t.Parallel()
	const clients, workers, names, duration = 5, 3, 3, 4 * time.Second
	cfg := testdb.MySQL(t)
	migrate(t, cfg)
	app := cfg.Clone()
	app.DBName = "" // so that these connections are told from the others
	db, err := sql.Open("mysql", app.FormatDSN())
	require.NoError(t, err)
	t.Cleanup(func() { _ = db.Close() })
	db.SetMaxIdleConns(clients * workers)
	table := cfg.DBName + ".account"
	_, err = db.Exec("CREATE TABLE " + table + " (id INT PRIMARY KEY, n INT NOT NULL, token BIGINT NOT NULL)")
	require.NoError(t, err)
	for id := range names {
		_, err = db.Exec("INSERT INTO "+table+" VALUES (?, 0, 0)", id)
		require.NoError(t, err)
	}

	var written [names]atomic.Int64
	var kills int
	end := time.Now().Add(duration)
	var all sync.WaitGroup
	for c := range clients {
		backend := mysql.Named(cfg, mysql.WithTokens(), mysql.MaxParked(1+c%3))
		t.Cleanup(func() { assert.NoError(t, backend.Close(context.Background())) })
		a := account{db: db, table: table, backend: backend}
		a.client = sqllock.New(a.backend, sqllock.Owner(fmt.Sprintf("stress %d", c)))
		t.Cleanup(func() { assert.NoError(t, a.client.Close(context.Background())) })
		for range workers {
			all.Go(func() {
				for time.Now().Before(end) {
					if id := rand.IntN(names); a.visit(t, id) {
						written[id].Add(1)
					}
				}
			})
		}
	}
	for time.Now().Before(end) {
		var id int64
		err := db.QueryRow("SELECT ID FROM information_schema.PROCESSLIST WHERE DB = ? ORDER BY RAND() LIMIT 1", cfg.DBName).Scan(&id)
		if err == nil {
			if _, err = db.Exec(fmt.Sprintf("KILL CONNECTION %d", id)); err == nil {
				kills++
			}
		}
		<-time.After(time.Duration(rand.Int64N(int64(30 * time.Millisecond)))) // the fault's own rhythm
	}
	all.Wait()
	for id := range names {
		var n int64
		require.NoError(t, db.QueryRow("SELECT n FROM "+table+" WHERE id = ?", id).Scan(&n))
		assert.Equal(t, written[id].Load(), n, "an update was lost")
		assert.Positive(t, n)
	}
	assert.Positive(t, kills)
	t.Log(kills, "sessions ended,", written[0].Load(), written[1].Load(), written[2].Load(), "written")
}

// account is how one Client gets at the accounts.
type account struct {
	db      *sql.DB
	table   string
	backend *mysql.NamedBackend
	client  *sqllock.Client
}

// visit writes an account under its lock, and reports whether it has.
func (a account) visit(t *testing.T, id int) bool {
	ctx, cancel := context.WithTimeout(t.Context(), time.Duration(rand.Int64N(int64(300*time.Millisecond))))
	lock, err := a.client.Acquire(ctx, fmt.Sprintf("account %d", id))
	cancel()
	if err != nil {
		return false // given up, or the session was ended
	}
	defer func() { _ = lock.Release(t.Context()) }() // it may be lost
	tx, err := a.db.BeginTx(t.Context(), nil)
	require.NoError(t, err)
	defer func() { _ = tx.Rollback() }()
	if a.backend.Guard(t.Context(), tx, lock) != nil {
		return false
	}
	var n int
	var token int64
	require.NoError(t, tx.QueryRow("SELECT n, token FROM "+a.table+" WHERE id = ?", id).Scan(&n, &token))
	<-time.After(time.Duration(rand.Int64N(int64(3 * time.Millisecond)))) // the work
	assert.Greater(t, lock.Token(), token, "a later holder's token")
	_, err = tx.Exec("UPDATE "+a.table+" SET n = ?, token = ? WHERE id = ?", n+1, lock.Token(), id)
	require.NoError(t, err)
	return tx.Commit() == nil
}

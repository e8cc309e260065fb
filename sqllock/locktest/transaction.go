package locktest

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sqllock/toolkit/sqllock"
)

// begin a transaction in which LockTx may be called.
func (a *arena) lockingTx(db *sql.DB) *sql.Tx {
	a.Helper()
	tx, err := db.BeginTx(a.ctx, &sql.TxOptions{Isolation: a.subject.LockTxLevel})
	require.NoError(a, err)
	a.Cleanup(func() { _ = tx.Rollback() })
	return tx
}

func lockTxExcludesLeasesAndLockTx(a *arena) {
	s := a.subject
	if s.LockTx == nil {
		return
	}
	db := a.db()
	p, other := a.party("p"), a.party("other")
	for _, end := range []func(*sql.Tx) error{(*sql.Tx).Commit, (*sql.Tx).Rollback} {
		tx := a.lockingTx(db)
		require.NoError(a, s.LockTx(a.ctx, p.backend, tx, "n"))
		require.NoError(a, s.TryLockTx(a.ctx, p.backend, tx, "m"), "a transaction may lock many names")
		a.kept(p, "n")
		a.kept(other, "m")
		if a.can.Shared {
			a.kept(other, "n", sqllock.Shared())
		}
		if !s.OneWriter {
			second := a.lockingTx(db)
			require.ErrorIs(a, s.TryLockTx(a.ctx, other.backend, second, "n"), sqllock.ErrNotAcquired)
			require.NoError(a, s.TryLockTx(a.ctx, other.backend, second, "o"))
			require.NoError(a, second.Commit())
		}
		next := a.begin(a.ctx, other, "n")
		a.stays(aWhile, next.done, "granted while a transaction has the name locked")
		require.NoError(a, end(tx))
		a.release(a.granted(next))
		a.release(a.soon(p, "m"))
	}

	// The other way round.
	l := a.acquire(p, "n")
	tx := a.lockingTx(db)
	require.ErrorIs(a, s.TryLockTx(a.ctx, p.backend, tx, "n"), sqllock.ErrNotAcquired, "by the same process too")
	if s.OneWriter {
		require.NoError(a, tx.Rollback()) // it would keep the holder from releasing
		a.release(l)
		tx = a.lockingTx(db)
		require.NoError(a, s.LockTx(a.ctx, other.backend, tx, "n"))
	} else {
		locked := make(chan error, 1)
		go func() { locked <- s.LockTx(a.ctx, other.backend, tx, "n") }()
		assert.NoError(a, l.Verify(a.ctx))
		a.release(l)
		require.NoError(a, <-locked)
	}
	a.kept(p, "n")
	require.NoError(a, tx.Commit())
	l = a.soon(p, "n")
	if a.can.Tokens {
		token := l.Token()
		a.release(l)
		tx := a.lockingTx(db)
		require.NoError(a, s.LockTx(a.ctx, p.backend, tx, "n"))
		require.NoError(a, tx.Commit())
		l = a.soon(p, "n")
		assert.Greater(a, l.Token(), token)
	}
	a.release(l)
}

func refusedLockTxLeavesTheTransactionUsable(a *arena) {
	s := a.subject
	if s.LockTx == nil {
		return
	}
	db := a.db()
	a.ledgers(db, 1)
	p, other := a.party("p"), a.party("other")
	lease := a.acquire(p, "a lease")
	names := []string{"a lease"}
	if !s.OneWriter {
		require.NoError(a, s.LockTx(a.ctx, p.backend, a.lockingTx(db), "a transaction"))
		names = append(names, "a transaction")
	}
	for i, name := range names {
		tx := a.lockingTx(db)
		_, err := tx.ExecContext(a.ctx, fmt.Sprintf("UPDATE ledger SET writers = %d", i+1))
		require.NoError(a, err)
		require.ErrorIs(a, s.TryLockTx(a.ctx, other.backend, tx, name), sqllock.ErrNotAcquired, name)

		start := time.Now() // before that of the context
		ctx, cancel := context.WithTimeout(a.ctx, aWhile)
		err = s.LockTx(ctx, other.backend, tx, name)
		took := time.Since(start)
		cancel()
		require.ErrorIs(a, err, sqllock.ErrNotAcquired, name)
		if !s.OneWriter {
			require.ErrorIs(a, err, context.DeadlineExceeded, name)
			assert.GreaterOrEqual(a, took, aWhile)
		}
		assert.Less(a, took, aWhile+slack)

		require.ErrorIs(a, s.TryLockTx(a.ctx, other.backend, tx, ""), sqllock.ErrInvalid)
		require.NoError(a, s.TryLockTx(a.ctx, other.backend, tx, "free"), name)
		_, err = tx.ExecContext(a.ctx, "UPDATE ledger SET readers = readers + 1")
		require.NoError(a, err)
		require.NoError(a, tx.Commit())
		assert.Equal(a, i+1, a.int(db, "SELECT writers FROM ledger"), "what was done before the refusal")
		assert.Equal(a, i+1, a.int(db, "SELECT readers FROM ledger"), "and after it")
	}
	a.release(lease)
}

// withTxReadsWhatThePreviousHolderCommitted fails where the transaction begins before the lock is granted: its snapshot is then older than
// the previous holder's commit.
func withTxReadsWhatThePreviousHolderCommitted(a *arena) {
	s := a.subject
	if s.WithTx == nil {
		return
	}
	db := a.db()
	l := a.ledgers(db, 1)[0]
	holder, other := a.party("holder"), a.party("other")
	for i, level := range s.WithTxLevels {
		lock := a.soon(holder, "n")
		read := make(chan int64, 1)
		ended := make(chan error, 1)
		go func() {
			ended <- s.WithTx(a.ctx, other.backend, "n", level, func(tx Tx) error {
				n, err := tx.Int(a.ctx, "SELECT counter FROM ledger")
				read <- n
				return err
			})
		}()
		a.eventually(func() bool { return len(a.waiters(holder, "n")) == 1 }, "WithTx waits")
		require.NoError(a, l.exec(a.ctx, fmt.Sprintf("counter = %d", i+1)))
		a.release(lock)
		require.NoError(a, <-ended, level)
		assert.EqualValues(a, i+1, <-read, "at level %v", level)
	}

	const workers, each = 3, 5
	for _, level := range s.WithTxLevels {
		require.NoError(a, l.exec(a.ctx, "counter = 0"))
		err := inParallel(workers, func(w int) error {
			backend := []*party{holder, other, other}[w].backend
			for range each {
				err := s.WithTx(a.ctx, backend, "n", level, func(tx Tx) error {
					n, err := tx.Int(a.ctx, "SELECT counter FROM ledger")
					if err != nil {
						return err
					}
					return tx.Exec(a.ctx, fmt.Sprintf("UPDATE ledger SET counter = %d", n+1))
				})
				if err != nil {
					return err
				}
			}
			return nil
		})
		require.NoError(a, err, level)
		assert.Equal(a, workers*each, a.int(db, "SELECT counter FROM ledger"), "updates were lost at level %v", level)
	}
}

func withTxExcludes(a *arena) {
	s := a.subject
	if s.WithTx == nil {
		return
	}
	db := a.db()
	a.ledgers(db, 1)
	p, other := a.party("p"), a.party("other")
	errMine := fmt.Errorf("what the function returned")
	for _, returned := range []error{nil, errMine} {
		before := a.int(db, "SELECT counter FROM ledger")
		err := s.WithTx(a.ctx, p.backend, "n", sql.LevelDefault, func(tx Tx) error {
			a.kept(p, "n")
			a.kept(other, "n")
			ctx, cancel := context.WithTimeout(a.ctx, aWhile)
			defer cancel()
			require.ErrorIs(a, other.ForceRelease(ctx, "n"), sqllock.ErrNotConfirmed, "the transaction is guarded")
			if err := tx.Exec(a.ctx, "UPDATE ledger SET counter = counter + 1"); err != nil {
				return err
			}
			return returned
		})
		want := before
		if returned == nil {
			require.NoError(a, err)
			want++
		} else {
			require.ErrorIs(a, err, errMine)
		}
		assert.Equal(a, want, a.int(db, "SELECT counter FROM ledger"))
		a.release(a.soon(other, "n"))
	}
	assert.PanicsWithValue(a, "mine", func() {
		_ = s.WithTx(a.ctx, p.backend, "n", sql.LevelDefault, func(Tx) error { panic("mine") })
	})
	a.release(a.soon(other, "n"))

	l := a.acquire(other, "n")
	ctx, cancel := context.WithTimeout(a.ctx, aLonger)
	defer cancel()
	err := s.WithTx(ctx, p.backend, "n", sql.LevelDefault, func(Tx) error {
		a.Error("fn runs though the name is held")
		return nil
	})
	require.ErrorIs(a, err, sqllock.ErrNotAcquired)
	require.ErrorIs(a, err, context.DeadlineExceeded)
	a.release(l)
}

package locktest

import (
	"context"
	"database/sql"
	"strings"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sqllock/toolkit/sqllock"
)

// similarNames are different, however much a collation, a trimmed column or a quoting rule would like them to be one.
var similarNames = []string{
	"job", "JOB", "Job", "job ", " job", "job\t", "job\n", "job\x01",
	"\u00e9", "e\u0301", "E\u0301", "\u00df", "ss", "\u0131", "i", "I", "\u200b", "\ufeff", "\U0001f512",
	"'", "''", `"`, "`", `\`, `\\`, `\'`, "%", "_", "%s", "$1", "?", ":a", "@a", "{}", "a,b", "a", "b", `{"a","b"}`, "NULL", "null", "0", "00",
	"'; DROP TABLE ledger; --",
	strings.Repeat("a", 254), strings.Repeat("a", 255), strings.Repeat("a", 254) + "b", strings.Repeat("a", 254) + " ",
	strings.Repeat("\u20ac", 85), strings.Repeat("\u20ac", 84) + "\u20ad", strings.Repeat("\u00e9", 127) + "x",
	strings.Repeat("\U0001f512", 63) + "abc",
}

func namesAreBytes(a *arena) {
	p, other := a.party("p"), a.party("other")
	var locks []*sqllock.Lock
	for _, name := range similarNames {
		l, err := p.TryAcquire(a.ctx, name)
		require.NoError(a, err, "%q is taken for another name", name)
		assert.Equal(a, name, l.Name())
		locks = append(locks, l)
	}
	for _, name := range similarNames {
		a.refused(other, name)
		assert.Len(a, a.infos(other, name), 1, "%q", name)
	}
	for i, l := range locks {
		a.release(l)
		got, err := other.TryAcquire(a.ctx, similarNames[i])
		require.NoError(a, err, "%q", similarNames[i])
		locks[i] = got
	}
	set, err := p.AcquireAll(a.ctx, similarNames, sqllock.Wait(0))
	require.ErrorIs(a, err, sqllock.ErrNotAcquired)
	require.Nil(a, set)
	for _, l := range locks {
		a.release(l)
	}
	set, err = p.AcquireAll(a.ctx, similarNames, sqllock.Wait(slack))
	require.NoError(a, err)
	assert.Len(a, set.Names(), len(similarNames))
	for _, name := range similarNames {
		require.NoError(a, p.ForceRelease(a.ctx, name), "%q", name)
	}
	for _, l := range set.Locks() {
		assert.ErrorIs(a, l.Verify(a.ctx), sqllock.ErrLost, "%q", l.Name())
	}
}

// invalidNamesNeedNoDatabase asks where there is none: whoever sent anything would get another error.
func invalidNamesNeedNoDatabase(a *arena) {
	there, nowhere := a.party("there"), a.partyAt(a.subject.Unreachable, "nowhere")
	db := a.db()
	for _, name := range []string{"", "a\x00b", "\x00", "\xff", "a\xc3", "\xed\xa0\x80", strings.Repeat("a", 256), strings.Repeat("\u20ac", 86)} {
		for _, p := range []*party{there, nowhere} {
			for what, ask := range map[string]func() error{
				"Acquire":      func() error { _, err := p.Acquire(a.ctx, name); return err },
				"TryAcquire":   func() error { _, err := p.TryAcquire(a.ctx, name); return err },
				"AcquireAll":   func() error { _, err := p.AcquireAll(a.ctx, []string{"fine", name}); return err },
				"Do":           func() error { return p.Do(a.ctx, name, func(context.Context) error { return nil }) },
				"ForceRelease": func() error { return p.ForceRelease(a.ctx, name) },
				"Leader":       func() error { _, err := p.Leader(a.ctx, name); return err },
			} {
				assert.ErrorIs(a, ask(), sqllock.ErrInvalid, "%s(%.20q) %s", what, name, p.owner)
			}
		}
		if a.subject.LockTx != nil {
			tx := a.lockingTx(db)
			assert.ErrorIs(a, a.subject.LockTx(a.ctx, there.backend, tx, name), sqllock.ErrInvalid, "LockTx(%.20q)", name)
			assert.ErrorIs(a, a.subject.TryLockTx(a.ctx, there.backend, tx, name), sqllock.ErrInvalid, "TryLockTx(%.20q)", name)
			require.NoError(a, tx.Rollback())
		}
		if a.subject.WithTx != nil {
			err := a.subject.WithTx(a.ctx, there.backend, name, sql.LevelDefault, func(Tx) error { return nil })
			assert.ErrorIs(a, err, sqllock.ErrInvalid, "WithTx(%.20q)", name)
		}
	}
	infos, err := there.Locks(a.ctx)
	require.NoError(a, err)
	assert.Empty(a, infos)
}

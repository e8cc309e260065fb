package locktest

import (
	"context"
	"database/sql"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"unicode/utf8"

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

// anyText is text of exactly so many bytes, made of whatever Unicode has: what separates, combines, hides, turns round or is no character at all,
// and what means something to those who quote.
func anyText(random *rand.Rand, size int) string {
	one := func(of ...rune) rune { return of[random.IntN(len(of))] }
	var b strings.Builder
	for b.Len() < size {
		var r rune
		switch random.IntN(8) {
		case 0:
			r = one([]rune("'\"`\\$?%_;:@#{}[]()*/-+&|<>=,.")...)
		case 1:
			r = 1 + random.Int32N(0x7f) // control characters too
		case 2:
			r = 0x300 + random.Int32N(0x70) // accents without a letter
		case 3:
			r = one(0x85, 0xad, 0x130, 0x131, 0x200b, 0x200e, 0x202e, 0x2028, 0x2029, 0xfeff, 0xfffd, 0xfffe, 0xffff, 0x1fffe, 0xe000, 0xe0001, 0x10ffff)
		case 4:
			r = 0x1f300 + random.Int32N(0x300)
		default:
			r = 1 + random.Int32N(utf8.MaxRune)
		}
		if utf8.ValidRune(r) && b.Len()+utf8.RuneLen(r) <= size {
			b.WriteRune(r)
		}
	}
	return b.String()
}

// random is for what a claim makes up. The seed is in the log of a failed test.
func (a *arena) random() *rand.Rand {
	seed := rand.Uint64()
	a.Logf("seed %#x", seed)
	return rand.New(rand.NewPCG(seed, 0))
}

// anyNameComesBack takes names that nobody has thought of, all together, and finds each of them in a list as it was.
func anyNameComesBack(a *arena) {
	random := a.random()
	p, other := a.party("p"), a.party("other")
	var names []string
	for i := range 48 {
		size := sqllock.MaxName
		if i%2 == 0 {
			size = 1 + random.IntN(sqllock.MaxName)
		}
		if name := anyText(random, size); !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	set, err := p.AcquireAll(a.ctx, names, sqllock.Wait(0))
	require.NoError(a, err)
	assert.ElementsMatch(a, names, set.Names())

	seenBy := func(c *party) (seen []string) {
		infos, err := c.Locks(a.ctx)
		require.NoError(a, err)
		for _, i := range infos {
			seen = append(seen, i.Name)
		}
		return seen
	}
	assert.ElementsMatch(a, names, seenBy(p))
	if a.can.Metadata { // where only sessions know the names, others see keys
		assert.ElementsMatch(a, names, seenBy(other))
	}
	for _, name := range names {
		require.Len(a, a.infos(other, name), 1, "%q", name)
		var held *sqllock.HeldError
		_, err := other.TryAcquire(a.ctx, name)
		require.ErrorAs(a, err, &held)
		require.Equal(a, name, held.Name)
	}
	require.NoError(a, set.Release(a.ctx))
	set, err = other.AcquireAll(a.ctx, names, sqllock.Wait(slack))
	require.NoError(a, err)
	require.NoError(a, set.Release(a.ctx))
}

// hostileTexts are what people and programs call themselves, and what would be more than a name if somebody forgot to quote it.
var hostileTexts = []string{
	"it's", `"quoted"`, "`", `\`, `\'`, "%s%n", "$1", "?", "*/ ; DROP TABLE ledger; --", "-- ", "/*", "#", "two\nlines\r\n", "\t", "\x01\x1b[31m",
	" ", "a,b:c", "program_name:other", "k=v&a=b", "\u202eright", "e\u0301", "\ufeff", "\U0001f512", "\U0010ffff",
	strings.Repeat("'", sqllock.MaxName), strings.Repeat("\x01", sqllock.MaxName), strings.Repeat("\u20ac", sqllock.MaxName/3),
}

// ownersAreText has Clients with such names hold, and be seen: in lists, as the reason of a refusal, and as a leader.
func ownersAreText(a *arena) {
	random := a.random()
	other := a.party("other")
	for _, owner := range append(hostileTexts, anyText(random, sqllock.MaxName)) {
		p := a.party(owner)
		l := a.acquire(p, "n")
		infos := a.infos(other, "n")
		require.Len(a, infos, 1, "%q", owner)
		var held *sqllock.HeldError
		_, err := other.TryAcquire(a.ctx, "n")
		require.ErrorAs(a, err, &held)
		if a.can.Metadata { // a database that knows sessions only tells less
			require.Equal(a, owner, infos[0].Owner)
			require.Equal(a, owner, held.Owner)
		}
		if a.publishes(other, l) {
			require.NoError(a, l.Publish(a.ctx, map[string]string{owner: owner}))
			leader, err := other.Leader(a.ctx, "n")
			require.NoError(a, err)
			require.Equal(a, owner, leader.Owner)
			require.Equal(a, map[string]string{owner: owner}, leader.Value)
		}
		a.release(l)
		require.NoError(a, p.Close(a.ctx))
	}
}

// metadataIsText stores as much as there may be, in the characters that take most room when they are quoted.
func metadataIsText(a *arena) {
	random := a.random()
	p, other := a.party("p"), a.party("other")
	if !a.can.Metadata {
		probe := a.acquire(p, "n")
		if !a.publishes(other, probe) {
			return
		}
		a.release(probe)
	}
	all := []map[string]string{{}, {"": ""}}
	for _, text := range []string{"\x01", "'", `"`, `\`, "<", "\u2028", "\U0010ffff", "a"} {
		all = append(all, map[string]string{"k": strings.Repeat(text, (sqllock.MaxMetadata-1)/len(text))})
	}
	made := make(map[string]string)
	for size := sqllock.MaxMetadata; size >= 2*sqllock.MaxName; size -= 2 * sqllock.MaxName {
		made[anyText(random, sqllock.MaxName)] = anyText(random, sqllock.MaxName)
	}
	for _, metadata := range append(all, made) {
		var l *sqllock.Lock
		if a.can.Metadata {
			l = a.soon(p, "n", sqllock.Metadata(metadata))
			infos := a.infos(other, "n")
			require.Len(a, infos, 1)
			require.True(a, maps.Equal(metadata, infos[0].Metadata), "%.99q", infos[0].Metadata)
		} else {
			l = a.soon(p, "n")
			require.NoError(a, l.Publish(a.ctx, metadata))
		}
		for range 2 {
			leader, err := other.Leader(a.ctx, "n")
			require.NoError(a, err)
			require.True(a, maps.Equal(metadata, leader.Value), "%.99q", leader.Value)
			require.NoError(a, l.Publish(a.ctx, metadata))
		}
		a.release(l)
	}
}

// invalidTextNeedsNoDatabase is invalidNamesNeedNoDatabase for what is not a name.
func invalidTextNeedsNoDatabase(a *arena) {
	for _, bad := range []string{"a\x00b", "\x00", "\xff", "a\xc3", "\xed\xa0\x80", "\xf4\x90\x80\x80"} {
		nowhere := a.partyAt(a.subject.Unreachable, bad)
		_, err := nowhere.TryAcquire(a.ctx, "n")
		assert.ErrorIs(a, err, sqllock.ErrInvalid, "owner %q", bad)
		assert.ErrorIs(a, nowhere.Ping(a.ctx), sqllock.ErrInvalid, "owner %q", bad)
		_, err = nowhere.Locks(a.ctx)
		assert.ErrorIs(a, err, sqllock.ErrInvalid, "owner %q", bad)
		nowhere = a.partyAt(a.subject.Unreachable, "nowhere")
		for _, metadata := range []map[string]string{{"k": bad}, {bad: "v"}} {
			_, err := nowhere.Acquire(a.ctx, "n", sqllock.Metadata(metadata))
			assert.ErrorIs(a, err, sqllock.ErrInvalid, "metadata %q", metadata)
		}
	}
	for _, text := range []string{strings.Repeat("a", sqllock.MaxName+1), strings.Repeat("\u20ac", sqllock.MaxName/3+1)} {
		_, err := a.partyAt(a.subject.Unreachable, text).TryAcquire(a.ctx, "n")
		assert.ErrorIs(a, err, sqllock.ErrInvalid, "an owner of %d bytes", len(text))
	}
	nowhere := a.partyAt(a.subject.Unreachable, "nowhere")
	_, err := nowhere.Acquire(a.ctx, "n", sqllock.Metadata(map[string]string{"k": strings.Repeat("a", sqllock.MaxMetadata)}))
	assert.ErrorIs(a, err, sqllock.ErrInvalid)
}

package mysql_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"testing"
	"time"

	driver "github.com/go-sql-driver/mysql"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sqllock/toolkit/mysql"
	"github.com/sqllock/toolkit/sqllock"
)

// TestNamedForceReleaseTakesThatLockOnly from a process that does not ask for anything.
func TestNamedForceReleaseTakesThatLockOnly(t *testing.T) {
	ctx := context.Background()
	inNamedHelper(func(cfg *driver.Config, ask *bufio.Scanner, tell io.Writer) error {
		c := sqllock.New(mysql.Named(cfg))
		forced, err := c.Acquire(ctx, "forced")
		if err != nil {
			return err
		}
		kept, err := c.Acquire(ctx, "kept")
		if err != nil {
			return err
		}
		_, _ = fmt.Fprintln(tell, "held")
		<-forced.Done()
		_, _ = fmt.Fprintln(tell, forced.Err(), kept.Verify(ctx))
		ask.Scan()
		return nil
	})
	t.Parallel()
	s := newNamedScene(t)
	c := s.client()
	h := startNamedHelper(t, s.cfg)
	require.Equal(t, "held", h.line())
	got := s.waits(c, "forced")
	require.NoError(t, c.ForceRelease(ctx, "forced"))
	l := s.granted(got, 0)
	assert.Contains(t, h.line(), sqllock.ErrForced.Error())
	require.NoError(t, l.Verify(ctx))
	s.refused(c, "kept")
	require.NoError(t, c.ForceRelease(ctx, "forced"), "its own")
	require.ErrorIs(t, l.Err(), sqllock.ErrForced)
	require.NoError(t, c.ForceRelease(ctx, "nobody's"))
	s.free("forced")
}

// TestNamedForceReleaseIsHeardLater than its caller waits.
func TestNamedForceReleaseIsHeardLater(t *testing.T) {
	t.Parallel()
	s := newNamedScene(t)
	c, other := s.client(), s.client()
	carried, inherited := s.carriedAndInherited(c)
	for _, l := range []*sqllock.Lock{carried, inherited} {
		short, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		require.ErrorIs(t, other.ForceRelease(short, l.Name()), sqllock.ErrNotConfirmed)
		cancel()
	}
	for _, l := range []*sqllock.Lock{carried, inherited} {
		s.ends(l)
		require.ErrorIs(t, l.Err(), sqllock.ErrForced)
		s.release(s.acquire(other, l.Name()))
	}
}

// TestNamedTerminateEndsWhomForceReleaseCannotAsk a program that is not of this toolkit.
func TestNamedTerminateEndsWhomForceReleaseCannotAsk(t *testing.T) {
	t.Parallel()
	s := namedSceneAt(t, instrumented(t)(t))
	migrate(t, s.cfg)
	b := s.backend()
	c := s.clientOf(b)
	foreign, err := s.db.Conn(t.Context())
	require.NoError(t, err)
	defer foreign.Close()
	require.NoError(t, foreign.QueryRowContext(t.Context(), "SELECT GET_LOCK(?, 0) + GET_LOCK(?, 0)", s.key("n"), s.key("m")).Scan(new(int)))
	s.refused(c, "n")
	short, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	require.ErrorIs(t, c.ForceRelease(short, "n"), sqllock.ErrNotConfirmed)
	got := s.waits(c, "n")
	freed, err := b.Terminate(t.Context(), "n")
	require.NoError(t, err)
	var keys []string
	for _, i := range freed {
		keys = append(keys, i.Key)
	}
	assert.ElementsMatch(t, []string{s.key("n"), s.key("m")}, keys)
	l := s.granted(got, 0)
	require.NoError(t, l.Verify(t.Context()))
	s.release(l, s.acquire(c, "m"))
	freed, err = b.Terminate(t.Context(), "n")
	require.NoError(t, err)
	assert.Empty(t, freed)
	_, err = b.Terminate(t.Context(), "")
	require.ErrorIs(t, err, sqllock.ErrInvalid)
}

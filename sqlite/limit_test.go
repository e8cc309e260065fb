package sqlite_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sqllock/toolkit/sqlite"
	"github.com/sqllock/toolkit/sqllock"
)

// slack is what a bound allows to slow machines.
const slack = 30 * time.Second

// client is another process, as far as the file knows.
func client(t *testing.T, path string, opts ...sqllock.ClientOption) *sqllock.Client {
	t.Helper()
	c := sqllock.New(sqlite.Table(path), opts...)
	t.Cleanup(func() { assert.NoError(t, c.Close(context.Background())) })
	return c
}

// numbered are so many names.
func numbered(n int) []string {
	names := make([]string, n)
	for i := range names {
		names[i] = fmt.Sprint("n", i)
	}
	return names
}

// unknown demands an error that says nothing about who holds.
func unknown(t *testing.T, err error, says string) {
	t.Helper()
	if assert.ErrorContains(t, err, says) {
		assert.NotErrorIs(t, err, sqllock.ErrNotAcquired)
		assert.NotErrorIs(t, err, sqllock.ErrLost)
	}
}

func TestTenThousandLocksAreHeld(t *testing.T) {
	t.Parallel()
	const locks, at = 10_000, 50
	ctx := t.Context()
	path := table().Fresh(t)
	c, other := client(t, path), client(t, path)
	var sets []*sqllock.Set
	for names := range slices.Chunk(numbered(locks), at) {
		set, err := c.AcquireAll(ctx, names)
		require.NoError(t, err)
		sets = append(sets, set)
	}
	for _, set := range sets {
		require.NoError(t, set.Err())
	}
	for _, set := range sets[:20] {
		require.NoError(t, set.Locks()[0].Verify(ctx))
		_, err := other.TryAcquire(ctx, set.Locks()[1].Name())
		require.ErrorIs(t, err, sqllock.ErrNotAcquired)
	}
	infos, err := c.Locks(ctx)
	require.NoError(t, err)
	require.Len(t, infos, locks)
	for _, set := range sets {
		require.NoError(t, set.Release(ctx))
	}
	infos, err = c.Locks(ctx)
	require.NoError(t, err)
	require.Empty(t, infos)
}

// TestWaitersOfManyNames wait in one process, and all get theirs.
func TestWaitersOfManyNames(t *testing.T) {
	t.Parallel()
	const names = 200
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	path := table().Fresh(t)
	holder, c := client(t, path), client(t, path)
	var sets []*sqllock.Set
	for some := range slices.Chunk(numbered(names), 50) {
		set, err := holder.AcquireAll(ctx, some)
		require.NoError(t, err)
		sets = append(sets, set)
	}
	got := make(chan *sqllock.Lock, names)
	var all sync.WaitGroup
	for _, n := range numbered(names) {
		all.Go(func() {
			l, err := c.Acquire(ctx, n)
			if assert.NoError(t, err) {
				got <- l
			}
		})
	}
	require.Eventually(t, func() bool {
		infos, err := holder.Locks(ctx)
		return err == nil && len(infos) == 2*names
	}, slack, 10*time.Millisecond, "all are in line")
	for _, set := range sets {
		require.NoError(t, set.Release(ctx))
	}
	all.Wait()
	require.Len(t, got, names)
	for range names {
		require.NoError(t, (<-got).Release(ctx))
	}
}

const envWaiters = "SQLLOCK_TEST_WAITERS_OF"

// TestThousandWaitersOfOneName in several processes get it one after the other.
func TestThousandWaitersOfOneName(t *testing.T) {
	t.Parallel()
	const processes, each = 4, 250
	if path := os.Getenv(envWaiters); path != "" {
		waitTogether(t, path, each)
		return
	}
	path := table().Fresh(t)
	journal := path + ".journal"
	first, err := client(t, path).Acquire(t.Context(), "n")
	require.NoError(t, err)
	var all sync.WaitGroup
	for range processes {
		cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestThousandWaitersOfOneName$", "-test.timeout=3m")
		cmd.Env = append(os.Environ(), envWaiters+"="+path)
		all.Go(func() {
			output, err := cmd.CombinedOutput()
			assert.NoError(t, err, "%s", output)
		})
	}
	require.Eventually(t, func() bool {
		infos, err := client(t, path).Locks(t.Context())
		return err == nil && len(infos) == 1+processes
	}, slack, 50*time.Millisecond, "one of each process is in line")
	require.NoError(t, first.Release(t.Context()))
	all.Wait()
	content, err := os.ReadFile(journal)
	require.NoError(t, err)
	assert.Len(t, content, 2*processes*each)
	for visit := range slices.Chunk(content, 2) {
		require.Equal(t, "()", string(visit), "one after the other")
	}
}

// waitTogether has so many goroutines of one process wait for the name, and write down when they come and go.
func waitTogether(t *testing.T, path string, n int) {
	t.Helper()
	journal, err := os.OpenFile(path+".journal", os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	require.NoError(t, err)
	defer journal.Close()
	c := client(t, path)
	var all sync.WaitGroup
	for range n {
		all.Go(func() {
			assert.NoError(t, c.Do(t.Context(), "n", func(context.Context) error {
				_, err := journal.WriteString("(")
				if err == nil {
					_, err = journal.WriteString(")")
				}
				return err
			}))
		})
	}
	all.Wait()
}

// TestMissingDirectoryIsNamed by the error.
func TestMissingDirectoryIsNamed(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "nobody made this", "locks.db")
	_, err := client(t, path).TryAcquire(t.Context(), "n")
	unknown(t, err, path)
}

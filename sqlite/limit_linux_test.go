package sqlite_test

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sqllock/toolkit/sqllock"
)

// mount makes a file system of so many bytes.
func mount(t *testing.T, size string) (dir string) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root, to mount a file system")
	}
	dir = t.TempDir()
	require.NoError(t, syscall.Mount("tmpfs", dir, "tmpfs", 0, "size="+size))
	t.Cleanup(func() { assert.NoError(t, syscall.Unmount(dir, 0)) })
	return dir
}

// fill takes all the room that is left.
func fill(t *testing.T, path string) {
	t.Helper()
	f, err := os.Create(path)
	require.NoError(t, err)
	defer f.Close()
	for err == nil {
		_, err = f.Write(bytes.Repeat([]byte("x"), 4096))
	}
	require.ErrorIs(t, err, syscall.ENOSPC)
}

// TestFullDiskGrantsNothing and says so. What is held goes on if there is room again in time, and else ends at its deadline.
func TestFullDiskGrantsNothing(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	dir := mount(t, "4m")
	path, filler := filepath.Join(dir, "locks.db"), filepath.Join(dir, "filler")
	c, other := client(t, path, sqllock.TTL(6*time.Second)), client(t, path)
	require.NoError(t, other.Ping(ctx))
	held, err := c.Acquire(ctx, "held")
	require.NoError(t, err)

	// The journal is written over from its beginning when its end is reached: to be refused takes more than a few statements.
	refused := func() (err error) {
		for _, name := range numbered(5000) {
			if _, err = other.TryAcquire(ctx, name); err != nil {
				return err
			}
		}
		return nil
	}
	fill(t, filler)
	unknown(t, refused(), "full")
	require.NoError(t, held.Err())
	require.NoError(t, os.Remove(filler))
	before := held.Deadline()
	require.Eventually(t, func() bool { return held.Deadline().After(before) }, slack, time.Millisecond, "it goes on")
	require.NoError(t, held.Verify(ctx))

	fill(t, filler)
	unknown(t, refused(), "full")
	for held.Err() == nil && time.Until(held.Deadline()) > 100*time.Millisecond {
		select {
		case <-held.Done():
			assert.Less(t, time.Until(held.Deadline()), 100*time.Millisecond, "not before")
		case <-time.After(10 * time.Millisecond): // between two looks: a renewal may find room
		}
	}
	select {
	case <-held.Done():
	case <-time.After(slack):
		t.Fatal("its holder is not told")
	}
	assert.ErrorIs(t, held.Err(), sqllock.ErrExpired)
	require.NoError(t, os.Remove(filler))
	again, err := c.Acquire(ctx, "held", sqllock.Wait(slack))
	require.NoError(t, err)
	assert.Greater(t, again.Token(), held.Token())
	require.NoError(t, again.Release(ctx))
}

// TestReadOnlyFileIsNamed by the error, whether there are tables in it or not.
func TestReadOnlyFileIsNamed(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	for what, prepare := range map[string]func(path string){
		"tables": func(path string) {
			c := client(t, path)
			l, err := c.Acquire(ctx, "n")
			require.NoError(t, err)
			require.NoError(t, l.Release(ctx))
			require.NoError(t, c.Close(ctx))
		},
		"no file": func(string) {},
	} {
		dir := mount(t, "4m")
		path := filepath.Join(dir, "locks.db")
		prepare(path)
		require.NoError(t, syscall.Mount("", dir, "", syscall.MS_REMOUNT|syscall.MS_RDONLY, ""))
		c := client(t, path)
		start := time.Now()
		_, tryErr := c.TryAcquire(ctx, "n")
		_, err := c.Acquire(ctx, "n", sqllock.Wait(time.Hour))
		for _, err := range []error{c.Ping(ctx), tryErr, err} {
			unknown(t, err, path)
		}
		assert.Less(t, time.Since(start), slack, "%s: it does not wait for what cannot come", what)
		require.NoError(t, c.Close(context.Background()))
	}
}

//go:build unix

package main

import (
	"context"
	"os"
	"runtime"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sqllock/toolkit/internal/testdb"
)

func TestSignalEndsTheWaitingAndTheWaitersRowIsGone(t *testing.T) {
	t.Parallel()
	everywhere(t, func(t *testing.T, p place) {
		p.acquire(t, "name")
		for _, sig := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT} {
			job := p.exec(t, "name", "--", "echo", "ran").start()
			p.awaitWaiters(t, 1)
			job.signal(sig)
			o := job.end()
			o.requireError(t, 128+int(sig), `"name"`, "interrupted by signal")
			require.Empty(t, o.stdout)
			require.Less(t, o.took, 5*time.Second)
			p.requireNoWaiters(t)
		}
	})
}

func TestSignalEndsTheConnecting(t *testing.T) {
	t.Parallel()
	addr, connected := deaf(t)
	for _, backend := range []string{kindAdvisory, kindTable} {
		job := program(t, "exec", "--backend", backend, "name", "--", "echo", "ran").
			with(dsnVariable + "=postgres://" + addr + "/db?sslmode=disable").start()
		<-connected
		job.signal(syscall.SIGTERM)
		o := job.end()
		o.requireError(t, 143, "interrupted by signal: terminated")
		require.Empty(t, o.stdout)
		require.Less(t, o.took, connectTimeout/2)
	}
}

func TestSecondSignalEndsSqllockThoughTheDatabaseDoesNotLetItGo(t *testing.T) {
	t.Parallel()
	server := testdb.StartPostgres(t)
	p := postgresPlace(t, server.DSN())
	p.acquire(t, "name")
	job := p.exec(t, "name", "--", "echo", "ran").start()
	p.awaitWaiters(t, 1)
	server.Pause()
	began := time.Now()
	ended := make(chan outcome)
	go func() { ended <- job.end() }()
	for {
		_ = job.Process.Signal(syscall.SIGINT)
		select {
		case o := <-ended:
			require.Equal(t, -int(syscall.SIGINT), o.code)
			require.Empty(t, o.stdout)
			require.Less(t, time.Since(began), 4*time.Second, "closing would take longer")
			server.Resume()
			return
		case <-time.After(50 * time.Millisecond):
		}
	}
}

func TestSignalsThatNohupAndShellsIgnoreAreIgnored(t *testing.T) {
	t.Parallel()
	p := newSQLite(t)
	lock := p.acquire(t, "name")
	job := p.exec(t, "name", "--", "echo", "ran")
	job.Args = append([]string{"sh", "-c", `trap "" INT HUP; exec "$0" "$@"`, job.Path}, job.Args[1:]...)
	job.Path = "/bin/sh"
	job.start()
	p.awaitWaiters(t, 1)
	for _, sig := range []syscall.Signal{syscall.SIGINT, syscall.SIGHUP} {
		job.signal(sig)
	}
	require.NoError(t, lock.Release(t.Context()))
	o := job.end()
	o.requireSilent(t, 0)
	require.Equal(t, "ran\n", o.stdout)
}

func TestSignalsReachTheRunningCommandWhoseExitCodeCounts(t *testing.T) {
	t.Parallel()
	p := newSQLite(t)
	for sig, trap := range map[syscall.Signal]string{syscall.SIGINT: "INT", syscall.SIGTERM: "TERM", syscall.SIGHUP: "HUP", syscall.SIGQUIT: "QUIT"} {
		job := p.exec(t, "name", "--", "sh", "-c", `exec 2>/dev/null; trap 'echo caught; exit 5' `+trap+`; echo ready; while :; do sleep 0.02; done`).start()
		job.await("ready")
		job.signal(sig)
		job.await("caught")
		job.end().requireSilent(t, 5)
	}
	job := p.exec(t, "name", "--", "sh", "-c", "echo ready; exec sleep 1000").start()
	job.await("ready")
	job.signal(syscall.SIGTERM)
	job.end().requireSilent(t, 143)
	p.exec(t, "-n", "name", "--", "true").run().requireSilent(t, 0)
}

func TestSignalThatArrivesWithTheLockIsNotForgotten(t *testing.T) {
	t.Parallel()
	signals := make(chan os.Signal, 1)
	err := untilSignal(t.Context(), signals, func(ctx context.Context) error {
		signals <- syscall.SIGTERM
		<-ctx.Done()
		return nil // acquired all the same
	})
	require.Equal(t, 143, exitCode(err))
}

func TestSignalAfterTheLockIsLeftForTheCommand(t *testing.T) {
	t.Parallel()
	for range 1000 { // whoever is late to stop listening is so by chance only
		signals := make(chan os.Signal, 1)
		require.NoError(t, untilSignal(t.Context(), signals, func(context.Context) error { return nil }))
		signals <- syscall.SIGTERM
		runtime.Gosched()
		require.Len(t, signals, 1)
	}
}

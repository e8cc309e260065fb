//go:build unix

// Fencedwrites shows why what must never interleave needs a Guard. Writer A is stopped while it holds the lock, as a process is by a long pause of the
// garbage collector, of the virtual machine, or of the laptop. Its lock ends, B gets it, and writes. Then A goes on, and writes too: it has seen
// nothing, and no timer of it has run. The guard is what rejects that.
//
//	$ go run ./examples/fencedwrites
//	A has the lock, token 1, and writes
//	A is stopped
//	B has the lock, token 2, and writes
//	A goes on, and is rejected: sqllock: lock "example-ledger" lost: the lease ran out before a renewal was confirmed
//	the ledger has: A 1, B 2
//
// PostgreSQL before 14 never ends the session lock of a stopped process; there it needs -backend table.
package main

import (
	"bufio"
	"context"
	"flag"
	"fmt"
	"log"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"github.com/sqllock/toolkit/examples/internal/backend"
	"github.com/sqllock/toolkit/sqllock"
)

func main() {
	log.SetFlags(0)
	flag.Parse()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	b, err := backend.Open(ctx, backend.Needs{Tokens: true, Silence: 3 * time.Second})
	if err != nil {
		log.Fatal(err)
	}
	run := writerB
	if flag.Arg(0) == "A" {
		run = writerA
	}
	if err := run(ctx, b); err != nil {
		log.Fatal(err)
	}
}

// write writes a line under the lock. The guard and the write are one: between them the lock cannot change hands.
func write(ctx context.Context, b *backend.Backend, lock *sqllock.Lock, writer string) error {
	tx, err := b.DB.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }() // does nothing after a commit
	if err := b.Guard(ctx, tx, lock); err != nil {
		return err
	}
	if _, err := tx.ExecContext(ctx, fmt.Sprintf("INSERT INTO example_ledger VALUES (%d, '%s')", lock.Token(), writer)); err != nil {
		return err
	}
	return tx.Commit()
}

// writerA is a process of its own. It writes, waits to be told to go on, and writes again, without another look at the lock.
func writerA(ctx context.Context, b *backend.Backend) error {
	lock, err := sqllock.New(b, b.Options...).Acquire(ctx, "example-ledger")
	if err != nil {
		return err
	}
	if err := write(ctx, b, lock, "A"); err != nil {
		return err
	}
	fmt.Printf("A has the lock, token %d, and writes\n", lock.Token())
	if _, err := bufio.NewReader(os.Stdin).ReadString('\n'); err != nil {
		return err
	}
	if err := write(ctx, b, lock, "A"); err != nil {
		fmt.Println("A goes on, and is rejected:", err)
		return nil
	}
	fmt.Println("A goes on, and writes: that must not be")
	return nil
}

// writerB starts A, stops it, and takes over.
func writerB(ctx context.Context, b *backend.Backend) error {
	for _, statement := range []string{
		"DROP TABLE IF EXISTS example_ledger",
		"CREATE TABLE example_ledger (token BIGINT, writer VARCHAR(10))",
	} {
		if _, err := b.DB.ExecContext(ctx, statement); err != nil {
			return err
		}
	}
	a := exec.CommandContext(ctx, os.Args[0], append(os.Args[1:], "A")...)
	a.Stderr = os.Stderr
	input, err := a.StdinPipe()
	if err != nil {
		return err
	}
	output, err := a.StdoutPipe()
	if err != nil {
		return err
	}
	if err := a.Start(); err != nil {
		return err
	}
	defer func() { _ = a.Process.Kill() }() // a stopped one, too
	lines := bufio.NewScanner(output)
	tell := func() {
		if lines.Scan() {
			fmt.Println(lines.Text())
		}
	}
	tell()
	if err := a.Process.Signal(syscall.SIGSTOP); err != nil {
		return err
	}
	fmt.Println("A is stopped")

	locks := sqllock.New(b, b.Options...)
	defer func() { _ = locks.Close(ctx) }()
	lock, err := locks.Acquire(ctx, "example-ledger") // when the lock of A has ended
	if err != nil {
		return err
	}
	if err := write(ctx, b, lock, "B"); err != nil {
		return err
	}
	fmt.Printf("B has the lock, token %d, and writes\n", lock.Token())

	if err := a.Process.Signal(syscall.SIGCONT); err != nil {
		return err
	}
	if _, err := fmt.Fprintln(input); err != nil {
		return err
	}
	tell()
	if err := a.Wait(); err != nil {
		return err
	}
	return ledger(ctx, b)
}

// ledger prints what was written.
func ledger(ctx context.Context, b *backend.Backend) error {
	rows, err := b.DB.QueryContext(ctx, "SELECT writer, token FROM example_ledger ORDER BY token")
	if err != nil {
		return err
	}
	defer rows.Close()
	var entries []string
	for rows.Next() {
		var writer string
		var token int64
		if err := rows.Scan(&writer, &token); err != nil {
			return err
		}
		entries = append(entries, fmt.Sprint(writer, " ", token))
	}
	fmt.Println("the ledger has:", strings.Join(entries, ", "))
	return rows.Err()
}

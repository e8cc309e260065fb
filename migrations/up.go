package migrations

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"github.com/golang-migrate/migrate/v4"
	"github.com/golang-migrate/migrate/v4/database"

	"github.com/sqllock/toolkit/sqllock"
)

// Up applies all up migrations that are missing, under the lock of name: [Guard] around open, the migrations and Close. Any number of processes
// may call it at the same time: one migrates, the others wait for it until ctx ends and then find nothing to do, which is no error.
//
// When the lock is lost or ctx ends, the migration under way is waited for, since nothing can be told to golang-migrate in the middle of
// one, and no further one begins. The lock is verified in the database before each. The error then matches [sqllock.ErrLost] or the cause of ctx,
// even if by then nothing was left to do.
//
// Other errors are a [DirtyError], those of open and of golang-migrate, and those of Guard. What the application sends to
// m.GracefulStop ends Up too, with an error unless nothing was left to do.
func Up(ctx context.Context, locks *sqllock.Client, name string, open func(ctx context.Context) (*migrate.Migrate, error)) error {
	return guard(ctx, locks, name, func(ctx context.Context, lock *sqllock.Lock) (err error) {
		m, err := open(ctx)
		if err != nil {
			return err
		}
		defer func() {
			fromSource, fromDatabase := m.Close()
			err = joined(err, fromSource, fromDatabase)
		}()
		return verdict(upWhile(m, func() error { return verified(ctx, lock) }))
	})
}

// upWhile is m.Up, but looks before each migration whether it may begin. To send to GracefulStop would not do: golang-migrate reads that from two
// goroutines, and what one has read the other sees without synchronisation.
func upWhile(m *migrate.Migrate, may func() error) error {
	for {
		before, err := version(m)
		if err != nil {
			return err
		}
		if err := may(); err != nil {
			return fmt.Errorf("migrations: stopped, no further migration was begun: %w", err)
		}
		err = m.Steps(1)
		if errors.Is(err, fs.ErrNotExist) {
			return m.Up() // nothing is left, or the version is none of the source's: Up knows which
		}
		if err != nil {
			return err
		}
		if after, err := version(m); err != nil {
			return err
		} else if after == before {
			return errors.New("migrations: stopped by the channel GracefulStop, no further migration was begun")
		}
	}
}

func version(m *migrate.Migrate) (int, error) {
	v, _, err := m.Version()
	if errors.Is(err, migrate.ErrNilVersion) {
		return database.NilVersion, nil
	}
	return int(v), err
}

// verified asks the database for the lock: a session that was ended there is gone before this process hears of it.
func verified(ctx context.Context, lock *sqllock.Lock) error {
	if err := context.Cause(ctx); err != nil {
		return err
	}
	return lock.Verify(ctx)
}

// joined is errors.Join, but leaves alone an error that nothing is joined to.
func joined(err error, more ...error) error {
	if rest := errors.Join(more...); rest != nil {
		return errors.Join(err, rest)
	}
	return err
}

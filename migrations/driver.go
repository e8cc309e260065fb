package migrations

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync/atomic"
	"time"

	"github.com/golang-migrate/migrate/v4"
	"github.com/golang-migrate/migrate/v4/database"

	"github.com/sqllock/toolkit/sqllock"
)

// verifyTimeout bounds how long a driver waits to hear that the lock is held.
const verifyTimeout = 10 * time.Second

// Open waits until name is locked, or ctx ends, calls open, and returns its driver, to be given to migrate.NewWithInstance. The lock is held
// until Close of the returned driver, which migrate.Migrate.Close calls and which closes open's driver too.
//
// The Lock and Unlock of open's driver are not called, so its own lock excludes nobody while migrations run, and everything that migrates this
// database has to go through this package. Lock and Unlock of the returned driver touch no database: the 15 s after which golang-migrate gives
// up, and leaves a goroutine waiting, do not matter.
//
// Once the lock is lost, every method that writes fails with an error that matches [sqllock.ErrLost], before the database is touched. No migration
// begins unless the database, asked after the mark that it is dirty was committed, says that the lock is held: so whoever gets the
// lock later sees that mark. A migration under way goes on to its end, and then stays marked dirty, because its end can no longer be recorded.
//
// A database that is dirty already is a [DirtyError]. Other errors are those of open, of [sqllock.Client.Acquire] and, in Close, of
// [sqllock.Lock.Release]. After an error nothing stays open or locked. The returned driver is for one migrate.Migrate.
func Open(ctx context.Context, locks *sqllock.Client, name string, open func() (database.Driver, error)) (_ database.Driver, err error) {
	lock, err := locks.Acquire(ctx, name)
	if err != nil {
		return nil, notLocked(err)
	}
	d := &driver{ctx: context.WithoutCancel(ctx), lock: lock}
	opened := false
	defer func() {
		if !opened { // also when open panics
			err = joined(err, d.Close())
		}
	}()
	inner, err := open()
	if err != nil {
		return nil, err
	}
	d.inner = inner
	version, isDirty, err := inner.Version()
	if err != nil {
		return nil, err
	}
	if isDirty {
		return nil, dirty(migrate.ErrDirty{Version: version})
	}
	opened = true
	return d, nil
}

// A driver is open's driver for as long as the lock is held.
type driver struct {
	ctx    context.Context // the interface has none
	lock   *sqllock.Lock
	inner  database.Driver // nil while it is opened
	locked atomic.Bool
}

var _ database.Driver = (*driver)(nil)

func (d *driver) Open(string) (database.Driver, error) {
	return nil, errors.New("migrations: this driver is open already and serves one database; call migrations.Open for another")
}

func (d *driver) Close() error {
	var err error
	if d.inner != nil {
		err = d.inner.Close()
	}
	return released(d.ctx, err, d.lock)
}

func (d *driver) Lock() error {
	if err := d.lock.Err(); err != nil {
		return fmt.Errorf("migrations: nothing was run: %w", err)
	}
	if !d.locked.CompareAndSwap(false, true) {
		return database.ErrLocked
	}
	return nil
}

// Unlock tells of a loss that came too late for the last migration to fail.
func (d *driver) Unlock() error {
	if !d.locked.CompareAndSwap(true, false) {
		return database.ErrNotLocked
	}
	if err := d.lock.Err(); err != nil {
		return fmt.Errorf("migrations: the migrations did not all run under the lock: %w", err)
	}
	return nil
}

func (d *driver) SetVersion(version int, dirty bool) error {
	if !dirty {
		// Whoever has the lock now has not come past the mark, so the clock is enough here: an outage need not leave the mark behind.
		if err := d.lock.Err(); err != nil {
			return fmt.Errorf("migrations: version %d was not recorded, and if a migration has just run it stays marked dirty: %w", version, err)
		}
		return d.inner.SetVersion(version, false)
	}
	if err := d.verify(); err != nil {
		return fmt.Errorf("migrations: the migration to version %d was not begun: %w", version, err)
	}
	if err := d.inner.SetVersion(version, true); err != nil {
		return err
	}
	if err := d.verify(); err != nil {
		return fmt.Errorf("migrations: the database is marked dirty at version %d, but nothing of that migration was run: %w", version, err)
	}
	return nil
}

func (d *driver) Run(migration io.Reader) error {
	// The mark is there, and nobody passes it. But this process may have been stopped since, and somebody may have removed it by hand.
	if err := d.lock.Err(); err != nil {
		return fmt.Errorf("migrations: the database is marked dirty, but nothing of that migration was run: %w", err)
	}
	return d.inner.Run(migration)
}

func (d *driver) Version() (version int, dirty bool, err error) { return d.inner.Version() }

func (d *driver) Drop() error {
	if err := d.verify(); err != nil {
		return fmt.Errorf("migrations: nothing was dropped: %w", err)
	}
	return d.inner.Drop()
}

func (d *driver) verify() error {
	ctx, cancel := context.WithTimeout(d.ctx, verifyTimeout)
	defer cancel()
	return d.lock.Verify(ctx)
}

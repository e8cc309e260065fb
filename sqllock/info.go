package sqllock

import (
	"context"
	"fmt"
	"time"
)

// LockInfo is one holder or one waiter, as the database knows it. Times are on the database's clock.
type LockInfo struct {
	Name     string            // empty where the backend knows only the key
	Key      string            // what is really locked, if that is not the name
	Mode     Mode              // how it is held or wanted
	Permits  int               // ModePermit: the limit that this holder or waiter asked for
	Waiting  bool              // a waiter, not a holder
	Token    int64             // holders, where the backend gives tokens
	Owner    string            // as the process named itself
	PID      int64             // the server's process or connection, for locks that end with it
	Client   string            // the address that this comes from, as far as we may see it
	Metadata map[string]string // holders
	Since    time.Time         // granted, or waiting since
	Expires  time.Time         // leases: when the session of this holder ends unless it renews
	Keep     time.Time         // leases with AtLeast: not granted to others before
}

// Locks lists who holds what and who waits, in this backend's namespace, at one instant; holders before waiters of the same name.
func (c *Client) Locks(ctx context.Context) ([]LockInfo, error) {
	if err := c.usable(); err != nil {
		return nil, err
	}
	return c.session.Locks(ctx)
}

// ForceRelease takes name from all its holders. They see [ErrLost], and their tokens are dead: a Guard with one of them
// fails. It waits for guarded transactions in progress, because their lock cannot change hands, and returns when nobody
// holds the name any more; if that is not so before ctx ends, the error matches [ErrNotConfirmed].
// A name that nobody holds is no error.
func (c *Client) ForceRelease(ctx context.Context, name string) error {
	if err := c.usableFor(name); err != nil {
		return err
	}
	if err := c.session.ForceRelease(ctx, name); err != nil {
		return fmt.Errorf("sqllock: force release of %q: %w", name, err)
	}
	return nil
}

package sqllock

import (
	"context"
	"time"
)

// Leader is what the exclusive holder of a name tells others of itself.
type Leader struct {
	Name  string
	Token int64             // of its term; larger for each later one
	Owner string            // as the holder named itself
	Value map[string]string // what it published
	Since time.Time         // on the database's clock
}

// LeaderStore is an optional part of a [Session]: a backend through which the holder of a name can publish something
// that others can read. Package leaderelect is built on it and so needs no SQL.
type LeaderStore interface {
	// PublishLeader replaces what the holder of hold has published. An error matches [ErrLost] if the lock is gone.
	PublishLeader(ctx context.Context, hold Hold, value map[string]string) error

	// Leader returns what the present exclusive holder of name has published, or [ErrNoLeader].
	Leader(ctx context.Context, name string) (Leader, error)
}

// Publish makes value readable by all through [Client.Leader] for as long as the lock is held, in place of the [Metadata] it was acquired with.
// The error matches [ErrUnsupported] if the backend has nowhere to keep it, [ErrLost] if the lock is gone.
func (l *Lock) Publish(ctx context.Context, value map[string]string) error {
	if err := checkMetadata(value); err != nil {
		return err
	}
	if err := l.Err(); err != nil {
		return err
	}
	store, ok := l.client.session.(LeaderStore)
	if !ok {
		return unsupported("publishing a value", "a Table")
	}
	return l.explain(store.PublishLeader(ctx, l.hold[0], value))
}

// Leader returns what the exclusive holder of name tells of itself. It asks the database each time.
// The error matches [ErrNoLeader] if nobody holds the name and [ErrUnsupported] if the backend cannot tell.
func (c *Client) Leader(ctx context.Context, name string) (Leader, error) {
	if err := c.usableFor(name); err != nil {
		return Leader{}, err
	}
	store, ok := c.session.(LeaderStore)
	if !ok {
		return Leader{}, unsupported("asking for a leader", "a Table")
	}
	return store.Leader(ctx, name)
}

package sqllock

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"
)

// closeTimeout bounds Close, and releaseTimeout each Release, when the database does not answer.
const (
	closeTimeout   = 10 * time.Second
	releaseTimeout = 5 * time.Second
)

// Client takes locks through one [Backend]. Make one per process and share it: it is safe for concurrent use, and
// everything it holds shares one session with the database. Two Clients exclude each other as two processes do.
type Client struct {
	cfg      config
	backend  Backend
	session  Session
	broken   error // the configuration cannot work; every call says so
	queue    queue
	patience patience
	closed   atomic.Bool
}

// New makes a Client. It does no I/O; [Client.Ping] does. What is wrong with the configuration is told by the first call.
func New(b Backend, opts ...ClientOption) *Client {
	c := &Client{cfg: newConfig(opts), backend: b, queue: queue{lines: make(map[string]*line)}}
	if c.broken = c.cfg.err; c.broken != nil {
		return c
	}
	if !validText(c.cfg.owner) || len(c.cfg.owner) > MaxName {
		c.broken = invalid("the owner %.64q is not UTF-8 without U+0000 of at most %d bytes", c.cfg.owner, MaxName)
		return c
	}
	if c.cfg.hasTTL && !b.Capabilities().Leases {
		c.broken = unsupported("TTL", "a Table")
		return c
	}
	c.session, c.broken = b.Open(SessionConfig{
		Owner: c.cfg.owner, TTL: c.cfg.ttl, Clock: c.cfg.clock, Rand: c.cfg.rand, Logger: c.cfg.logger,
	})
	return c
}

// Capabilities tells what the backend can do.
func (c *Client) Capabilities() Capabilities { return c.backend.Capabilities() }

// Ping connects to the database and finds out whether locks can be taken there: it is reached, the schema fits
// ([ErrSchema]), and nothing between us and it would make locks unsafe ([ErrRefused]).
func (c *Client) Ping(ctx context.Context) error {
	if err := c.usable(); err != nil {
		return err
	}
	return c.session.Ping(ctx)
}

// Close refuses new work, ends waiters with [ErrClosed], releases everything that is held and closes the connections.
// It works with a cancelled context and takes at most ten seconds when the database does not answer: then the
// error says so, and leases end by themselves. Locks that were held end with [ErrClosed].
func (c *Client) Close(ctx context.Context) error {
	if c.closed.Swap(true) || c.session == nil {
		return nil
	}
	c.queue.close()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTimeout)
	defer cancel()
	if err := c.session.Close(ctx); err != nil {
		return fmt.Errorf("sqllock: close: %w", err)
	}
	return nil
}

// usable rejects, before any SQL, what cannot work.
func (c *Client) usable() error {
	if c.broken != nil {
		return c.broken
	}
	if c.closed.Load() {
		return ErrClosed
	}
	return nil
}

// usableFor is usable for a call that is about a name.
func (c *Client) usableFor(name string) error {
	if err := c.usable(); err != nil {
		return err
	}
	return CheckName(name)
}

// prepare turns a name and options into a Lock that is not held yet.
func (c *Client) prepare(name string, opts []Option) (*Lock, options, error) {
	o := c.cfg.options
	if len(opts) > 0 {
		o = o.with(opts)
	}
	if err := c.usableFor(name); err != nil {
		return nil, o, err
	}
	if o.err != nil {
		return nil, o, o.err
	}
	if err := c.supports(o); err != nil {
		return nil, o, err
	}
	l := &Lock{client: c}
	l.req = Request{
		Name: name, Key: c.backend.Key(name), Mode: o.mode, Permits: o.permits,
		TTL: o.ttl, AtLeast: o.atLeast, Metadata: o.metadata, Holder: (*holder)(l),
	}
	l.ticket = ticket{key: l.req.Key, mode: o.mode, permits: o.permits}
	return l, o, nil
}

func (c *Client) supports(o options) error {
	can := c.backend.Capabilities()
	switch {
	case o.mode == ModeShared && !can.Shared:
		return unsupported("Shared", "a Table")
	case o.mode == ModePermit && !can.Permits:
		return unsupported("Permits", "a Table")
	case o.hasTTL && !can.Leases:
		return unsupported("TTL", "a Table")
	case o.atLeast != 0 && !can.Leases:
		return unsupported("AtLeast", "a Table")
	case o.metadata != nil && !can.Metadata:
		return unsupported("Metadata", "a Table")
	}
	return nil
}

func unsupported(what, instead string) error {
	return fmt.Errorf("%w: %s; use %s", ErrUnsupported, what, instead)
}

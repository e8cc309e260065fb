package postgres

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgconn/ctxwatch"
	"github.com/jackc/pgx/v5/pgxpool"
)

// idleTimeout is how long an unused connection of ours stays open, and connectTimeout how long it may take to open one: who listens has no
// other bound, and who renews waits for that.
const (
	idleTimeout    = time.Minute
	connectTimeout = 5 * time.Second
)

var errConnClosed = errors.New("postgres: the lock client is closed")

// conn is one connection of our own: opened from the pool's configuration when it is needed, used by one at a time, opened anew after an
// error broke it, and closed when it has not been used for a while. It is never taken out of the application's pool, so that
// renewals do not wait for the application.
type conn struct {
	pool *pgxpool.Pool
	turn chan struct{} // holds a value while somebody uses the connection

	pg   *pgx.Conn // whose turn it is may use it
	idle *time.Timer

	mu     sync.Mutex
	closed bool
}

func newConn(pool *pgxpool.Pool) *conn { return &conn{pool: pool, turn: make(chan struct{}, 1)} }

// use runs f with the connection. If f leaves a transaction behind, it is rolled back.
func (c *conn) use(ctx context.Context, f func(*pgx.Conn) error) error {
	select {
	case c.turn <- struct{}{}:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	defer func() { <-c.turn }()
	if c.isClosed() {
		return errConnClosed
	}
	if c.pg == nil || c.pg.IsClosed() {
		connecting, cancel := context.WithTimeout(ctx, connectTimeout)
		pg, err := connect(connecting, c.pool)
		cancel()
		if err != nil {
			return err
		}
		c.pg = pg
	}
	err := f(c.pg)
	if err != nil && !c.pg.IsClosed() && c.pg.PgConn().TxStatus() != 'I' {
		c.rollback()
	}
	c.rest()
	return err
}

// rollback makes the connection usable after a failed transaction, or closes it.
func (c *conn) rollback() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if _, err := c.pg.Exec(ctx, "rollback"); err != nil {
		_ = c.pg.Close(ctx) // on any doubt
	}
}

// rest closes the connection once it has been unused for idleTimeout.
func (c *conn) rest() {
	if c.idle == nil {
		c.idle = time.AfterFunc(idleTimeout, func() {
			select {
			case c.turn <- struct{}{}:
				c.drop()
				<-c.turn
			default: // in use
			}
		})
		return
	}
	c.idle.Reset(idleTimeout)
}

func (c *conn) drop() {
	if c.pg != nil {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_ = c.pg.Close(ctx)
		c.pg = nil
	}
}

func (c *conn) isClosed() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.closed
}

// close waits for the one who uses the connection.
func (c *conn) close() {
	c.mu.Lock()
	c.closed = true
	c.mu.Unlock()
	c.turn <- struct{}{}
	defer func() { <-c.turn }()
	if c.idle != nil {
		c.idle.Stop()
	}
	c.drop()
}

// connect opens a connection as the pool would.
func connect(ctx context.Context, pool *pgxpool.Pool) (*pgx.Conn, error) {
	return connectAs(ctx, pool, "sqllock")
}

// connectAs is connect under the name that administrators see, unless the pool's configuration has one.
func connectAs(ctx context.Context, pool *pgxpool.Pool, application string) (*pgx.Conn, error) {
	cfg := pool.Config() // a copy
	cc := cfg.ConnConfig
	cc.OnNotification = nil // the application's handler is not for our connection
	// Nor is one that asks the server to cancel: a renewal would wait for that before it can interrupt the listening.
	cc.BuildContextWatcherHandler = func(pg *pgconn.PgConn) ctxwatch.Handler {
		return &pgconn.DeadlineContextWatcherHandler{Conn: pg.Conn()}
	}
	if cc.RuntimeParams["application_name"] == "" {
		cc.RuntimeParams["application_name"] = application
	}
	shareTime(ctx, cc)
	if cfg.BeforeConnect != nil {
		if err := cfg.BeforeConnect(ctx, cc); err != nil {
			return nil, err
		}
	}
	pg, err := pgx.ConnectConfig(ctx, cc)
	if err != nil {
		return nil, err
	}
	if cfg.AfterConnect != nil {
		if err := cfg.AfterConnect(ctx, pg); err != nil {
			_ = pg.Close(ctx)
			return nil, err
		}
	}
	return pg, nil
}

// shareTime gives each host of a DSN an equal part of the time there is. They are tried in turn, and without a connect_timeout the first that
// takes connections and says nothing, such as a former primary that hangs, would leave none to the one that has taken its place.
func shareTime(ctx context.Context, cc *pgx.ConnConfig) {
	deadline, ok := ctx.Deadline()
	if !ok || cc.ConnectTimeout != 0 {
		return
	}
	hosts, host, port := 1, cc.Host, cc.Port
	for _, f := range cc.Fallbacks { // there may be two for one host, with TLS and without
		if f.Host != host || f.Port != port {
			hosts, host, port = hosts+1, f.Host, f.Port
		}
	}
	if hosts > 1 {
		cc.ConnectTimeout = max(time.Until(deadline)/time.Duration(hosts), time.Millisecond)
	}
}

package named

import (
	"context"
	"crypto/rand"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/go-sql-driver/mysql"

	"github.com/sqllock/toolkit/sqllock"
)

// Connector makes connections that can hold locks.
type Connector struct {
	config  *mysql.Config
	timeout time.Duration
	owner   string
}

// NewConnector takes what is needed from the configuration of somebody who means to run queries. timeout is for how long the server
// keeps a session from which it hears nothing; whole seconds.
func NewConnector(config *mysql.Config, owner string, timeout time.Duration) (Connector, error) {
	c := config.Clone()
	dial := c.DialFunc
	if dial == nil {
		switch c.Net {
		case "", "tcp", "tcp4", "tcp6", "unix":
			dial = new(net.Dialer).DialContext
		default:
			return Connector{}, fmt.Errorf("%w: mysql: Named cannot see the network %q that was registered with the driver; set Config.DialFunc",
				sqllock.ErrInvalid, c.Net)
		}
	}
	c.DialFunc = func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := dial(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		w := &wire{Conn: conn}
		*ctx.Value(wireKey{}).(**wire) = w
		return w, nil
	}
	// These are limits for queries. A connection that waits for a lock is silent for as long as that takes, and when the server has been silent
	// for too long is for the session to say.
	c.ReadTimeout, c.WriteTimeout = 0, 0
	c.Logger = &mysql.NopLogger{} // it logs what it also returns
	if program := "program_name:" + strings.NewReplacer(",", " ", ":", " ").Replace(owner); c.ConnectionAttributes == "" {
		c.ConnectionAttributes = program
	} else if !strings.Contains(c.ConnectionAttributes, "program_name:") {
		c.ConnectionAttributes += "," + program
	}
	return Connector{config: c, timeout: timeout, owner: owner}, nil
}

// wireKey is the key of a context by which a connection finds its wire.
type wireKey struct{}

// The server ends a session after timeout; we ask after ping of silence, and take the session for lost after limit.
func (c Connector) ping() time.Duration  { return c.timeout * 2 / 15 }
func (c Connector) limit() time.Duration { return c.timeout * 8 / 15 }

// open connects, and finds out whether locks taken here would exclude anybody.
func (c Connector) open(ctx context.Context, clock sqllock.Clock) (_ *link, err error) {
	var w *wire
	// The configuration belongs to a connector for as long as that lives, and before-connect hooks may change it.
	connector, err := mysql.NewConnector(c.config.Clone())
	if err != nil {
		return nil, fmt.Errorf("%w: mysql: %w", sqllock.ErrInvalid, err)
	}
	conn, err := connector.Connect(context.WithValue(ctx, wireKey{}, &w))
	if err != nil {
		return nil, explain("connect", err)
	}
	stop := context.AfterFunc(ctx, func() { _ = w.Close() })
	defer stop()
	defer func() {
		if err != nil {
			_ = conn.Close()
			if cause := context.Cause(ctx); cause != nil {
				err = fmt.Errorf("mysql: connect: %w", cause)
			}
		}
	}()
	l := &link{conn: conn, wire: w, clock: clock, limit: c.limit(), signature: sign(c.owner)}
	l.heard.Store(int64(clock.Now()))
	if err := c.hello(l); err != nil {
		return nil, err
	}
	if !stop() {
		return nil, context.Cause(ctx)
	}
	return l, nil
}

// sign makes a comment of what we call ourselves, of which nothing can end it.
func sign(owner string) string {
	return " /* " + strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' || r == '*' || r == '\\' {
			return '_'
		}
		return r
	}, owner) + " */"
}

// hello prepares the session. Time limits for queries would end waiting, and an idle session must end soon: that is what frees
// the locks of a process that is stopped, or cannot be reached.
func (c Connector) hello(l *link) error {
	variables, err := l.list(Variables)
	if err != nil {
		return explain("connect", err)
	}
	if err := Refusal(variables, func() (int, error) {
		members, err := l.ask(Members)
		n, _ := strconv.Atoi(string(members))
		return n, err
	}); err != nil {
		return err
	}
	settings := "SET SESSION wait_timeout=" + strconv.Itoa(int(c.timeout/time.Second)) + ", autocommit=1"
	for _, limit := range []string{"max_execution_time", "max_statement_time"} {
		if _, known := variables[limit]; known {
			settings += ", " + limit + "=0"
		}
	}
	if err := l.tell(settings); err != nil {
		return explain("connect", err)
	}
	l.marker = "sqllock-session:" + strings.ToLower(rand.Text())
	id, err := l.ask("SELECT IF(GET_LOCK('" + l.marker + "', 0), CONNECTION_ID(), NULL)")
	if err != nil {
		return explain("connect", err)
	}
	if l.id, err = strconv.ParseUint(string(id), 10, 64); err != nil {
		return fmt.Errorf("mysql: connect: the server has sessions with names like %q", id)
	}
	return nil
}

// Variables asks for what [Refusal] has to know, and for the limits of statements that there are.
const Variables = "SHOW VARIABLES WHERE Variable_name IN ('max_execution_time', 'max_statement_time', 'wsrep_on', " +
	"'group_replication_single_primary_mode')"

// Members asks how many servers a replication group has.
const Members = "SELECT COUNT(*) FROM performance_schema.replication_group_members WHERE MEMBER_STATE = 'ONLINE'"

// Refusal is an error if user locks of this server would not exclude those who use another one of the same data.
func Refusal(variables map[string]string, members func() (int, error)) error {
	if variables["wsrep_on"] == "ON" {
		return fmt.Errorf("mysql: %w: this is a node of a Galera cluster, and GET_LOCK knows nothing of its other nodes; use a Table", sqllock.ErrRefused)
	}
	if variables["group_replication_single_primary_mode"] != "OFF" {
		return nil
	}
	switch n, err := members(); {
	case err != nil:
		return explain("connect", err)
	case n > 1:
		return fmt.Errorf("mysql: %w: this is one of several primaries of a replication group, and GET_LOCK knows nothing of the others; use a Table",
			sqllock.ErrRefused)
	}
	return nil
}

// list asks for two columns.
func (l *link) list(sql string) (map[string]string, error) {
	rows, err := l.conn.(driver.QueryerContext).QueryContext(context.Background(), sql, nil)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	if err := columns(rows, 2); err != nil {
		return nil, err
	}
	all := make(map[string]string)
	for {
		var row [2]driver.Value
		switch err := rows.Next(row[:]); {
		case errors.Is(err, io.EOF):
			return all, nil
		case err != nil:
			return nil, err
		}
		key, _ := row[0].([]byte)
		value, _ := row[1].([]byte)
		all[string(key)] = string(value)
	}
}

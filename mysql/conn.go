package mysql

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"time"

	"github.com/go-sql-driver/mysql"
)

// idleTimeout is how long an unused connection of ours stays open.
const idleTimeout = time.Minute

// ownConfig makes the configuration of our own connections from the application's. How the server is reached and who we are is left as it is.
// What is for the application's statements is not for ours: those need a known sql_mode, character set and so on, which hello.sql
// sets, and no time limit on a read, because one of them sleeps in the server; contexts bound them all. A server that turned
// read-only is told by its error, which RejectReadOnly would hide.
func ownConfig(cfg *mysql.Config, database string) (*mysql.Config, error) {
	c := cfg.Clone()
	c.DBName = database
	c.Params = nil
	c.ReadTimeout, c.WriteTimeout = 0, 0
	c.InterpolateParams, c.MultiStatements, c.ClientFoundRows = true, true, true
	c.CheckConnLiveness, c.RejectReadOnly = true, false
	if c.ConnectionAttributes == "" {
		c.ConnectionAttributes = "program_name:sqllock"
	}
	return c, c.Apply(mysql.Charset("utf8mb4", "utf8mb4_general_ci"))
}

// connector prepares each connection that it opens.
type connector struct {
	driver.Connector
	hello string
}

func (c connector) Connect(ctx context.Context) (driver.Conn, error) {
	conn, err := c.Connector.Connect(ctx)
	if err != nil {
		return nil, err
	}
	if _, err := conn.(driver.ExecerContext).ExecContext(ctx, c.hello, nil); err != nil {
		_ = conn.Close()
		return nil, err
	}
	return conn, nil
}

// pool opens connections of our own when they are needed, and closes them when they have not been used for a while. It knows no
// limit, so that a renewal never waits for anybody; who uses it is few.
type pool struct{ db *sql.DB }

func newPool(c driver.Connector) pool {
	db := sql.OpenDB(c)
	db.SetMaxIdleConns(2 + lanes) // the bell, and a renewal beside the work
	db.SetConnMaxIdleTime(idleTimeout)
	return pool{db}
}

// use runs f with a connection, and again with another one if f returns driver.ErrBadConn: what f sends first has found the connection
// broken. For what it sends after that there is midway. If f leaves a transaction behind, it is rolled back: the next one would commit it.
func (p pool) use(ctx context.Context, f func(*sql.Conn) error) error {
	for first := true; ; first = false {
		conn, err := p.db.Conn(ctx)
		if err != nil {
			return err
		}
		if err = f(conn); err != nil {
			rollback(conn, err)
		}
		_ = conn.Close() // gives it back
		if !first || !errors.Is(err, driver.ErrBadConn) {
			return err
		} // else it was found broken before anything was sent
	}
}

// midway is the error of a statement that was not the first: what came before it was carried out, and must not be again.
func midway(err error) error {
	if errors.Is(err, driver.ErrBadConn) {
		return mysql.ErrInvalidConn
	}
	return err
}

// rollback makes a connection usable after an error, or closes it: on any doubt, and when another server may be the primary by now.
func rollback(conn *sql.Conn, err error) {
	if number(err) != 0 && !readOnly(err) {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		if _, err := conn.ExecContext(ctx, "ROLLBACK"); err == nil {
			return
		}
	}
	discard(conn)
}

// discard closes a connection instead of giving it back.
func discard(conn *sql.Conn) { _ = conn.Raw(func(any) error { return driver.ErrBadConn }) }

func (p pool) close() { _ = p.db.Close() }

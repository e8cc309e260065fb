package advisory

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/sqllock/toolkit/sqllock"
)

// Connector opens the connections of sessions.
type Connector struct {
	Dial      func(ctx context.Context) (*pgx.Conn, error)
	Namespace string
	Schema    string
	Tokens    bool // insist on them
	Timeout   time.Duration
}

// Who knows first: a server that hears nothing ends a session after the Timeout, counted from the last command, and the client has to
// have given up before that, counted from the sending of the last command that was answered. Between two commands there is at most a ping
// interval, so limit + margin <= timeout - ping.
func (c Connector) ping() time.Duration  { return c.Timeout * 2 / 15 }
func (c Connector) limit() time.Duration { return c.Timeout * 8 / 15 }

// open connects, and finds out whether locks taken here would exclude anybody.
func (c Connector) open(ctx context.Context, clock sqllock.Clock) (_ *link, err error) {
	pg, err := c.Dial(ctx)
	if err != nil {
		return nil, explain("connect", err)
	}
	defer func() {
		if err != nil {
			closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
			defer cancel()
			_ = pg.Close(closing)
		}
	}()
	l := &link{clock: clock, limit: c.limit(), ended: make(chan struct{}), resume: make(chan struct{}, 1)}
	if err := c.hello(ctx, pg, l); err != nil {
		return nil, err
	}
	if l.proxied = pg.PgConn().PID() != l.pid; l.proxied {
		if err := c.refusePooler(ctx, pg, l.pid); err != nil {
			return nil, err
		}
	}
	if err := c.prepare(ctx, pg, l); err != nil {
		return nil, explain("prepare session", err)
	}
	hijacked, err := pg.PgConn().Hijack()
	if err != nil {
		return nil, fmt.Errorf("postgres: %w", err)
	}
	l.conn, l.frontend = hijacked.Conn, hijacked.Frontend
	return l, nil
}

// hello asks who answers, in a way that every server and pooler understands.
func (c Connector) hello(ctx context.Context, pg *pgx.Conn, l *link) error {
	result, err := query(ctx, pg, statement("hello", 0), []byte(c.Schema))
	if err != nil {
		return fmt.Errorf("postgres: connect: %w", err)
	}
	row, err := rowOf(4, result)
	if err != nil {
		return err
	}
	switch version := string(row[1]); {
	case strings.Contains(version, "CockroachDB"): // of which some have -1 for every process
		return fmt.Errorf("postgres: %w: this is %.40s, where advisory locks do nothing; use a lock of its own, such as SELECT FOR UPDATE", sqllock.ErrRefused, version)
	case string(row[2]) == "t":
		return fmt.Errorf("postgres: %w: this server is a standby, whose locks are not those of the primary; connect to the primary, for instance "+
			"with target_session_attrs=read-write", sqllock.ErrRefused)
	}
	pid, err := strconv.ParseUint(string(row[0]), 10, 32)
	if err != nil {
		return fmt.Errorf("postgres: connect: the server's process: %w", err)
	}
	sequence, err := strconv.ParseUint(string(row[3]), 10, 32)
	if err != nil {
		return fmt.Errorf("postgres: connect: the sequence of tokens: %w", err)
	}
	l.pid, l.sequence = uint32(pid), uint32(sequence)
	if sequence == 0 && c.Tokens {
		return fmt.Errorf("postgres: %w: tokens need the sequence sqllock_token in schema %s, and the right to use and update it; run `sqllock migrate up` "+
			"or migrations/postgres.Up", sqllock.ErrSchema, c.Schema)
	}
	return nil
}

// refusePooler looks whether the server process behind a connection is ours alone, by what another connection meets. A pooler in session
// mode gives each of its clients a process of its own.
func (c Connector) refusePooler(ctx context.Context, pg *pgx.Conn, pid uint32) error {
	other, err := c.Dial(ctx)
	if err != nil {
		return fmt.Errorf("postgres: a second connection, to find out whether a pooler shares this one: %w", err)
	}
	defer func() { _ = other.Close(ctx) }()
	const looks = 20 // other clients may have moved us by chance to where we were
	for range looks {
		theirs, err := process(ctx, other)
		if err != nil {
			return err
		}
		ours, err := process(ctx, pg)
		if err != nil {
			return err
		}
		if theirs == pid || ours != pid {
			return errShared
		}
	}
	return nil
}

// errShared says that the server process is not ours alone.
var errShared = fmt.Errorf("postgres: %w: a pooler shares server connections between its clients (pool_mode transaction or statement), and with them the locks; "+
	"connect to the server itself, or to a pool in session mode, or use a Table", sqllock.ErrRefused)

// process is the server process that runs a statement.
func process(ctx context.Context, pg *pgx.Conn) (uint32, error) {
	result, err := query(ctx, pg, "SELECT pg_catalog.pg_backend_pid()")
	if err != nil {
		return 0, fmt.Errorf("postgres: connect: %w", err)
	}
	row, err := rowOf(1, result)
	if err != nil {
		return 0, err
	}
	pid, err := strconv.ParseUint(string(row[0]), 10, 32)
	return uint32(pid), err
}

// rowOf is the one row of the last result. There is another only where somebody between us and the server mixes up the answers.
func rowOf(columns int, results ...*pgconn.Result) ([][]byte, error) {
	if n := len(results); n > 0 && len(results[n-1].Rows) == 1 && len(results[n-1].Rows[0]) == columns {
		return results[n-1].Rows[0], nil
	}
	return nil, fmt.Errorf("postgres: connect: %w", errNoAnswer)
}

// query asks one thing, however short a statement_timeout the role or the database has by default. While the connection may turn out to be shared with
// others, nothing may be set on it for longer than a transaction; and as the idle_in_transaction_session_timeout may be as short, the server gets the
// whole transaction at once, and ends it without us.
func query(ctx context.Context, pg *pgx.Conn, question string, args ...[]byte) (result *pgconn.Result, err error) {
	result = new(pgconn.Result)
	const tries = 10 // each begins with what takes the server no time
	for try := 0; try == 0 || sqlState(err) == queryCanceled && try < tries; try++ {
		pipeline := pg.PgConn().StartPipeline(ctx)
		pipeline.SendQueryParams("SELECT pg_catalog.set_config('statement_timeout', '0', true)", nil, nil, nil, nil)
		pipeline.SendQueryParams(question, args, nil, nil, nil)
		err = pipeline.Sync()
		for err == nil {
			var answer any
			if answer, err = pipeline.GetResults(); err == nil {
				reader, ok := answer.(*pgconn.ResultReader)
				if !ok { // all has been answered
					break
				}
				result = reader.Read()
				err = result.Err
			}
		}
		if end := pipeline.Close(); err == nil {
			err = end
		}
	}
	return result, err
}

// tokenGap is what each new session adds to the sequence, once, waiting for the disk. Then it asks for tokens without waiting, and for nothing else
// that the disk would have to remember: a crash of the server, or a fail-over to a synchronous replica, may take the sequence back, but ends all
// sessions too, and no new one gets a token before it has left behind what could have been given out since. A replica that has not heard of the
// addition itself brings the same tokens again.
const tokenGap = 1 << 28

// prepare makes the connection ours: settings, statements, the locks that show that it lives, and LISTEN.
func (c Connector) prepare(ctx context.Context, pg *pgx.Conn, l *link) error {
	seconds := func(d time.Duration) []byte { return strconv.AppendInt(nil, int64(max(d/time.Second, 1)), 10) }
	settings := [][]byte{strconv.AppendInt(nil, c.Timeout.Milliseconds(), 10), seconds(c.Timeout / 3), seconds(c.ping())}
	if _, err := query(ctx, pg, statement("settings", 0), settings...); err != nil {
		return err
	}
	if l.sequence != 0 {
		// One transaction, which the server runs without us: nobody can stop in the middle of it.
		jump := fmt.Sprintf("SELECT pg_advisory_xact_lock(%d, %d); SELECT setval('%d', last_value + %d) FROM %s",
			tokenLock.a, tokenLock.b, l.sequence, tokenGap, pgx.Identifier{c.Schema, "sqllock_token"}.Sanitize())
		if _, err := pg.PgConn().Exec(ctx, jump).ReadAll(); err != nil {
			return err
		}
	}
	pipeline := pg.PgConn().StartPipeline(ctx)
	for name, types := range prepared {
		pipeline.SendPrepare(prefixed[name], statement(name, l.sequence), types)
	}
	if err := pipeline.Sync(); err != nil {
		return err
	}
	if err := pipeline.Close(); err != nil {
		if sqlState(err) == duplicateStatement { // prepared by one of us
			return errUsed
		}
		return err
	}
	var random [8]byte
	_, _ = rand.Read(random[:]) // never fails
	l.nonce = pair{int32(binary.BigEndian.Uint32(random[:])), int32(binary.BigEndian.Uint32(random[4:]))}
	l.marker = marker(c.Namespace, l.pid)
	alive := fmt.Sprintf("SET synchronous_commit = off; SET lock_timeout = '1s'; LISTEN %s; SELECT CASE WHEN pg_backend_pid() = %d THEN "+
		"pg_try_advisory_lock(%d, %d) AND pg_try_advisory_lock(%d, %d) END", channel, l.pid, l.nonce.a, l.nonce.b, l.marker.a, l.marker.b)
	l.answered.Store(int64(l.clock.Now())) // no sooner: others that began may have been waited for, and silence is counted from here
	results, err := pg.PgConn().Exec(ctx, alive).ReadAll()
	if err != nil {
		return err
	}
	row, err := rowOf(1, results...)
	if err != nil {
		return err
	}
	switch string(row[0]) {
	case "t":
		return nil
	case "f":
		return errUsed
	default:
		return errShared
	}
}

// errUsed says that the server has ended neither the session of a process that we have got, nor what it held.
var errUsed = fmt.Errorf("%w: this server process has been used by somebody else, who left locks behind; a pooler in session mode needs "+
	"server_reset_query = DISCARD ALL", sqllock.ErrRefused)

// tokenLock keeps sessions that begin from setting the sequence at the same time.
var tokenLock = pairOf([]byte("sqltoken"))

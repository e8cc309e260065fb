package mysql

import (
	"cmp"
	"context"
	"database/sql"
	"database/sql/driver"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/go-sql-driver/mysql"

	"github.com/sqllock/toolkit/mysql/internal/named"
	"github.com/sqllock/toolkit/sqllock"
)

// ledger keeps the tokens of Named. It implements [named.Ledger] on one connection of its own, because a commit takes longer than everything else
// that those connections do that carry locks.
type ledger struct {
	db        *sql.DB
	table     string
	namespace string
}

var _ named.Ledger = (*ledger)(nil)

func newLedger(cfg *mysql.Config, table, namespace string) (*ledger, error) {
	c := cfg.Clone()
	c.MultiStatements, c.InterpolateParams = true, true
	db, err := openDB(c)
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(1)
	db.SetConnMaxIdleTime(time.Minute)
	return &ledger{db: db, table: table, namespace: namespace}, nil
}

// Check implements [named.Ledger].
func (l *ledger) Check(ctx context.Context) error {
	_, err := l.db.ExecContext(ctx, "DO (SELECT token FROM "+l.table+" LIMIT 1)")
	return l.explain(err)
}

func (l *ledger) explain(err error) error {
	switch {
	case err == nil:
		return nil
	case number(err) == noSuchTable:
		return fmt.Errorf("mysql: %w: tokens are kept in %s, which does not exist; run `sqllock migrate up` or migrations/mysql.Up, or do without WithTokens: %w",
			sqllock.ErrSchema, l.table, err)
	}
	return fmt.Errorf("mysql: token: %w", err)
}

// duplicateEntry is what somebody gets who writes down a name while the same is being committed for a session that has just ended.
const duplicateEntry = 1062

// Count implements [named.Ledger].
func (l *ledger) Count(ctx context.Context, keys []named.Counted) error {
	const attempts = 5
	for try := 1; ; try++ {
		err := l.count(ctx, keys)
		if err == nil || try == attempts || !passing(err) && number(err) != duplicateEntry || context.Cause(ctx) != nil {
			return l.explain(err)
		}
	}
}

// count raises tokens in one transaction and two round trips. It locks the rows that nobody guards, sees who holds their keys now that nobody
// else can raise them, and raises those whose sessions still hold them: a session that has ended meanwhile must not get a token that is larger
// than that of its successor.
func (l *ledger) count(ctx context.Context, keys []named.Counted) (err error) {
	conn, err := l.db.Conn(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	defer func() {
		if err != nil { // the transaction may be open
			_ = conn.Raw(func(any) error { return driver.ErrBadConn })
		}
	}()
	var locked, existing map[string]int64
	var held []sql.NullBool
	if locked, existing, held, err = l.lock(ctx, conn, keys); err != nil {
		return err
	}
	var missing, raised []int
	for i, k := range keys {
		keys[i].Token, keys[i].Guarded = 0, false // as another attempt may have left them
		token, mine := locked[k.Key]
		_, exists := existing[k.Key]
		switch {
		case !held[i].Bool:
		case mine:
			keys[i].Token = token + 1
			raised = append(raised, i)
		case exists:
			keys[i].Guarded = true
		default:
			keys[i].Token = 1
			missing = append(missing, i)
		}
	}
	var sql strings.Builder
	if len(raised) > 0 {
		sql.WriteString("UPDATE " + l.table + " SET token = token + 1 WHERE lock_key IN (" +
			list(len(raised), func(i int) string { return literal(keys[raised[i]].Key) }) + "); ")
	}
	if len(missing) > 0 {
		// An old row cannot be there: rows are made by those who hold the key, and removed by nobody.
		sql.WriteString("INSERT INTO " + l.table + " (lock_key, namespace, name, token) VALUES " +
			list(len(missing), func(i int) string {
				k := keys[missing[i]]
				return "(" + literal(k.Key) + ", " + literal(l.namespace) + ", " + literal(k.Name) + ", 1)"
			}) + "; ")
	}
	_, err = conn.ExecContext(ctx, sql.String()+"COMMIT")
	return err
}

// lock locks what is there and guarded by nobody, and looks.
func (l *ledger) lock(ctx context.Context, conn *sql.Conn, keys []named.Counted) (locked, existing map[string]int64, held []sql.NullBool, err error) {
	in := list(len(keys), func(i int) string { return literal(keys[i].Key) })
	rows, err := conn.QueryContext(ctx, "SET TRANSACTION ISOLATION LEVEL READ COMMITTED; START TRANSACTION READ WRITE; "+
		"SELECT lock_key, token FROM "+l.table+" WHERE lock_key IN ("+in+") ORDER BY lock_key FOR UPDATE SKIP LOCKED; "+
		"SELECT lock_key, token FROM "+l.table+" WHERE lock_key IN ("+in+"); "+
		"SELECT "+list(len(keys), func(i int) string {
		return "IS_USED_LOCK('" + keys[i].Key + "') = IS_USED_LOCK('" + keys[i].Marker + "')"
	}))
	if err != nil {
		return nil, nil, nil, err
	}
	defer rows.Close()
	for _, tokens := range []*map[string]int64{&locked, &existing} {
		*tokens = make(map[string]int64)
		for rows.Next() {
			var key string
			var token int64
			if err := rows.Scan(&key, &token); err != nil {
				return nil, nil, nil, err
			}
			(*tokens)[key] = token
		}
		if !rows.NextResultSet() {
			return nil, nil, nil, cmp.Or(rows.Err(), errors.New("the server has left statements unanswered"))
		}
	}
	held = make([]sql.NullBool, len(keys))
	targets := make([]any, len(keys))
	for i := range held {
		targets[i] = &held[i]
	}
	if !rows.Next() {
		return nil, nil, nil, cmp.Or(rows.Err(), errors.New("the server has not said who holds the keys"))
	}
	return locked, existing, held, rows.Scan(targets...)
}

// list joins n parts.
func list(n int, part func(i int) string) string {
	parts := make([]string, n)
	for i := range parts {
		parts[i] = part(i)
	}
	return strings.Join(parts, ", ")
}

// literal is a string in SQL whatever its bytes, the sql_mode and the character set.
func literal(s string) string {
	if s == "" {
		return "''"
	}
	return "X'" + hex.EncodeToString([]byte(s)) + "'"
}

// tokens is the table of tokens, which also has names for people.
func (b *NamedBackend) tokens() string { return quote(b.opts.database) + ".sqllock_named" }

package mysql

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/sqllock/toolkit/internal/lease"
	"github.com/sqllock/toolkit/mysql/internal/named"
	"github.com/sqllock/toolkit/sqllock"
)

// publish writes what a holder tells of itself. Whether it still holds the lock counts when the row is locked, and not when the statement
// begins: so a former holder cannot write over the value of the next. If the lock is lost afterwards, the row, whose term has gone with
// the session, counts for nobody.
func (b *NamedBackend) publish(ctx context.Context, p named.Publication) error {
	db, err := b.db()
	if err != nil {
		return err
	}
	const columns = "(lock_key, token, owner, value, since, term)"
	const ours = "IS_USED_LOCK(VALUES(lock_key)) = IS_USED_LOCK(VALUES(term))"
	// The connection's character set is the application's, and may not have what people write.
	const text = "CONVERT(CAST(? AS BINARY) USING utf8mb4)"
	_, err = db.ExecContext(ctx, "INSERT INTO "+b.leaders()+" "+columns+" VALUES (?, ?, "+text+", "+text+", UTC_TIMESTAMP(6) - INTERVAL ? MICROSECOND, ?)"+
		// In this order: a later value of the same term has begun when the first did.
		" ON DUPLICATE KEY UPDATE token = IF("+ours+", VALUES(token), token), owner = IF("+ours+", VALUES(owner), owner),"+
		" value = IF("+ours+", VALUES(value), value), since = IF("+ours+" AND term <> VALUES(term), VALUES(since), since), term = IF("+ours+", VALUES(term), term)",
		p.Key(), p.Token(), strings.ToValidUTF8(p.Owner, "\ufffd"), lease.EncodeMetadata(p.Value), p.Held.Microseconds(), p.Term)
	switch number(err) {
	case databaseDenied, tableDenied, columnDenied:
		return fmt.Errorf("mysql: publish: %w for this user: %w; grant it SELECT, INSERT and UPDATE on %s", sqllock.ErrUnsupported, err, b.leaders())
	}
	if err != nil {
		return b.explainLeader("publish", err)
	}
	return p.Verify(ctx)
}

// leader is the row of the session that holds the lock now.
func (b *NamedBackend) leader(ctx context.Context, name string) (sqllock.Leader, error) {
	db, err := b.db()
	if err != nil {
		return sqllock.Leader{}, err
	}
	l := sqllock.Leader{Name: name}
	var since int64
	var value *string
	err = db.QueryRowContext(ctx, "SELECT token, CAST(owner AS BINARY), CAST(value AS BINARY), TIMESTAMPDIFF(MICROSECOND, '1970-01-01', since) FROM "+b.leaders()+
		" WHERE lock_key = ? AND IS_USED_LOCK(?) = IS_USED_LOCK(term)", b.Key(name), b.Key(name)).Scan(&l.Token, &l.Owner, &value, &since)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return sqllock.Leader{}, sqllock.ErrNoLeader
	case err != nil:
		return sqllock.Leader{}, b.explainLeader("leader", err)
	}
	l.Since = time.UnixMicro(since)
	if l.Value, err = lease.DecodeMetadata(value); err != nil {
		return sqllock.Leader{}, fmt.Errorf("mysql: leader: %w", err)
	}
	return l, nil
}

// leaders is the table of what leaders publish.
func (b *NamedBackend) leaders() string { return quote(b.opts.database) + ".sqllock_leaders" }

// explainLeader says what mends a missing schema. Without it everything else of a session lock works.
func (b *NamedBackend) explainLeader(doing string, err error) error {
	switch number(err) {
	case noSuchTable, unknownColumn, unknownDatabase:
		return fmt.Errorf("mysql: %s: %w: session locks keep what leaders publish in the toolkit's tables: %w; run `sqllock migrate up` or "+
			"migrations/mysql.Up for database %s, or use a Table", doing, sqllock.ErrUnsupported, err, b.opts.database)
	}
	return fmt.Errorf("mysql: %s: %w", doing, err)
}

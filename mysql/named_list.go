package mysql

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/go-sql-driver/mysql"

	"github.com/sqllock/toolkit/sqllock"
)

// list is who holds what and who waits. MySQL tells all of it to those who may read performance_schema, MariaDB where its plugin
// metadata_lock_info is loaded or performance_schema is on and instruments metadata locks. Elsewhere it is what the process list shows of those
// who wait, and who holds what they and this process know of.
func (b *NamedBackend) list(ctx context.Context, known map[string]string) ([]sqllock.LockInfo, error) {
	db, err := b.db()
	if err != nil {
		return nil, err
	}
	conn, err := db.Conn(ctx)
	if err != nil {
		return nil, fmt.Errorf("mysql: locks: %w", err)
	}
	defer conn.Close()
	names, err := b.names(ctx, conn, known)
	if err != nil {
		return nil, fmt.Errorf("mysql: locks: %w", err)
	}
	infos, err := b.seen(ctx, conn, known)
	if err != nil {
		return nil, fmt.Errorf("mysql: locks: %w", err)
	}
	for i := range infos {
		infos[i].Name = names[infos[i].Key]
	}
	slices.SortStableFunc(infos, func(x, y sqllock.LockInfo) int {
		return cmp.Or(strings.Compare(x.Key, y.Key), cmp.Compare(bit(x.Waiting), bit(y.Waiting)))
	})
	return infos, nil
}

func bit(b bool) int {
	if b {
		return 1
	}
	return 0
}

// The ways to see user locks. Each gives key, whether it is waited for, session, its user and address, and its program. Even who waits for no time
// at all is seen to wait for an instant, and is left out by the text of the statement.
const (
	seenByInstruments = `
SELECT m.OBJECT_NAME, m.LOCK_STATUS <> 'GRANTED', t.PROCESSLIST_ID, COALESCE(t.PROCESSLIST_HOST, ''), COALESCE(a.ATTR_VALUE, '')
  FROM performance_schema.setup_instruments i
  JOIN performance_schema.metadata_locks m ON m.OBJECT_TYPE = 'USER LEVEL LOCK' AND m.OBJECT_NAME LIKE ?
  JOIN performance_schema.threads t ON t.THREAD_ID = m.OWNER_THREAD_ID
  LEFT JOIN performance_schema.session_connect_attrs a ON a.PROCESSLIST_ID = t.PROCESSLIST_ID AND a.ATTR_NAME = 'program_name'
 WHERE i.NAME = 'wait/lock/metadata/sql/mdl' AND i.ENABLED = 'YES'
   AND (m.LOCK_STATUS = 'GRANTED'
        OR t.PROCESSLIST_INFO LIKE '%GET_LOCK(%' AND SUBSTRING_INDEX(t.PROCESSLIST_INFO, ' /* ', 1) NOT REGEXP ', *0[)](,|$)')
 UNION ALL
SELECT '', 0, 0, '', '' FROM performance_schema.setup_instruments WHERE NAME = 'wait/lock/metadata/sql/mdl' AND ENABLED = 'YES'`

	seenByPlugin = `
SELECT m.TABLE_SCHEMA, 0, m.THREAD_ID, COALESCE(p.HOST, ''), ''
  FROM information_schema.METADATA_LOCK_INFO m LEFT JOIN information_schema.PROCESSLIST p ON p.ID = m.THREAD_ID
 WHERE m.LOCK_TYPE = 'User lock' AND m.TABLE_SCHEMA LIKE ?
 UNION ALL
SELECT '', 0, 0, '', ''`

	seenWaiting = `
SELECT SUBSTRING_INDEX(SUBSTRING_INDEX(INFO, '''', 2), '''', -1), 1, ID, HOST, SUBSTRING_INDEX(SUBSTRING_INDEX(INFO, '/* ', -1), ' */', 1)
  FROM information_schema.PROCESSLIST WHERE INFO LIKE CONCAT('SELECT GET_LOCK(''', ?) AND STATE = 'User lock' AND INFO NOT REGEXP ', *0[)]$'`
)

// key is what the keys of names look like.
var key = regexp.MustCompile(`^[a-z0-9._:-]{1,64}$`)

func (b *NamedBackend) seen(ctx context.Context, conn *sql.Conn, known map[string]string) ([]sqllock.LockInfo, error) {
	like := b.keys.Prefix() + "%"
	infos, all, err := b.look(ctx, conn, seenByInstruments, like)
	if err != nil || all {
		return infos, err
	}
	waiting, _, err := b.look(ctx, conn, seenWaiting, like)
	if err != nil {
		return nil, err
	}
	infos, all, err = b.look(ctx, conn, seenByPlugin, like)
	if err != nil || all {
		return append(infos, waiting...), err
	}
	keys := make(map[string]bool)
	for k := range known {
		keys[k] = true
	}
	for _, w := range waiting {
		if key.MatchString(w.Key) { // anybody can wait for something that only begins like one of ours
			keys[w.Key] = true
		}
	}
	for _, k := range slices.Sorted(maps.Keys(keys)) {
		var session sql.NullInt64
		if err := conn.QueryRowContext(ctx, "SELECT IS_USED_LOCK('"+k+"')").Scan(&session); err != nil {
			return nil, err
		}
		if session.Valid {
			infos = append(infos, sqllock.LockInfo{Key: k, PID: session.Int64})
		}
	}
	return append(infos, waiting...), nil
}

// look runs one of the queries. all says that it was answered: by a row without a key, where no lock at all would look like an instrument that
// is off.
func (b *NamedBackend) look(ctx context.Context, conn *sql.Conn, query, like string) (infos []sqllock.LockInfo, all bool, err error) {
	rows, err := conn.QueryContext(ctx, query, like)
	switch {
	case blind(err):
		return nil, false, nil
	case err != nil:
		return nil, false, err
	}
	defer rows.Close()
	for rows.Next() {
		var i sqllock.LockInfo
		if err := rows.Scan(&i.Key, &i.Waiting, &i.PID, &i.Client, &i.Owner); err != nil {
			return nil, false, err
		}
		if i.Key == "" {
			all = true
			continue
		}
		infos = append(infos, i)
	}
	return infos, all, rows.Err()
}

// blind tells whether an error says that we may not look, or that there is nothing to look at.
func blind(err error) bool {
	var answer *mysql.MySQLError
	if !errors.As(err, &answer) {
		return false
	}
	switch answer.Number {
	case 1044, 1142, 1143, 1227, // a privilege is missing
		1049, 1109, 1146: // a database or a table
		return true
	}
	return false
}

// names are those that are written down with tokens, and those that this process knows.
func (b *NamedBackend) names(ctx context.Context, conn *sql.Conn, known map[string]string) (map[string]string, error) {
	names := make(map[string]string)
	if b.opts.database == "" {
		maps.Copy(names, known)
		return names, nil
	}
	rows, err := conn.QueryContext(ctx, "SELECT lock_key, name FROM "+b.tokens()+" WHERE namespace = ?", []byte(b.opts.namespace))
	switch {
	case blind(err):
	case err != nil:
		return nil, err
	default:
		defer rows.Close()
		for rows.Next() {
			var key, name string
			if err := rows.Scan(&key, &name); err != nil {
				return nil, err
			}
			names[key] = name
		}
		if err := rows.Err(); err != nil {
			return nil, err
		}
	}
	maps.Copy(names, known)
	return names, nil
}

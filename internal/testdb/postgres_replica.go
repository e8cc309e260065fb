package testdb

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
)

// Replica starts a hot standby, which streams from s, a primary, and follows it
// asynchronously: on a server of its own, with s's settings and the given ones on
// top. It returns when the replica accepts connections; what was committed on s
// before the call is there. A replication slot keeps for it what it has not seen,
// however long it is paused or stopped.
//
// A primary that is stopped waits for replicas to receive everything: pausing one
// keeps [PostgresServer.Stop] from ending.
func (s *PostgresServer) Replica(settings ...string) *PostgresServer {
	s.tb.Helper()
	replica, err := s.postmaster.newReplica(settings)
	s.check(err)
	return newPostgresServer(s.tb, replica)
}

// Promote makes a primary of a replica, and returns when it accepts writes. The
// old primary is not told: until it is stopped or killed, there are two.
func (s *PostgresServer) Promote() {
	s.tb.Helper()
	s.check(s.postmaster.promote())
}

func (p *postmaster) newReplica(settings []string) (*postmaster, error) {
	slot := "replica_" + strings.ToLower(rand.Text())
	return startPostmaster(p.bin, slices.Concat(p.settings, []string{
		"primary_conninfo=" + p.dsn(),
		"primary_slot_name=" + slot,
		// How soon it tries again to reach a primary that was away: else 5 s.
		"wal_retrieve_retry_interval=100ms",
	}, settings), func(replica *postmaster) error {
		if err := p.backUp(replica, slot); err != nil {
			return fmt.Errorf("testdb: make a replica: %w", err)
		}
		return nil
	})
}

// backUp fills the data directory of a replica, by what PostgreSQL's manual calls
// a base backup with the low-level API. pg_basebackup does the same, but not
// every distribution of the server's programs has it.
func (p *postmaster) backUp(replica *postmaster, slot string) error {
	ctx, cancel := context.WithTimeout(context.Background(), statementTimeout)
	defer cancel()
	conn, err := pgx.Connect(ctx, p.dsn())
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	// From now on, the primary keeps what it logs.
	if _, err := conn.Exec(ctx, "SELECT pg_create_physical_replication_slot($1, true)", slot); err != nil {
		return err
	}
	var version int
	if err := conn.QueryRow(ctx, "SELECT current_setting('server_version_num')::int").Scan(&version); err != nil {
		return err
	}
	start := "SELECT pg_backup_start($1, true)"
	stop := "SELECT labelfile FROM pg_backup_stop(false)"
	if version < 150000 {
		start = "SELECT pg_start_backup($1, true, false)"
		stop = "SELECT labelfile FROM pg_stop_backup(false, false)"
	}
	if _, err := conn.Exec(ctx, start, slot); err != nil {
		return err
	}
	if err := copyLiveData(p.dataDir(), replica.dataDir()); err != nil {
		return err
	}
	var label string
	if err := conn.QueryRow(ctx, stop).Scan(&label); err != nil {
		return err
	}
	for name, content := range map[string]string{"backup_label": label, "standby.signal": ""} {
		path := filepath.Join(replica.dataDir(), name)
		if err := errors.Join(os.WriteFile(path, []byte(content), 0o600), handOver(path)); err != nil {
			return err
		}
	}
	return nil
}

func (p *postmaster) promote() error {
	ctx, cancel := context.WithTimeout(context.Background(), statementTimeout)
	defer cancel()
	conn, err := pgx.Connect(ctx, p.dsn())
	if err != nil {
		return fmt.Errorf("testdb: promote: %w", err)
	}
	defer conn.Close(ctx)
	var promoted bool
	if err := conn.QueryRow(ctx, "SELECT pg_promote()").Scan(&promoted); err != nil {
		return fmt.Errorf("testdb: promote: %w", err)
	}
	if !promoted {
		return errors.New("testdb: the replica was not promoted in time")
	}
	return nil
}

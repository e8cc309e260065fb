package testmigrations

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

const replicas = 10

// A replica that is alone in the middle of a migration, others that wait, and then the gate opens.
func together(t *testing.T, r role) {
	t.Parallel()
	s := newStage(t, r)
	all := s.startsTogether(replicas)
	if s.held != nil {
		s.awaitGated()
		s.awaitWaiters(replicas - 1)
		if r.kind == "postgres" {
			assert.Zero(t, s.int(kinds[r.kind].asleep), "nobody waits inside the server")
			// Who tries again has one for an instant.
			s.eventually(1, "nobody but the migration has a snapshot", `SELECT greatest(count(*), 1) FROM pg_stat_activity
				WHERE datname = current_database() AND backend_type = 'client backend' AND backend_xmin IS NOT NULL AND pid <> pg_backend_pid()`)
		}
	}

	s.openGate()

	s.done(all...)
	assert.Equal(t, map[string]int{"migrated": replicas}, s.outcomes())
	assert.Equal(t, "clean at 5", s.version())
	s.ranOnce(1, 2, 3, 5)
	s.leavesNobody()
}

// ranOnce fails the test unless these migrations have run, each once. The fourth could not run twice.
func (s *stage) ranOnce(versions ...int) {
	s.Helper()
	rows, err := s.db.QueryContext(s.Context(), "SELECT version FROM ran ORDER BY version")
	if !assert.NoError(s, err) {
		return
	}
	defer rows.Close()
	var all []int
	for rows.Next() {
		var version int
		assert.NoError(s, rows.Scan(&version))
		all = append(all, version)
	}
	assert.NoError(s, rows.Err())
	assert.Equal(s, versions, all)
	assert.Equal(s, 1000*201, s.int("SELECT sum(balance) FROM accounts"))
}

// killedBetween has a replica killed that has recorded a migration and not begun the next.
func killedBetween(t *testing.T, r role, others int) {
	t.Parallel()
	s := newStage(t, r)
	s.openGate()
	first := s.starts("between")
	first.Await("between")
	rest := s.startsTogether(others)
	if s.held != nil {
		s.awaitWaiters(others)
	}

	s.kills(first)

	s.done(rest...)
	assert.Equal(t, map[string]int{"migrated": others}, s.outcomes())
	assert.Equal(t, "clean at 5", s.version())
	s.ranOnce(1, 2, 3, 5)
	s.leavesNobody()
}

// killedInTheMiddle has a replica killed in the middle of the third migration.
func killedInTheMiddle(t *testing.T, r role, others int) {
	t.Parallel()
	s := newStage(t, r)
	first := s.starts("first")
	if s.held == nil {
		first.Await("in the middle")
	} else {
		s.awaitGated()
	}
	rest := s.startsTogether(others)
	if s.held != nil {
		s.awaitWaiters(others)
	}

	s.kills(first)
	if r.way == "open" {
		// What is left of the migration waits at the gate, in the server.
		s.done(rest...)
		s.openGate()
	} else {
		// It holds golang-migrate's own lock as well, and whoever opens the database waits for that.
		s.openGate()
		s.done(rest...)
	}

	assert.Equal(t, map[string]int{"dirty at 3": others}, s.outcomes())
	assert.Equal(t, "dirty at 3", s.version())
	s.leavesNobody()
	// A server goes on with the third for as long as it does not know that nobody waits for the answer. MySQL may have looked before the gate opened.
	if r.kind == "postgres" || s.int("SELECT count(*) FROM ran WHERE version = 3") > 0 {
		s.ranOnce(1, 2, 3)
	} else {
		s.ranOnce(1, 2)
	}
}

func TestReplicasThatStartTogetherOnPostgresMigrateOnce(t *testing.T) {
	t.Parallel()
	t.Run("Advisory, Up", func(t *testing.T) { together(t, role{kind: "postgres", lock: "advisory", way: "up"}) })
	t.Run("Table, Open", func(t *testing.T) { together(t, role{kind: "postgres", lock: "table", way: "open"}) })
}

func TestReplicasThatStartTogetherOnMySQLMigrateOnce(t *testing.T) {
	t.Parallel()
	t.Run("Named, Open", func(t *testing.T) { together(t, role{kind: "mysql", lock: "named", way: "open"}) })
	t.Run("Table, Up", func(t *testing.T) { together(t, role{kind: "mysql", lock: "table", way: "up"}) })
}

func TestReplicasThatStartTogetherOnSQLiteMigrateOnce(t *testing.T) {
	together(t, role{kind: "sqlite", lock: "table", way: "open"})
}

func TestReplicasGoOnWhereOneWasKilledOnPostgres(t *testing.T) {
	t.Parallel()
	t.Run("Advisory, Open", func(t *testing.T) {
		killedBetween(t, role{kind: "postgres", lock: "advisory", way: "open"}, replicas-1)
	})
	t.Run("Table, Up", func(t *testing.T) { killedBetween(t, role{kind: "postgres", lock: "table", way: "up"}, 3) })
}

func TestReplicasGoOnWhereOneWasKilledOnMySQL(t *testing.T) {
	t.Parallel()
	t.Run("Named, Up", func(t *testing.T) { killedBetween(t, role{kind: "mysql", lock: "named", way: "up"}, replicas-1) })
	t.Run("Table, Open", func(t *testing.T) { killedBetween(t, role{kind: "mysql", lock: "table", way: "open"}, 3) })
}

func TestReplicasReportAMigrationThatWasKilledOnPostgres(t *testing.T) {
	t.Parallel()
	t.Run("Advisory, Up", func(t *testing.T) { killedInTheMiddle(t, role{kind: "postgres", lock: "advisory", way: "up"}, 3) })
	t.Run("Advisory, Open", func(t *testing.T) {
		killedInTheMiddle(t, role{kind: "postgres", lock: "advisory", way: "open"}, replicas-1)
	})
	t.Run("Table, Open", func(t *testing.T) { killedInTheMiddle(t, role{kind: "postgres", lock: "table", way: "open"}, 3) })
}

func TestReplicasReportAMigrationThatWasKilledOnMySQL(t *testing.T) {
	t.Parallel()
	t.Run("Named, Open", func(t *testing.T) { killedInTheMiddle(t, role{kind: "mysql", lock: "named", way: "open"}, replicas-1) })
	t.Run("Table, Up", func(t *testing.T) { killedInTheMiddle(t, role{kind: "mysql", lock: "table", way: "up"}, 3) })
}

func TestReplicasReportAMigrationThatWasKilledOnSQLite(t *testing.T) {
	killedInTheMiddle(t, role{kind: "sqlite", lock: "table", way: "open"}, 3)
}

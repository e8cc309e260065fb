package testmigrations

import (
	"testing"
	"time"

	"github.com/sqllock/toolkit/internal/testdb"
)

func TestMain(m *testing.M) { testdb.Main(m) }

const (
	// patience is what a test waits for something that has to happen.
	patience = 60 * time.Second
	// poll is how often it looks.
	poll = 10 * time.Millisecond
)

// name is the lock of the migrations.
const name = "migrations"

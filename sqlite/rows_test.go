package sqlite_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sqllock/toolkit/internal/lease/leasetest"
	"github.com/sqllock/toolkit/sqlite"
	"github.com/sqllock/toolkit/sqllock"
)

func TestRows(t *testing.T) {
	leasetest.Run(t, func(t *testing.T) leasetest.Table {
		path := table().Fresh(t)
		db, err := open(path)
		require.NoError(t, err)
		t.Cleanup(func() { _ = db.Close() })
		return leasetest.Table{DB: db, Backend: func(namespace string) sqllock.Backend {
			b := sqlite.Table(path, sqlite.Namespace(namespace), sqlite.Poll(time.Minute))
			t.Cleanup(func() { _ = b.Close(context.Background()) })
			return b
		}}
	})
}

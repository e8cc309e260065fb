//go:build linux

package torture

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sqllock/toolkit/internal/testdb"
)

func TestMain(m *testing.M) {
	Main()
	testdb.Main(m)
}

func TestTorturePostgresAdvisory(t *testing.T) { torture(t, postgresAdvisory) }
func TestTorturePostgresTable(t *testing.T)    { torture(t, postgresTable) }
func TestTortureMySQLNamed(t *testing.T)       { torture(t, mysqlNamed) }
func TestTortureMySQLTable(t *testing.T)       { torture(t, mysqlTable) }
func TestTortureSQLiteTable(t *testing.T)      { torture(t, sqliteTable) }

// TestHistory judges a round again whose directory HISTORY names.
func TestHistory(t *testing.T) {
	t.Parallel()
	dir := os.Getenv("HISTORY")
	if dir == "" {
		t.Skip("there is none")
	}
	h, err := load(dir)
	require.NoError(t, err)
	judge(t, h, filepath.Join(dir, "linearization.html"))
	summarize(t, h, nil)
}

const (
	// short is how long things go wrong in a run of all tests.
	short = 15 * time.Second
	// long is the same in a round of a run that DURATION makes longer.
	long = 40 * time.Second
)

// torture does one round, or as many as fit into DURATION. SEED repeats the choices of a round that was reported.
func torture(t *testing.T, kind string) {
	t.Parallel()
	lasts, until := short, time.Duration(0)
	if text := os.Getenv("DURATION"); text != "" {
		d, err := time.ParseDuration(text)
		require.NoError(t, err, "DURATION")
		lasts, until = min(d, long), now()+d
	}
	for i := 0; i == 0 || now() < until && !t.Failed(); i++ {
		seed := rand.Uint64()
		if text := os.Getenv("SEED"); text != "" {
			var err error
			seed, err = strconv.ParseUint(text, 10, 64)
			require.NoError(t, err, "SEED")
			seed += uint64(i)
		}
		t.Run(strconv.FormatUint(seed, 10), func(t *testing.T) { round(t, kind, seed, lasts) })
	}
}

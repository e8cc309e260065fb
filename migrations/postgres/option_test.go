package postgres

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sqllock/toolkit/sqllock"
)

func TestSchemaThatCannotBeOneIsRefused(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"", "nul\x00", "\xff", strings.Repeat("x", 64)} {
		// Without a database: nothing is sent.
		require.ErrorIs(t, Up(t.Context(), nil, Schema(name)), sqllock.ErrInvalid)
		require.ErrorIs(t, Down(t.Context(), nil, Schema(name)), sqllock.ErrInvalid)
		_, err := Version(t.Context(), nil, Schema(name))
		require.ErrorIs(t, err, sqllock.ErrInvalid)
		assert.ErrorContains(t, err, "migrations/postgres: ")
	}
}

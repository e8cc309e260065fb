package testdb

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestTerminalIsReadBehindAnyCommandName(t *testing.T) {
	t.Parallel()
	assert.False(t, hasTerminal([]byte("17 (postgres) S 1 17 17 0 -1 4194560")))
	assert.True(t, hasTerminal([]byte("17 (bash) S 1 17 17 34816 17 4194304")))
	assert.True(t, hasTerminal([]byte("17 (a) 0 0 (b) S 1 17 17 34816 17 4194304")))
	assert.False(t, hasTerminal([]byte("17 (a) 1 1 1 1 (b) S 1 17 17 0 -1 4194304")))
}

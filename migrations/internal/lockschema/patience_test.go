package lockschema

import (
	"context"
	"errors"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var errBusy = errors.New("somebody else is at work")

func busy(err error) bool { return errors.Is(err, errBusy) }

func TestPatienceLastsUntilNobodyIsAtWork(t *testing.T) {
	t.Parallel()
	other := errors.New("no such table")
	for _, last := range []error{nil, other} {
		attempts := 0
		err := patiently(t.Context(), busy, func() error {
			if attempts++; attempts < 4 {
				return errBusy
			}
			return last
		})
		assert.Equal(t, last, err)
		assert.Equal(t, 4, attempts)
	}
}

func TestPatienceEndsWithTheContext(t *testing.T) {
	t.Parallel()
	reason := errors.New("shutting down")
	ctx, cancel := context.WithCancelCause(t.Context())
	attempts := 0
	err := patiently(ctx, busy, func() error {
		if attempts++; attempts == 3 {
			cancel(reason)
		}
		return errBusy
	})
	require.ErrorIs(t, err, reason)
	require.ErrorIs(t, err, errBusy, "says what it waited for")
	assert.Equal(t, 3, attempts)
}

package sqllock

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestHeldErrorMatchesItsKindAndItsCause(t *testing.T) {
	err := fmt.Errorf("wrapped: %w", &HeldError{Name: "n", Cause: context.DeadlineExceeded})
	assert.ErrorIs(t, err, ErrNotAcquired)
	assert.ErrorIs(t, err, context.DeadlineExceeded)
	assert.NotErrorIs(t, err, ErrLost)
	assert.NotErrorIs(t, err, context.Canceled)
	var held *HeldError
	require.ErrorAs(t, err, &held)
	assert.NotErrorIs(t, &HeldError{Name: "n"}, context.DeadlineExceeded)
}

func TestLostErrorMatchesItsKindAndItsReason(t *testing.T) {
	errWire := errors.New("the connection broke")
	for _, reason := range []error{ErrExpired, ErrForced, ErrEvicted, errWire} {
		err := fmt.Errorf("wrapped: %w", &LostError{Name: "n", Reason: reason})
		assert.ErrorIs(t, err, ErrLost)
		assert.ErrorIs(t, err, reason)
		assert.NotErrorIs(t, err, ErrNotAcquired)
		assert.NotErrorIs(t, err, ErrReleased)
	}
}

func TestErrorsSayWhoAndWhy(t *testing.T) {
	expires := time.Date(2024, 2, 29, 12, 30, 45, 678e6, time.FixedZone("", 3600))
	for want, err := range map[string]error{
		`sqllock: lock "n" not acquired`:                                                    &HeldError{Name: "n"},
		`sqllock: lock "n" not acquired: held by a transaction`:                             &HeldError{Name: "n", Detail: "a transaction"},
		`sqllock: lock "n" not acquired: held by host/7 until 11:30:45.678Z unless renewed`: &HeldError{Name: "n", Owner: "host/7", Expires: expires, Detail: "x"},
		`sqllock: lock "n" not acquired: waited 1s`:                                         &HeldError{Name: "n", Cause: waitedError(time.Second)},
		`sqllock: lock "n" lost: released by force`:                                         &LostError{Name: "n", Reason: ErrForced},
	} {
		assert.EqualError(t, err, want)
	}
}

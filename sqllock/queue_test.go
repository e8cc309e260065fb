package sqllock

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func newQueue() *queue { return &queue{lines: make(map[string]*line)} }

// standing is somebody who stands in line.
type standing struct {
	ticket *ticket
	leave  context.CancelCauseFunc
	turn   chan error
}

// stand enters the line in another goroutine.
func (q *queue) stand(mode Mode, permits int) *standing {
	ctx, leave := context.WithCancelCause(context.Background())
	s := &standing{&ticket{key: "n", mode: mode, permits: permits}, leave, make(chan error, 1)}
	go func() { s.turn <- q.enter(ctx, s.ticket) }()
	synctest.Wait()
	return s
}

func (s *standing) hasTurn(t *testing.T) bool {
	synctest.Wait()
	select {
	case err := <-s.turn:
		require.NoError(t, err)
		return true
	default:
		return false
	}
}

// holding enters the line and is granted at once.
func (q *queue) holding(t *testing.T, mode Mode, permits int) *ticket {
	s := q.stand(mode, permits)
	require.True(t, s.hasTurn(t))
	q.granted(s.ticket)
	return s.ticket
}

func TestLineIsServedInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue()
		held := q.holding(t, ModeExclusive, 0)
		var line []*standing
		for range 5 {
			line = append(line, q.stand(ModeExclusive, 0))
		}
		for i, s := range line {
			q.release(held)
			require.True(t, s.hasTurn(t), "%d", i)
			for _, later := range line[i+1:] {
				require.False(t, later.hasTurn(t))
			}
			q.granted(s.ticket)
			held = s.ticket
		}
		q.release(held)
		assert.Empty(t, q.lines, "a line that nobody needs is forgotten")
	})
}

func TestOnlyTheHeadOfALineGoesToTheDatabase(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue()
		first, second := q.stand(ModeShared, 0), q.stand(ModeShared, 0)
		require.True(t, first.hasTurn(t))
		require.False(t, second.hasTurn(t), "though both could hold")
		q.granted(first.ticket)
		require.True(t, second.hasTurn(t))
		q.leave(second.ticket)
		q.release(first.ticket)
		assert.Empty(t, q.lines)
	})
}

func TestReaderDoesNotOvertakeAWriterInLine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue()
		reader := q.holding(t, ModeShared, 0)
		writer, late := q.stand(ModeExclusive, 0), q.stand(ModeShared, 0)
		require.False(t, writer.hasTurn(t))
		require.False(t, late.hasTurn(t))
		q.release(reader)
		require.True(t, writer.hasTurn(t))
		q.granted(writer.ticket)
		require.False(t, late.hasTurn(t))
		q.release(writer.ticket)
		require.True(t, late.hasTurn(t))
		q.leave(late.ticket)
	})
}

func TestPermitsAreCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue()
		one, two := q.holding(t, ModePermit, 2), q.holding(t, ModePermit, 2)
		third, shared := q.stand(ModePermit, 2), q.stand(ModeShared, 0)
		require.False(t, third.hasTurn(t))
		q.release(one)
		require.True(t, third.hasTurn(t))
		q.granted(third.ticket)
		q.release(two)
		require.False(t, shared.hasTurn(t), "permits exclude readers")
		q.release(third.ticket)
		require.True(t, shared.hasTurn(t))
		q.leave(shared.ticket)
		assert.Empty(t, q.lines)
	})
}

func TestWhoLeavesTheLineMakesRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue()
		errLeft := errors.New("left")
		reader := q.holding(t, ModeShared, 0)
		writer, behind := q.stand(ModeExclusive, 0), q.stand(ModeShared, 0)
		require.False(t, behind.hasTurn(t))
		writer.leave(errLeft)
		require.ErrorIs(t, <-writer.turn, errLeft)
		require.True(t, behind.hasTurn(t))
		q.leave(behind.ticket)
		q.release(reader)
		assert.Empty(t, q.lines)
	})
}

// Whichever of the two the waiter sees first, the turn is not lost.
func TestTurnOfOneWhoLeavesAtThatInstantIsPassedOn(t *testing.T) {
	for range 200 {
		synctest.Test(t, func(t *testing.T) {
			q := newQueue()
			held := q.holding(t, ModeExclusive, 0)
			leaving, next := q.stand(ModeExclusive, 0), q.stand(ModeExclusive, 0)
			q.mu.Lock() // it can see neither before both have happened
			leaving.leave(nil)
			l := q.lines["n"]
			l.held[ModeExclusive]--
			q.advance(held.key, l)
			q.mu.Unlock()
			if err := <-leaving.turn; err == nil {
				q.leave(leaving.ticket)
			}
			require.True(t, next.hasTurn(t))
			q.leave(next.ticket)
			assert.Empty(t, q.lines)
		})
	}
}

func TestSingleAttemptDoesNotStandInLine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue()
		head := q.stand(ModeExclusive, 0) // gone to the database
		require.True(t, head.hasTurn(t))
		behind := q.stand(ModeExclusive, 0)

		bypass := &ticket{key: "n"}
		ok, err := q.tryEnter(bypass)
		require.NoError(t, err)
		require.True(t, ok, "the database knows better than the line")
		q.leave(bypass)
		require.False(t, behind.hasTurn(t), "whose head is still away")

		ok, err = q.tryEnter(bypass)
		require.NoError(t, err)
		require.True(t, ok)
		q.granted(bypass)
		q.leave(head.ticket)
		require.False(t, behind.hasTurn(t), "this process holds the key")
		ok, err = q.tryEnter(&ticket{key: "n"})
		require.NoError(t, err)
		require.False(t, ok)
		q.release(bypass)
		require.True(t, behind.hasTurn(t))
		q.leave(behind.ticket)
		assert.Empty(t, q.lines)
	})
}

func TestLineOfAnAttemptUnderWayIsKept(t *testing.T) {
	q := newQueue()
	one, two := &ticket{key: "n"}, &ticket{key: "n"}
	for _, tk := range []*ticket{one, two} {
		ok, err := q.tryEnter(tk)
		require.NoError(t, err)
		require.True(t, ok)
	}
	q.leave(one)
	q.granted(two)
	assert.True(t, q.holds(one))
	q.release(two)
	assert.False(t, q.holds(one))
	assert.Empty(t, q.lines)
}

func TestClosedQueueLetsNobodyIn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue()
		held := q.holding(t, ModeExclusive, 0)
		waiting := q.stand(ModeExclusive, 0)
		q.close()
		require.ErrorIs(t, <-waiting.turn, ErrClosed)
		require.ErrorIs(t, q.enter(t.Context(), &ticket{key: "m"}), ErrClosed)
		_, err := q.tryEnter(&ticket{key: "m"})
		require.ErrorIs(t, err, ErrClosed)
		q.release(held)
	})
}

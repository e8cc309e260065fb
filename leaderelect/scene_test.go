package leaderelect_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sqllock/toolkit/leaderelect"
	"github.com/sqllock/toolkit/sqllock"
)

// scene is an election in a bubble of time.
type scene struct {
	*testing.T
	db *fakeDatabase
}

// play runs a test in a bubble. All candidates have to be able to end when it is over.
func play(t *testing.T, test func(s *scene)) {
	t.Helper()
	t.Parallel()
	synctest.Test(t, func(t *testing.T) { test(&scene{T: t, db: newFakeDatabase()}) })
}

// candidate is one process that takes part.
type candidate struct {
	*leaderelect.Elector
	scene  *scene
	locks  *sqllock.Client
	stop   context.CancelCauseFunc
	ended  chan error // has what Run returned
	inside atomic.Int32

	mu      sync.Mutex
	terms   []leaderelect.Term
	elected []time.Time
	reasons []error
}

// candidate makes one whose terms last until something else ends them, unless configure says so.
func (s *scene) candidate(id string, configure func(c *leaderelect.Config)) *candidate {
	s.Helper()
	c := &candidate{scene: s, ended: make(chan error, 1)}
	c.locks = sqllock.New(s.db, sqllock.Owner(id))
	s.Cleanup(func() { _ = c.locks.Close(context.Background()) })
	cfg := leaderelect.Config{Value: map[string]string{"address": "of " + id}}
	if configure != nil {
		configure(&cfg)
	}
	onElected, onDemoted := cfg.OnElected, cfg.OnDemoted
	if onElected == nil {
		onElected = func(ctx context.Context, _ leaderelect.Term) error {
			<-ctx.Done()
			return nil
		}
	}
	cfg.OnElected = func(ctx context.Context, term leaderelect.Term) error {
		defer c.enter()()
		c.mu.Lock()
		c.terms = append(c.terms, term)
		c.elected = append(c.elected, time.Now())
		c.mu.Unlock()
		return onElected(ctx, term)
	}
	cfg.OnDemoted = func(term leaderelect.Term, reason error) {
		defer c.enter()()
		c.mu.Lock()
		c.reasons = append(c.reasons, reason)
		assert.Len(s, c.reasons, len(c.terms), "one for each")
		assert.Equal(s, c.terms[len(c.terms)-1], term)
		c.mu.Unlock()
		assert.False(s, term.Valid())
		if onDemoted != nil {
			onDemoted(term, reason)
		}
	}
	var err error
	c.Elector, err = leaderelect.New(c.locks, "election", cfg)
	require.NoError(s, err)
	return c
}

// enter notices callbacks that overlap.
func (c *candidate) enter() (leave func()) {
	assert.EqualValues(c.scene, 1, c.inside.Add(1), "callbacks overlap")
	return func() { c.inside.Add(-1) }
}

// run starts to campaign, and has the campaign wait.
func (c *candidate) run() *candidate {
	ctx, stop := context.WithCancelCause(c.scene.Context())
	c.stop = stop
	go func() { c.ended <- c.Run(ctx) }()
	synctest.Wait()
	return c
}

func (c *candidate) count() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.terms)
}

// reason is why the last term has ended.
func (c *candidate) reason() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	require.NotEmpty(c.scene, c.reasons)
	return c.reasons[len(c.reasons)-1]
}

// leads checks that everything says that c leads its nth term.
func (c *candidate) leads(n int) {
	c.scene.Helper()
	synctest.Wait()
	require.Equal(c.scene, n, c.count())
	require.NoError(c.scene, c.IsLeader(c.scene.Context()))
	require.True(c.scene, c.terms[n-1].Valid())
	require.True(c.scene, c.Stats().Leading)
}

// follows checks that c has led n terms, and does not lead.
func (c *candidate) follows(n int) {
	c.scene.Helper()
	synctest.Wait()
	require.Equal(c.scene, n, c.count())
	require.ErrorIs(c.scene, c.IsLeader(c.scene.Context()), leaderelect.ErrNotLeader)
	require.False(c.scene, c.Stats().Leading)
	require.EqualValues(c.scene, n, c.Stats().Terms)
}

// ends waits until Run has returned.
func (c *candidate) ends() error {
	c.scene.Helper()
	synctest.Wait()
	select {
	case err := <-c.ended:
		return err
	default:
		c.scene.Fatal("Run goes on")
		return nil
	}
}

// leave ends Run.
func (c *candidate) leave() {
	c.scene.Helper()
	c.stop(nil)
	require.NoError(c.scene, c.ends())
}

func (s *scene) address(c *candidate) string {
	s.Helper()
	l, err := c.Leader(s.Context())
	require.NoError(s, err)
	return fmt.Sprint(l.ID, " ", l.Token, " ", l.Value["address"])
}

package main

import (
	"context"
	"time"
)

// settled waits until the number of connections has not changed for half a second, or for a time in which even a thousand are opened.
func (s *server) settled(ctx context.Context) error {
	const still, pause, patience = 10, 50 * time.Millisecond, 20 * time.Second
	last, same := -1.0, 0
	for begin := time.Now(); ; {
		n, err := s.connections()
		if err != nil {
			return err
		}
		if same++; n != last {
			last, same = n, 0
		}
		if same >= still || time.Since(begin) > patience {
			return nil
		}
		if err := sleep(ctx, pause); err != nil {
			return err
		}
	}
}

// count has the server count its statements until the function that it returns is called.
func (s *server) count(ctx context.Context) (stop func() error, err error) {
	if s.counting == nil {
		return func() error { return nil }, nil
	}
	return func() error { return s.counting(context.WithoutCancel(ctx), false) }, s.counting(ctx, true)
}

// rate is how many statements the server is asked in a second, over d; nothing where nobody counts.
func (s *server) rate(ctx context.Context, d time.Duration) ([]float64, error) {
	if s.statements == nil {
		return nil, nil
	}
	before, err := s.statements(ctx)
	if err != nil {
		return nil, err
	}
	start := time.Now()
	if err := sleep(ctx, d); err != nil {
		return nil, err
	}
	after, err := s.statements(ctx)
	return []float64{float64(after-before-s.self) / time.Since(start).Seconds()}, err
}

// pinned looks several times for transactions that others have open.
func (s *server) pinned(ctx context.Context) (found []float64, err error) {
	if s.snapshots == nil {
		return nil, nil
	}
	for range 7 {
		n, err := s.snapshots(ctx)
		if err != nil {
			return nil, err
		}
		found = append(found, float64(n))
		if err := sleep(ctx, 23*time.Millisecond); err != nil {
			return nil, err
		}
	}
	return found, nil
}

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

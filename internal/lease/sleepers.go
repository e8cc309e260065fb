package lease

import (
	"time"

	"github.com/sqllock/toolkit/sqllock"
)

// sleepers are the attempts that wait for a push or for their time. One timer serves them all. Guarded by Engine.mu.
type sleepers struct {
	engine *Engine
	set    map[*attempt]struct{}
	timer  sqllock.Timer
	next   time.Duration // when the timer fires; 0 while it is not set
}

// add lets a sleep for at most d.
func (s *sleepers) add(a *attempt, d time.Duration) {
	a.state = sleeping
	a.wakeAt = s.engine.clock.Now() + d
	s.set[a] = struct{}{}
	if s.next == 0 || a.wakeAt < s.next {
		s.arm(a.wakeAt)
	}
}

func (s *sleepers) remove(a *attempt) { delete(s.set, a) }

func (s *sleepers) each(f func(*attempt)) {
	for a := range s.set {
		f(a)
	}
}

func (s *sleepers) arm(at time.Duration) {
	s.next = at
	d := max(at-s.engine.clock.Now(), 0)
	if s.timer == nil {
		s.timer = s.engine.clock.AfterFunc(d, s.wake)
		return
	}
	s.timer.Reset(d)
}

// wake queues everybody whose time has come. Who would be due soon after comes along, so that many waiting names cost one
// statement and not one each.
func (s *sleepers) wake() {
	e := s.engine
	e.mu.Lock()
	defer e.mu.Unlock()
	s.next = 0
	now := e.clock.Now()
	var first time.Duration
	for a := range s.set {
		slack := time.Duration(0)
		if a.busy == 0 && a.failures == 0 && a.wait {
			slack = e.store.Poll() / 8
		}
		if a.wakeAt <= now+slack {
			s.remove(a)
			e.requeueLocked(a)
		} else if first == 0 || a.wakeAt < first {
			first = a.wakeAt
		}
	}
	if first != 0 {
		s.arm(first)
	}
}

//go:build linux

package torture

import (
	"context"
	"database/sql"
	"fmt"
	"time"
)

// A trouble is one way in which things go wrong.
type trouble struct {
	kind     string
	ends     bool                                            // sessions end by it, so that the server frees their locks at once
	longest  time.Duration                                   // how long it lasts at most; 0: it is over at once
	outlasts bool                                            // it lasts for so long after the locks of who is concerned have ended
	often    int                                             // so many times as often as others; 0 is 1
	alone    bool                                            // nothing else begins meanwhile
	backend  func(kind string) bool                          // where it can happen
	begin    func(b *bed) (who []int, end func(), err error) // who nil: everybody; empty: not now
}

// clockJump is known to the checks: leases assume that it does not happen.
const clockJump = "the database's clock jumps"

func anywhere(string) bool    { return true }
func onServers(k string) bool { return k != sqliteTable }
func onTables(k string) bool  { return k == postgresTable || k == mysqlTable }
func onMySQL(k string) bool   { return k == mysqlNamed || k == mysqlTable }
func onSQLite(k string) bool  { return k == sqliteTable }

var troubles = []trouble{
	{kind: "client stopped", longest: 5 * time.Second, backend: anywhere, begin: stopClient},
	{kind: "client stopped for an instant", longest: 300 * time.Millisecond, backend: anywhere, begin: stopClient},
	{kind: "client stopped in a transaction", longest: 2 * time.Second, outlasts: true, often: 3, alone: true, backend: anywhere, begin: freezeClient},
	{kind: "client killed", ends: true, backend: anywhere, begin: killClient},
	{kind: "server killed", ends: true, longest: time.Second, alone: true, backend: onServers, begin: killServer},
	{kind: "server restarted", ends: true, alone: true, backend: onServers, begin: restartServer},
	{kind: "server stopped", longest: 4 * time.Second, alone: true, backend: onServers, begin: pauseServer},
	{kind: "session ended", ends: true, backend: onServers, begin: endSession},
	{kind: "all sessions ended", ends: true, backend: onServers, begin: endSessions},
	{kind: "statement killed", backend: onMySQL, begin: killQuery},
	{kind: "connections used up", longest: 2 * time.Second, backend: onServers, begin: fillUp},
	{kind: "renewals hang", longest: 3 * time.Second, backend: onTables, begin: hangRenewals},
	{kind: "file locked", longest: 3 * time.Second, backend: onSQLite, begin: lockFile},
	{kind: "answers lost", longest: 2 * time.Second, outlasts: true, backend: onServers, begin: loseAnswers},
	{kind: "questions lost", longest: 2 * time.Second, outlasts: true, backend: onServers, begin: loseQuestions(cmdIsolate)},
	{kind: "everything lost", longest: 2 * time.Second, outlasts: true, alone: true, backend: onServers, begin: loseQuestions(cmdSilence)},
	{kind: clockJump, longest: 4 * time.Second, backend: onServers, begin: jumpClock},
	{kind: "latency", longest: 3 * time.Second, backend: onServers, begin: toxic("latency", `{"latency": 150, "jitter": 150}`)},
	{kind: "narrow", longest: 3 * time.Second, backend: onServers, begin: toxic("bandwidth", `{"rate": 1}`)},
	{kind: "in pieces", longest: 3 * time.Second, backend: onServers, begin: toxic("slicer", `{"average_size": 20, "size_variation": 15, "delay": 2000}`)},
	{kind: "black hole", ends: true, longest: 4 * time.Second, backend: onServers, begin: toxic("timeout", `{"timeout": 0}`)},
	{kind: "connections reset", ends: true, longest: time.Second, backend: onServers, begin: toxic("reset_peer", `{"timeout": 0}`)},
	{kind: "connections cut", ends: true, longest: time.Second, backend: onServers, begin: cut},
	{kind: "proxies killed", ends: true, backend: onServers, begin: killProxies},
}

func stopClient(b *bed) ([]int, func(), error) {
	s := b.free(func(s *slot) bool { return true })
	if s == nil {
		return []int{}, nil, nil
	}
	s.busy = true
	return []int{s.process.number}, func() {
		s.busy = false
		b.must(s.process.resume())
	}, s.process.stop()
}

func freezeClient(b *bed) ([]int, func(), error) {
	s := b.free(func(s *slot) bool { return true })
	if s == nil {
		return []int{}, nil, nil
	}
	s.busy = true
	return []int{s.process.number}, func() {
		s.busy = false
		b.must(s.process.resume())
	}, s.process.freeze()
}

func killClient(b *bed) ([]int, func(), error) {
	s := b.free(func(s *slot) bool { return true })
	if s == nil {
		return []int{}, nil, nil
	}
	who := []int{s.process.number}
	if err := s.process.kill(); err != nil {
		return who, nil, err
	}
	return who, nil, b.start(s)
}

func killServer(b *bed) ([]int, func(), error) {
	b.server.machine.Kill()
	return nil, b.server.machine.Start, nil
}

func restartServer(b *bed) ([]int, func(), error) {
	b.server.machine.Stop()
	b.server.machine.Start()
	return nil, nil, nil
}

func pauseServer(b *bed) ([]int, func(), error) {
	b.server.machine.Pause()
	return nil, b.server.machine.Resume, nil
}

// endSession ends one session of anybody.
func endSession(b *bed) ([]int, func(), error) {
	ids, err := b.sessions()
	if len(ids) == 0 || err != nil {
		return []int{}, nil, nil // the server is not well
	}
	b.end(ids[b.random.IntN(len(ids))])
	return nil, nil, nil
}

func endSessions(b *bed) ([]int, func(), error) {
	ids, err := b.sessions()
	if len(ids) == 0 || err != nil {
		return []int{}, nil, nil
	}
	for _, id := range ids {
		b.end(id)
	}
	return nil, nil, nil
}

func killQuery(b *bed) ([]int, func(), error) {
	ids, err := b.sessions()
	if len(ids) == 0 || err != nil {
		return []int{}, nil, nil
	}
	for _, id := range ids {
		if b.random.IntN(3) == 0 {
			_ = b.server.do(fmt.Sprintf("KILL QUERY %d", id)) // an error: it has gone
		}
	}
	return nil, nil, nil
}

// fillUp opens connections until the server takes no more.
func fillUp(b *bed) ([]int, func(), error) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	var taken []*sql.Conn
	for range connections {
		conn, err := b.server.admin.Conn(ctx)
		if err != nil {
			break
		}
		taken = append(taken, conn)
	}
	return nil, func() {
		for _, conn := range taken {
			_ = conn.Close()
		}
	}, nil
}

// hangRenewals has somebody lock the rows that sessions renew.
func hangRenewals(b *bed) ([]int, func(), error) {
	return b.transaction("SELECT id FROM sqllock_sessions FOR UPDATE")
}

// lockFile has somebody write, for long.
func lockFile(b *bed) ([]int, func(), error) {
	return b.transaction("UPDATE register SET value = value")
}

func loseAnswers(b *bed) ([]int, func(), error) {
	s := b.free(func(s *slot) bool { return s.ways == nil })
	if s == nil {
		return []int{}, nil, nil
	}
	s.busy = true
	return []int{s.process.number}, func() {
		s.busy = false
		b.must(s.process.tell(cmdRestore))
	}, s.process.tell(cmdSilence)
}

// loseQuestions drops what a client sends. What the client is told says whether it also loses the answers.
func loseQuestions(command string) func(b *bed) ([]int, func(), error) {
	return func(b *bed) ([]int, func(), error) {
		s := b.free(func(s *slot) bool { return s.ways == nil })
		if s == nil {
			return []int{}, nil, nil
		}
		s.busy = true
		b.must(s.process.tell(command))
		l, err := lose(b.server.address, b.server.machine.Dir(), s.process.cmd.Process.Pid)
		return []int{s.process.number}, func() {
			s.busy = false
			b.must(l.end())
			b.must(s.process.tell(cmdRestore))
		}, err
	}
}

// jumpClock sets the database's clock, and later sets it right again: each is a jump.
func jumpClock(b *bed) ([]int, func(), error) {
	ahead := time.Duration(b.random.Int64N(int64(4*ttl))) - 2*ttl
	b.server.machine.JumpClock(ahead)
	return nil, func() { b.server.machine.JumpClock(0) }, nil
}

// toxic puts something into a proxy, on the way there, the way back, or both.
func toxic(kind, attributes string) func(b *bed) ([]int, func(), error) {
	return func(b *bed) ([]int, func(), error) {
		s, ways := b.ways()
		if s == nil {
			return []int{}, nil, nil
		}
		streams := [][]string{{"upstream"}, {"downstream"}, {"upstream", "downstream"}}[b.random.IntN(3)]
		for _, way := range ways {
			for _, stream := range streams {
				text := fmt.Sprintf(`{"name": %q, "type": %q, "stream": %q, "attributes": %s}`, stream, kind, stream, attributes)
				if b.proxies.ask(proxyRequest{Way: way, Do: proxyAdd, What: text}) != nil {
					s.busy = false
					b.replaceProxies()
					return []int{}, nil, nil
				}
			}
		}
		return []int{s.process.number}, func() {
			s.busy = false
			for _, way := range ways {
				for _, stream := range streams {
					if b.proxies.ask(proxyRequest{Way: way, Do: proxyRemove, What: stream}) != nil {
						b.replaceProxies()
						return
					}
				}
			}
		}, nil
	}
}

// cut closes connections, and takes no new ones.
func cut(b *bed) ([]int, func(), error) {
	s, ways := b.ways()
	if s == nil {
		return []int{}, nil, nil
	}
	for _, way := range ways {
		if b.proxies.ask(proxyRequest{Way: way, Do: proxyCut}) != nil {
			s.busy = false
			b.replaceProxies()
			return []int{}, nil, nil
		}
	}
	return []int{s.process.number}, func() {
		s.busy = false
		for _, way := range ways {
			if b.proxies.ask(proxyRequest{Way: way, Do: proxyMend}) != nil {
				b.replaceProxies()
				return
			}
		}
	}, nil
}

func killProxies(b *bed) ([]int, func(), error) {
	for _, s := range b.slots {
		if s.ways != nil && s.busy {
			return []int{}, nil, nil // something else is in its proxies
		}
	}
	b.replaceProxies()
	return []int{}, nil, nil // it has told so itself
}

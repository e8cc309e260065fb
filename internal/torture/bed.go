//go:build linux

package torture

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// bed is a database, processes that use it, and everything that can happen to them.
type bed struct {
	tb      testing.TB
	kind    string
	seed    uint64
	random  *rand.Rand
	dir     string // histories and what clients have said
	names   []name
	server  *server
	proxies *proxies // nil: SQLite
	slots   []*slot
	gone    []*process // killed
	numbers int
	rec     *recorder // what the test itself does

	active   []*active
	faults   int
	injected map[string]int
}

// slot is where one client process runs, and after its death the next.
type slot struct {
	process *process
	ways    []int // the proxies to the locks and to the data; nil: it connects to the server itself
	busy    bool  // a fault of its own is under way
}

// active is a trouble that has not ended.
type active struct {
	trouble
	id    int
	until time.Duration
	end   func()
}

func newBed(tb testing.TB, kind string, seed uint64, dir string, clients int, names []name) *bed {
	b := &bed{
		tb: tb, kind: kind, seed: seed, random: random(seed), dir: dir, names: names,
		injected: make(map[string]int),
	}
	b.server = startServer(tb, kind, dir, names)
	var err error
	b.rec, err = newRecorder(0, filepath.Join(dir, "process-0.jsonl"))
	require.NoError(tb, err)
	b.slots = make([]*slot, clients)
	for i := range b.slots {
		b.slots[i] = &slot{}
	}
	if b.server.machine != nil {
		b.proxies = &proxies{}
		for i := 0; i < clients; i += 2 {
			n := len(b.proxies.routes)
			b.slots[i].ways = []int{n, n + 1}
			r := route{Listen: "127.0.0.1:0", Upstream: b.server.address}
			b.proxies.routes = append(b.proxies.routes, r, r)
		}
		require.NoError(tb, b.proxies.start())
		tb.Cleanup(b.proxies.kill)
	}
	for _, s := range b.slots {
		require.NoError(tb, b.start(s))
	}
	tb.Cleanup(func() {
		for _, s := range b.slots {
			if s.process != nil && s.process.cmd.ProcessState == nil {
				_ = s.process.kill()
			}
		}
	})
	return b
}

// workers is how many goroutines of a client take locks.
const workers = 4

// start runs a client in a slot.
func (b *bed) start(s *slot) error {
	if s.process != nil {
		b.gone = append(b.gone, s.process)
	}
	b.numbers++
	a := assignment{
		Process: b.numbers, Kind: b.kind, Names: b.names, Workers: workers, Seed: b.seed + uint64(b.numbers),
		Locks: b.server.dsn(b.server.address), Data: b.server.dsn(b.server.address),
	}
	if s.ways != nil {
		a.Locks, a.Data = b.server.dsn(b.proxies.routes[s.ways[0]].Listen), b.server.dsn(b.proxies.routes[s.ways[1]].Listen)
	}
	var err error
	s.process, err = startProcess(a, b.dir)
	return err
}

// must is for what has to work so that a round means anything.
func (b *bed) must(err error) {
	b.tb.Helper()
	require.NoError(b.tb, err)
}

// free is a random slot that nothing happens to.
func (b *bed) free(fits func(*slot) bool) *slot {
	var all []*slot
	for _, s := range b.slots {
		if !s.busy && fits(s) {
			all = append(all, s)
		}
	}
	if len(all) == 0 {
		return nil
	}
	return all[b.random.IntN(len(all))]
}

// ways chooses a proxied client, and its way to the locks, to the data, or both; the client is busy from then on.
func (b *bed) ways() (*slot, []int) {
	s := b.free(func(s *slot) bool { return s.ways != nil })
	if s == nil {
		return nil, nil
	}
	s.busy = true
	return s, [][]int{s.ways[:1], s.ways[1:], s.ways}[b.random.IntN(3)]
}

func (b *bed) sessions() ([]int64, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	return b.server.sessions(ctx)
}

// end ends a session, if it is still there.
func (b *bed) end(session int64) {
	statement := fmt.Sprintf("SELECT pg_terminate_backend(%d)", session)
	if b.server.mysql() {
		statement = fmt.Sprintf("KILL %d", session)
	}
	_ = b.server.do(statement)
}

// transaction keeps a transaction open that has executed a statement. Its end does not wait for the server, which may be stopped by then.
func (b *bed) transaction(statement string) ([]int, func(), error) {
	ctx, end := context.WithCancel(context.Background())
	late := time.AfterFunc(2*time.Second, end)
	tx, err := b.server.admin.BeginTx(ctx, nil)
	if err == nil {
		_, err = tx.ExecContext(ctx, statement)
	}
	if !late.Stop() || err != nil {
		end()
		return []int{}, nil, nil
	}
	return nil, end, nil
}

// torment does random things to everybody until the time is over, and then mends everything.
func (b *bed) torment(until time.Duration) {
	var deck []trouble
	next := now() + 500*time.Millisecond
	for {
		b.mend(now())
		t := now()
		if t >= until {
			break
		}
		if t >= next {
			if len(deck) == 0 {
				deck = b.shuffle()
			}
			if b.inject(deck[0]) {
				deck = deck[1:]
			}
			next = now() + time.Duration(b.random.Int64N(int64(600*time.Millisecond)))
		}
		wake := min(next, until)
		for _, a := range b.active {
			wake = min(wake, a.until)
		}
		time.Sleep(max(wake-now(), time.Millisecond)) // the rhythm of the faults
	}
	b.mend(never)
}

// shuffle puts everything that can happen into a random order: each will have happened before it does again. First comes that
// which only a Guard protects from.
func (b *bed) shuffle() []trouble {
	var deck []trouble
	for _, t := range troubles {
		for range max(t.often, 1) {
			if t.backend(b.kind) {
				deck = append(deck, t)
			}
		}
	}
	b.random.Shuffle(len(deck), func(i, j int) { deck[i], deck[j] = deck[j], deck[i] })
	first := slices.IndexFunc(deck, func(t trouble) bool { return t.often > 1 })
	deck[0], deck[first] = deck[first], deck[0]
	return deck
}

// atOnce is how many troubles there are at a time.
const atOnce = 3

// inject begins a trouble, and returns whether its turn is over.
func (b *bed) inject(t trouble) bool {
	if len(b.active) >= atOnce {
		return false
	}
	for _, a := range b.active {
		if a.alone {
			return false
		}
	}
	b.faults++
	id := b.faults
	from := now()
	who, end, err := t.begin(b)
	if err != nil {
		b.tb.Fatalf("%s: %v", t.kind, err)
	}
	if who != nil && len(who) == 0 {
		return true
	}
	b.injected[t.kind]++
	b.rec.record(Event{At: from, What: evFault, Fault: id, Reason: t.kind, Who: who, Ends: t.ends})
	if end == nil {
		b.rec.record(Event{What: evHealed, Fault: id})
		return true
	}
	part := b.random.Float64()
	lasts := time.Duration(part * part * float64(t.longest)) // most are short, so that much happens
	if t.outlasts {
		lasts += 3 * b.timeout() / 2
	}
	b.active = append(b.active, &active{t, id, now() + lasts, end})
	return true
}

// timeout is how long a lock outlives the last sign of life of its holder.
func (b *bed) timeout() time.Duration {
	if leases(b.kind) {
		return ttl
	}
	return sessionTimeout
}

// replaceProxies kills the proxies and starts them anew, as they were in the beginning.
func (b *bed) replaceProxies() {
	const kind = "proxies killed"
	b.faults++
	b.injected[kind]++
	e := Event{What: evFault, Fault: b.faults, Reason: kind, Ends: true}
	b.rec.record(e)
	b.proxies.kill()
	b.must(b.proxies.start())
	b.rec.record(Event{What: evHealed, Fault: e.Fault})
}

// mend ends the troubles whose time has come.
func (b *bed) mend(by time.Duration) {
	for _, a := range slices.Clone(b.active) {
		if a.until <= by {
			a.end()
			b.rec.record(Event{What: evHealed, Fault: a.id})
			b.active = slices.DeleteFunc(b.active, func(other *active) bool { return other == a })
		}
	}
}

// finish lets the clients end, and returns the history of it all.
func (b *bed) finish() (*history, error) {
	var errs []error
	for _, s := range b.slots {
		errs = append(errs, s.process.tell(cmdFinish))
	}
	for _, s := range b.slots {
		errs = append(errs, s.process.finish(4*bound))
	}
	errs = append(errs, b.rec.end())
	l, err := readRegister(context.Background(), b.server.admin)
	errs = append(errs, err)
	text, err := json.Marshal(record{b.kind, b.seed, b.names, l})
	errs = append(errs, err, os.WriteFile(filepath.Join(b.dir, recordFile), text, 0o600))
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return load(b.dir)
}

// temporary makes the directory of a round. It stays if something was found, or KEEP is set.
func temporary(tb testing.TB) string {
	dir, err := os.MkdirTemp("", "sqllock-torture-")
	require.NoError(tb, err)
	tb.Cleanup(func() {
		if tb.Failed() || os.Getenv("KEEP") != "" {
			tb.Logf("the histories are in %s", dir)
			return
		}
		_ = os.RemoveAll(dir)
	})
	return dir
}

// random makes the same choices for the same seed.
func random(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 0)) }

// Leaderelection serves HTTP. One of the processes that run it is the leader, and answers; the others redirect to the address that the leader
// publishes. Start it in two terminals, and ask the second:
//
//	$ go run ./examples/leaderelection -name one         $ go run ./examples/leaderelection -name two
//	one serves http://127.0.0.1:40001                    two serves http://127.0.0.1:40002
//	one leads                                            two follows one
//
//	$ curl -L http://127.0.0.1:40002/
//	one leads, and answers
//
// When the first is interrupted, the second leads at once. When it is killed, as soon as its lock ends: with its connection, or its lease.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"sync/atomic"
	"syscall"

	"github.com/sqllock/toolkit/examples/internal/backend"
	"github.com/sqllock/toolkit/leaderelect"
	"github.com/sqllock/toolkit/sqllock"
)

var (
	name   = flag.String("name", sqllock.DefaultOwner(), "how this process calls itself")
	listen = flag.String("listen", "127.0.0.1:0", "address to serve at")
)

func main() {
	log.SetFlags(0)
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	b, err := backend.Open(ctx, backend.Needs{Tokens: true}) // session locks keep what leaders publish in the tables, too
	if err != nil {
		log.Fatal(err)
	}
	locks := sqllock.New(b, b.Options...)
	defer func() { _ = locks.Close(ctx) }()
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", *listen)
	if err != nil {
		log.Fatal(err)
	}
	address := "http://" + listener.Addr().String()

	elector, err := leaderelect.New(locks, "example-leader", leaderelect.Config{
		ID:    *name,
		Value: map[string]string{"address": address},
		OnElected: func(ctx context.Context, _ leaderelect.Term) error {
			fmt.Println(*name, "leads")
			<-ctx.Done() // here goes what only the leader does
			return nil
		},
	})
	if err != nil {
		log.Fatal(err)
	}
	s := &server{elector: elector, address: address}
	fmt.Println(*name, "serves", address)
	go s.follow(ctx)
	go func() { log.Fatal(http.Serve(listener, s)) }()

	// It returns when ctx has ended and the lock is released, so that somebody else leads already while this process ends.
	if err := elector.Run(ctx); err != nil {
		log.Fatal(err)
	}
}

type server struct {
	elector *leaderelect.Elector
	address string
	leader  atomic.Pointer[leaderelect.Leader] // nil: not known
}

// follow keeps an eye on who leads.
func (s *server) follow(ctx context.Context) {
	for leader, err := range s.elector.Observe(ctx) {
		if err != nil { // nobody leads, or the database does not tell
			s.leader.Store(nil)
			if !errors.Is(err, sqllock.ErrNoLeader) {
				log.Print(err)
			}
			continue
		}
		s.leader.Store(&leader)
		if leader.ID != *name {
			fmt.Println(*name, "follows", leader.ID)
		}
	}
}

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	leader := s.leader.Load()
	switch {
	case s.elector.IsLeader(r.Context()) == nil: // by the clock, now
		_, _ = fmt.Fprintln(w, *name, "leads, and answers")
	case leader != nil && leader.Value["address"] != s.address: // else that is what we saw before we lost
		http.Redirect(w, r, leader.Value["address"]+r.URL.Path, http.StatusTemporaryRedirect)
	default:
		http.Error(w, "nobody leads", http.StatusServiceUnavailable)
	}
}

package testdb

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
)

// freePort returns a loopback port on which nobody listens. It looks below the
// range from which systems pick the ports of outgoing connections (32768 and up
// on Linux), so that no client's connection can take the port of a server that
// is down to be restarted, not even a client that keeps dialing that very port.
//
// Another process may take the port before the caller does.
func freePort() (int, error) {
	const lowest, end, tries = 10000, 32768, 100
	var errs []error
	for range tries {
		port := lowest + rand.IntN(end-lowest)
		listener, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err != nil {
			errs = append(errs, err)
			continue
		}
		return port, listener.Close()
	}
	return 0, fmt.Errorf("testdb: no free port in %d tries: %w", tries, errors.Join(errs...))
}

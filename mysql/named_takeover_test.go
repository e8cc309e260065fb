package mysql_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"testing"
	"time"

	driver "github.com/go-sql-driver/mysql"

	"github.com/sqllock/toolkit/mysql"
	"github.com/sqllock/toolkit/sqllock"
)

// TestNamedHolderThatIsKilledIsFollowed at once, by somebody who polls once a minute and whose session would be given up in an hour. Of those who
// wait before, one has been killed too, and stands in nobody's way.
func TestNamedHolderThatIsKilledIsFollowed(t *testing.T) {
	inNamedHelper(func(cfg *driver.Config, ask *bufio.Scanner, tell io.Writer) error {
		c := sqllock.New(mysql.Named(cfg, mysql.SessionTimeout(time.Hour)))
		if _, err := fmt.Fprintln(tell, "begins"); err != nil {
			return err
		}
		if _, err := c.Acquire(context.Background(), "n"); err != nil {
			return err
		}
		_, err := fmt.Fprintln(tell, "held")
		ask.Scan()
		return err
	})
	t.Parallel()
	s := newNamedScene(t)
	waiter := s.client(mysql.Poll(time.Minute), mysql.SessionTimeout(time.Hour))
	holder := startNamedHelper(t, s.cfg)
	holder.line()
	holder.line()
	doomed := startNamedHelper(t, s.cfg)
	doomed.line()
	s.eventually(func() bool { return len(s.waiting("n")) == 1 }, "the other process waits")
	got := s.waits(waiter, "n")
	doomed.kill()
	holder.kill()
	s.release(s.granted(got, 0))
	s.free("n")
}

package leaderelect_test

import (
	"flag"
	"fmt"
	"os"
	"runtime"
	"testing"

	"github.com/sqllock/toolkit/internal/testdb"
)

func TestMain(m *testing.M) {
	// What takes these tests long is waiting for locks to run out, which needs no processor. The command line has the last word.
	if err := flag.Set("test.parallel", fmt.Sprint(max(6, runtime.GOMAXPROCS(0)))); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	testdb.Main(m)
}

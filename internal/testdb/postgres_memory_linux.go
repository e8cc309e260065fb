package testdb

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// freePostgresMemory removes what a killed PostgreSQL leaves outside its
// directory: a System V shared memory segment, which it uses to detect that
// another server runs on the same data. The server's pid file goes too, since
// the pid in it may soon be somebody else's. The server must be dead.
//
// A server that was shut down, and any other kind of server, has no such file.
func freePostgresMemory(dir string) error {
	path := filepath.Join(dir, "data", postmasterPID)
	content, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("testdb: %w", err)
	}
	// The seventh line is "key id". It is missing if the server was killed before
	// it had any shared memory.
	if lines := strings.Split(string(content), "\n"); len(lines) > 6 {
		if fields := strings.Fields(lines[6]); len(fields) == 2 {
			id, err := strconv.Atoi(fields[1])
			if err != nil {
				return fmt.Errorf("testdb: shared memory id in %s: %w", path, err)
			}
			_, err = unix.SysvShmCtl(id, unix.IPC_RMID, nil)
			if err != nil && !errors.Is(err, syscall.EINVAL) { // EINVAL: gone already
				return fmt.Errorf("testdb: remove shared memory %d: %w", id, err)
			}
		}
	}
	if err := os.Remove(path); err != nil {
		return fmt.Errorf("testdb: %w", err)
	}
	return nil
}

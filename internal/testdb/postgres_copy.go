package testdb

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// remade are the directories that a server fills for itself when it starts on a
// copy. The first two have to be empty: its log the copy gets from the primary,
// and the primary's slots are not its own.
var remade = map[string]bool{"pg_wal": true, "pg_replslot": true, "pg_dynshmem": true}

// copyLiveData copies the data directory of a running PostgreSQL that has been
// told of the backup, and gives the copy to the user that servers run as. Files
// may change and go meanwhile: the server's log makes up for it.
func copyLiveData(from, to string) error {
	return filepath.WalkDir(from, func(path string, entry fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		name, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		target := filepath.Join(to, name)
		switch {
		case entry.IsDir():
			if err := errors.Join(os.Mkdir(target, 0o700), handOver(target)); err != nil {
				return err
			}
			if remade[name] {
				return fs.SkipDir
			}
			return nil
		case name == postmasterPID:
			return nil // the other server's
		case !entry.Type().IsRegular():
			return fmt.Errorf("%s is neither file nor directory; tablespaces cannot be copied", path)
		default:
			return copyLiveFile(path, target)
		}
	})
}

func copyLiveFile(from, to string) error {
	source, err := os.Open(from)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer source.Close()
	target, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(target, source)
	return errors.Join(err, target.Close(), handOver(to))
}

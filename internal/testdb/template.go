package testdb

import (
	"errors"
	"path/filepath"
	"sync"
)

// templateKind begins the names of the directories of templates.
const templateKind = "template"

// templates are data directories on which no server has run yet, one for each
// set of programs, to be copied: that costs a fraction of what making one costs.
type templates[Programs comparable] struct {
	make func(programs Programs, dir string) error // fills dir/data

	mu   sync.Mutex
	made map[Programs]string
}

// get returns the data directory for the programs, which it makes at the first
// time.
func (t *templates[Programs]) get(programs Programs) (string, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if template, ok := t.made[programs]; ok {
		return template, nil
	}
	dir, err := newServerDir(templateKind)
	if err != nil {
		return "", err
	}
	if err := t.make(programs, dir); err != nil {
		return "", errors.Join(err, removeServerDir(dir))
	}
	if t.made == nil {
		t.made = make(map[Programs]string)
	}
	t.made[programs] = filepath.Join(dir, "data")
	return t.made[programs], nil
}

// awaitTemplates lets the makers of templates in home finish. If it was killed,
// initdb would leave a file in /dev/shm of which nobody knows the name.
func awaitTemplates(home string) {
	dirs, err := filepath.Glob(filepath.Join(home, templateKind+"-*"))
	if err != nil {
		return
	}
	for _, dir := range dirs {
		awaitIdle(dir)
	}
}

package testdb

import (
	"errors"
	"path/filepath"
	"sync"
)

// templateKind begins the names of the directories of templates.
const templateKind = "template"

var postgresTemplates = struct {
	sync.Mutex
	made map[string]string // by the directory of the programs
}{made: make(map[string]string)}

// postgresTemplate returns a data directory that the programs in bin have made,
// and on which no server has run yet.
func postgresTemplate(bin string) (string, error) {
	postgresTemplates.Lock()
	defer postgresTemplates.Unlock()
	if template, ok := postgresTemplates.made[bin]; ok {
		return template, nil
	}
	dir, err := newServerDir(templateKind)
	if err != nil {
		return "", err
	}
	template := filepath.Join(dir, "data")
	if err := runAsServer(dir, filepath.Join(bin, "initdb"), "-D", template,
		"-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync"); err != nil {
		return "", errors.Join(err, removeServerDir(dir))
	}
	postgresTemplates.made[bin] = template
	return template, nil
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

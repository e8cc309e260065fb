package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestEveryDefectAppliesAndCompiles(t *testing.T) {
	root, err := moduleRoot(t.Context())
	require.NoError(t, err)
	packages := newCompiler(t, root)
	for _, d := range defects {
		text, err := d.mutated(root)
		if !assert.NoError(t, err) || path.Ext(d.file) != ".go" {
			continue
		}
		assert.NoError(t, packages.check(d.file, text), d.name)
	}
}

func TestEveryDefectIsNamedOnceAndSaysWhatItDoes(t *testing.T) {
	seen := make(map[string]bool)
	for _, d := range defects {
		assert.False(t, seen[d.name], d.name)
		assert.Regexp(t, `^[a-z-]+/[a-z0-9-]+$`, d.name)
		assert.NotEmpty(t, d.harm, d.name)
		seen[d.name] = true
	}
}

// The runner finds out whether a pattern matches any test at all; this whether each of its parts is the name of something.
func TestEveryDefectNamesTestsThatExist(t *testing.T) {
	root, err := moduleRoot(t.Context())
	require.NoError(t, err)
	var claims string
	for _, suite := range []string{"sqllock/locktest/run.go", "internal/lease/leasetest/leasetest.go"} {
		text, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(suite)))
		require.NoError(t, err)
		claims += string(text)
	}
	for _, d := range defects {
		tests := sources(t, filepath.Join(root, filepath.FromSlash(d.pkg)))
		for _, name := range regexp.MustCompile(`\w+`).FindAllString(d.run, -1) {
			exists := strings.Contains(claims+tests, `"`+name+`"`)
			if strings.HasPrefix(name, "Test") {
				exists = strings.Contains(tests, "func "+name+"(t *testing.T)")
			}
			assert.True(t, exists, "%s: there is no %s in %s", d.name, name, d.pkg)
		}
	}
}

// sources are the tests of a package.
func sources(t *testing.T, dir string) string {
	files, err := filepath.Glob(filepath.Join(dir, "*_test.go"))
	require.NoError(t, err)
	var all strings.Builder
	for _, file := range files {
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		all.Write(text)
	}
	return all.String()
}

func TestOnlyAFailingAssertionCatchesADefect(t *testing.T) {
	sound := map[string]bool{"TestA": true, "TestB": true, "TestB/part": true}
	const (
		pass    = "=== RUN   TestA\n--- PASS: TestA (0.00s)\nPASS\n"
		fail    = "--- FAIL: TestB (0.00s)\n    --- FAIL: TestB/part (0.00s)\nFAIL\n"
		unsound = "--- FAIL: TestC (0.00s)\nFAIL\n"
		skip    = "--- SKIP: TestA (0.00s)\nPASS\n"
		crash   = "--- FAIL: TestA (0.00s)\npanic: runtime error\n"
		hang    = "panic: test timed out after 2m0s\n"
		stuck   = "--- FAIL: TestA (0.00s)\npanic: deadlock: all goroutines in bubble are blocked\n"
		both    = "    a_test.go:1: \n\tError Trace:\ta_test.go:1\n\tTest:       \tTestB/part\n" + crash
	)
	for _, c := range []struct {
		text string
		ok   bool
		d    defect
		by   string
		why  string
	}{
		{text: fail, by: "TestB/part"},
		{text: pass, ok: true, why: "the tests pass"},
		{text: skip, ok: true, why: "no test was run"},
		{text: unsound, why: "no test fails that passes without it"},
		{text: crash, why: "the tests crash"},
		{text: both, by: "TestB/part"},
		{text: hang, why: "the tests wait for ever"},
		{text: stuck, why: "the tests wait for ever"},
		{text: stuck, d: defect{run: "TestA", hangs: true}, by: "TestA, which waits for ever"},
		{text: hang, d: defect{run: "TestA", hangs: true}, by: "TestA, which waits for ever"},
	} {
		r := read(c.text, c.ok).judge(c.d, sound)
		assert.Equal(t, c.by != "", r.caught, c.text)
		assert.Equal(t, c.by, r.by, c.text)
		assert.Equal(t, c.why, r.why, c.text)
	}
}

func TestTextThatIsThereTwiceOrNotAtAllIsNoDefect(t *testing.T) {
	root := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(root, "a.sql"), []byte("one two two"), 0o600))
	text, err := defect{file: "a.sql", old: "one", new: "three"}.mutated(root)
	require.NoError(t, err)
	assert.Equal(t, "three two two", text)
	for _, old := range []string{"two", "four", ""} {
		_, err := defect{file: "a.sql", old: old, new: "three"}.mutated(root)
		assert.Error(t, err, old)
	}
	_, err = defect{file: "a.sql", old: "one", new: "one"}.mutated(root)
	assert.Error(t, err)
}

// compiler checks the types of packages of which one file is replaced. It does not make programs, which would take minutes for all defects.
type compiler struct {
	root     string
	fset     *token.FileSet
	packages map[string]listed // by folder
	importer types.Importer
}

// listed is what go list tells of a package.
type listed struct {
	Dir, ImportPath, Export string
	GoFiles                 []string
}

func newCompiler(t *testing.T, root string) *compiler {
	t.Helper()
	list := exec.CommandContext(t.Context(), "go", "list", "-export", "-deps", "-json=Dir,ImportPath,Export,GoFiles", "./...")
	list.Dir = root
	var stderr bytes.Buffer
	list.Stderr = &stderr
	out, err := list.Output()
	require.NoError(t, err, stderr.String())

	c := &compiler{root: root, fset: token.NewFileSet(), packages: make(map[string]listed)}
	exports := make(map[string]string)
	for stream := json.NewDecoder(bytes.NewReader(out)); ; {
		var p listed
		if err := stream.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else {
			require.NoError(t, err)
		}
		c.packages[p.Dir], exports[p.ImportPath] = p, p.Export
	}
	c.importer = importer.ForCompiler(c.fset, "gc", func(path string) (io.ReadCloser, error) {
		if exports[path] == "" {
			return nil, fmt.Errorf("%s was not compiled", path)
		}
		return os.Open(exports[path])
	})
	return c
}

func (c *compiler) check(file, text string) error {
	replaced := filepath.Join(c.root, filepath.FromSlash(file))
	p, ok := c.packages[filepath.Dir(replaced)]
	if !ok {
		return fmt.Errorf("%s is in no package", file)
	}
	files := make([]*ast.File, len(p.GoFiles))
	for i, name := range p.GoFiles {
		var source any // what is on the disk
		if filepath.Join(p.Dir, name) == replaced {
			source = text
		}
		var err error
		if files[i], err = parser.ParseFile(c.fset, filepath.Join(p.Dir, name), source, parser.SkipObjectResolution); err != nil {
			return err
		}
	}
	_, err := (&types.Config{Importer: c.importer}).Check(p.ImportPath, c.fset, files, nil)
	return err
}

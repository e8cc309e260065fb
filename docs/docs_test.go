// Package docs_test keeps the documents true where a program can: what they name has to exist.
package docs_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const root = ".."

// TestNamedTestsExist reads the documents as a reader does who wants to see the proof of a sentence.
func TestNamedTestsExist(t *testing.T) {
	t.Parallel()
	there := make(map[string]bool)
	for _, text := range read(t, "_test.go") {
		for _, m := range regexp.MustCompile(`(?m)^func ((?:Test|Fuzz|Benchmark)\w+)\(`).FindAllStringSubmatch(text, -1) {
			there[m[1]] = true
		}
	}
	claims, err := os.ReadFile(filepath.Join(root, "sqllock/locktest/run.go"))
	require.NoError(t, err)
	for _, m := range regexp.MustCompile(`(?m)^\t\{"(\w+)", \w+\},$`).FindAllStringSubmatch(string(claims), -1) {
		there["/"+m[1]] = true
	}
	named := 0
	for path, text := range read(t, ".md") {
		for _, m := range regexp.MustCompile("`((?:Test|Fuzz|Benchmark)[A-Z]\\w+|/[A-Z]\\w+)[^`]*`").FindAllStringSubmatch(text, -1) {
			named++
			assert.True(t, there[m[1]], "%s names %s", path, m[1])
		}
	}
	assert.NotZero(t, named)
}

func TestLinksLeadSomewhere(t *testing.T) {
	t.Parallel()
	followed := 0
	for path, text := range read(t, ".md") {
		text = regexp.MustCompile("(?s)```.*?```").ReplaceAllString(text, "")
		for _, m := range regexp.MustCompile(`\]\(([^)\s]+)\)`).FindAllStringSubmatch(text, -1) {
			file, anchor, _ := strings.Cut(m[1], "#")
			if strings.Contains(m[1], "://") {
				continue
			}
			followed++
			to := filepath.Join(filepath.Dir(path), file)
			if file == "" {
				to = path
			}
			if !assert.FileExists(t, to, "%s links to it", path) || anchor == "" {
				continue
			}
			target, err := os.ReadFile(to)
			require.NoError(t, err)
			assert.Contains(t, anchors(string(target)), anchor, "%s links to a heading of %s", path, to)
		}
	}
	assert.NotZero(t, followed)
}

// anchors are those that GitHub gives to headings.
func anchors(text string) (list []string) {
	for _, m := range regexp.MustCompile(`(?m)^#+ (.*)$`).FindAllStringSubmatch(text, -1) {
		kept := regexp.MustCompile(`[^\p{L}\p{N} _-]`).ReplaceAllString(strings.ToLower(m[1]), "")
		list = append(list, strings.ReplaceAll(kept, " ", "-"))
	}
	return list
}

// read finds the project's files with this ending.
func read(t *testing.T, ending string) map[string]string {
	t.Helper()
	files := make(map[string]string)
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && path != root && strings.HasPrefix(d.Name(), ".") {
			return filepath.SkipDir
		}
		if strings.HasSuffix(path, ending) {
			text, err := os.ReadFile(path)
			files[path] = string(text)
			return err
		}
		return nil
	})
	require.NoError(t, err)
	return files
}

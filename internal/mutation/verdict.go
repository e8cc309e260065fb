package main

import (
	"regexp"
	"slices"
	"strings"
	"time"
)

// report is what a run of tests has said.
type report struct {
	ok     bool
	passed map[string]bool
	failed []string // in the order of their ends
	text   string
}

// read understands what go test -v prints.
func read(text string, ok bool) report {
	r := report{ok: ok, passed: make(map[string]bool), text: text}
	for line := range strings.Lines(text) {
		words := strings.Fields(line)
		if len(words) < 3 || words[0] != "---" {
			continue
		}
		switch words[1] {
		case "PASS:":
			r.passed[words[2]] = true
		case "FAIL:":
			r.failed = append(r.failed, words[2])
		}
	}
	return r
}

// result is what has become of a defect.
type result struct {
	caught bool
	by     string // the test
	why    string // not
	text   string // what the tests have said, if it was not
	took   time.Duration
}

// How somebody who waits for ever is found out: by the clock, or inside a bubble of testing/synctest at once.
var endless = []string{"panic: test timed out after", "panic: deadlock: "}

// assertions are how testify names the test.
var assertions = regexp.MustCompile(`(?m)^\s+Test:\s+(\S+)$`)

// judge tells whether the tests that have made this report have caught d.
func (r report) judge(d defect, sound map[string]bool) result {
	says := func(what string) bool { return strings.Contains(r.text, what) }
	hangs := slices.ContainsFunc(endless, says)
	crashes := says("\npanic: ") || says("\nfatal error: ")
	isSound := func(test string) bool { return sound[test] }
	for _, assertion := range assertions.FindAllStringSubmatch(r.text, -1) { // what it leads to does not matter any more
		if isSound(assertion[1]) {
			return result{caught: true, by: assertion[1]}
		}
	}
	if failed := slices.IndexFunc(r.deepest(), isSound); failed >= 0 && !hangs && !crashes {
		return result{caught: true, by: r.deepest()[failed]}
	}
	switch {
	case hangs && d.hangs:
		return result{caught: true, by: d.run + ", which waits for ever"}
	case hangs:
		return result{why: "the tests wait for ever", text: r.text}
	case crashes:
		return result{why: "the tests crash", text: r.text}
	case !r.ok:
		return result{why: "no test fails that passes without it", text: r.text}
	case len(r.passed) == 0:
		return result{why: "no test was run", text: r.text}
	}
	return result{why: "the tests pass", text: r.text}
}

// deepest are the failed tests without those that have failed only because one of their own has.
func (r report) deepest() (tests []string) {
	for _, test := range r.failed {
		parent := false
		for _, other := range r.failed {
			parent = parent || strings.HasPrefix(other, test+"/")
		}
		if !parent {
			tests = append(tests, test)
		}
	}
	return tests
}

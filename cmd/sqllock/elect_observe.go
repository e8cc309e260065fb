package main

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/sqllock/toolkit/leaderelect"
	"github.com/sqllock/toolkit/sqllock"
)

// watchLeader prints who leads, and each change, until a signal comes. If not even the first question is answered, nobody need wait.
func (e *election) watchLeader(ctx context.Context, locks *sqllock.Client, name string, cfg leaderelect.Config) error {
	elector, err := leaderelect.New(locks, name, cfg)
	if err != nil {
		return err
	}
	return untilSignal(ctx, catchSignals(), func(ctx context.Context) error {
		answered := false
		var unknown error
		for leader, err := range elector.Observe(ctx) {
			if unknown = err; err != nil && !errors.Is(err, sqllock.ErrNoLeader) {
				if !answered {
					return err
				}
				e.warn("who leads %q is not known: %v", name, err)
				continue
			}
			answered = true
			if err := e.print("%s\n", e.sighting(leader, err == nil)); err != nil {
				return err
			}
		}
		if cause := context.Cause(ctx); cause != nil {
			return cause
		}
		return unknown
	})
}

// sighting is the line that tells of a leader, or that there is none.
func (e *election) sighting(leader leaderelect.Leader, leads bool) string {
	at := leader.Since
	if !leads {
		at = time.Now()
	}
	since := at.UTC().Format("2006-01-02T15:04:05.000Z")
	if e.json {
		line := struct {
			Time   string            `json:"time"`
			Leader *string           `json:"leader"`
			Token  int64             `json:"token,omitempty"`
			Value  map[string]string `json:"value,omitempty"`
		}{Time: since, Token: leader.Token, Value: leader.Value}
		if leads {
			line.Leader = &leader.ID
		}
		text, _ := json.Marshal(line) // strings and numbers can be
		return string(text)
	}
	if !leads {
		return since + " -"
	}
	words := []string{since, word(leader.ID), strconv.FormatInt(leader.Token, 10)}
	for _, key := range slices.Sorted(maps.Keys(leader.Value)) {
		words = append(words, word(key)+"="+word(leader.Value[key]))
	}
	return strings.Join(words, " ")
}

// word quotes what would not look like one word, or like nobody.
func word(s string) string {
	odd := func(r rune) bool { return unicode.IsSpace(r) || !unicode.IsPrint(r) || r == '"' || r == '=' }
	if s == "" || s == "-" || strings.ContainsFunc(s, odd) {
		return strconv.Quote(s)
	}
	return s
}

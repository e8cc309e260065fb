//go:build linux

package torture

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"
)

// What an event can be. The calls (acquire, begin, commit, release, force) are stamped before the call is made, what they return
// after it has returned: the time between the two contains the moment at which it happened in the database.
const (
	evAcquire    = "acquire"    // asks for a lock
	evGranted    = "granted"    // with a token
	evRefused    = "refused"    // held by others for as long as it waited
	evFailed     = "failed"     // an error of the database: it may or may not have held the lock for a while
	evBelieves   = "believes"   // Err was nil when it was asked right after At
	evLost       = "lost"       // told so, by Done or Err, with the reason
	evRelease    = "release"    // gives the lock up
	evReleased   = "released"   // the database has confirmed it
	evNotHeld    = "not held"   // Release has answered ErrLost
	evUnreleased = "unreleased" // Release failed: the lock ends later, by itself or by repetition
	evBegin      = "begin"      // a transaction begins
	evGuarded    = "guarded"    // Guard, or LockTx, has returned nil
	evCommit     = "commit"     // COMMIT is sent, after Value was read and, by a writer, Value+1 written
	evCommitted  = "committed"
	evAborted    = "aborted" // certainly rolled back
	evUnknown    = "unknown" // the answer to COMMIT was an error
	evForce      = "force"   // ForceRelease
	evForced     = "forced"
	evFault      = "fault" // something is done to the processes of Who, or to all
	evHealed     = "healed"
	evAlarm      = "alarm" // something happened that must not; Reason says what
	evEnd        = "end"   // the client has closed, and all faults have ended before
)

// Event is one line of a history.
type Event struct {
	At       time.Duration `json:"at"` // on CLOCK_MONOTONIC
	What     string        `json:"what"`
	Process  int           `json:"process,omitempty"` // each start of a client is a process of its own; 0 is the test
	Hold     int           `json:"hold,omitempty"`    // of the process: from acquire to release
	Tx       int           `json:"tx,omitempty"`      // of the process: from begin to committed
	Name     int           `json:"name"`
	Mode     string        `json:"mode,omitempty"`
	Permits  int           `json:"permits,omitempty"`
	Token    int64         `json:"token,omitempty"`
	Value    int64         `json:"value,omitempty"`
	Patience time.Duration `json:"patience,omitempty"` // how long an acquire waits at most
	Reason   string        `json:"reason,omitempty"`   // of a loss, a failure, or what fault it is
	Fault    int           `json:"fault,omitempty"`
	Who      []int         `json:"who,omitempty"`
	Ends     bool          `json:"ends,omitempty"` // the fault ends sessions, so that the server frees their locks at once
}

// recorder writes events as they happen. Each is one write to the file: who is killed has told all but the last.
type recorder struct {
	process int
	mu      sync.Mutex
	file    *os.File
	err     error
}

func newRecorder(process int, path string) (*recorder, error) {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, fmt.Errorf("torture: history: %w", err)
	}
	return &recorder{process: process, file: file}, nil
}

// record stamps an event now, unless it has a time, and writes it.
func (r *recorder) record(e Event) {
	if e.At == 0 {
		e.At = now()
	}
	e.Process = r.process
	line, err := json.Marshal(e)
	r.mu.Lock()
	defer r.mu.Unlock()
	if err == nil {
		_, err = r.file.Write(append(line, '\n'))
	}
	r.err = errors.Join(r.err, err)
}

func (r *recorder) end() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return errors.Join(r.err, r.file.Close())
}

// readEvents reads what one process has recorded. The last line may be unfinished.
func readEvents(path string) ([]Event, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("torture: history: %w", err)
	}
	defer file.Close()
	var events []Event
	lines := bufio.NewReader(file)
	for {
		line, err := lines.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			return events, nil
		}
		var e Event
		if err == nil {
			err = json.NewDecoder(bytes.NewReader(line)).Decode(&e)
		}
		if err != nil {
			return nil, fmt.Errorf("torture: history %s: %w", path, err)
		}
		events = append(events, e)
	}
}

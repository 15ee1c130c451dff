package pebble

import (
	"errors"
	"fmt"
	"testing"
)

// What a check after a crash may find, beside other errors.
var (
	errLost    = errors.New("lost")
	errTwice   = errors.New("there again")
	errStrange = errors.New("strange")
)

// lostIf tells a loss from anything else that is wrong.
func lostIf(lost bool) error {
	if lost {
		return errLost
	}
	return errStrange
}

// report is what a crash test says at its end, in one line.
type report struct {
	crashes      string // what they are, "kills"
	count        int    // of crashes
	acknowledged int    // answers that promised something
	lost         int    // checks that missed something acknowledged
	doubled      int    // checks that found something again that was finished
}

// note counts what a check found.
func (r *report) note(err error) {
	if errors.Is(err, errLost) {
		r.lost++
	}
	if errors.Is(err, errTwice) {
		r.doubled++
	}
}

// check is note, and fails the test.
func (r *report) check(t *testing.T, err error, format string, args ...any) {
	t.Helper()
	if r.note(err); err != nil {
		t.Errorf("%s: %v", fmt.Sprintf(format, args...), err)
	}
}

func (r *report) print(t *testing.T) {
	t.Helper()
	t.Logf("report: %d %s, %d acknowledged, %d lost, %d duplicates", r.count, r.crashes, r.acknowledged, r.lost, r.doubled)
}

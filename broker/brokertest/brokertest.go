// Package brokertest holds the conformance suites of the seams in package broker: RunBus, RunRegistry, RunStore, RunLog,
// RunQueue and RunSchedule. Every engine, embedded or distributed, passes the same ones.
//
// A suite asks its constructor for a fresh engine per case; the constructor closes it by t.Cleanup. Nothing is expected
// to have an effect at once where an engine behind a network could not give it: the suites wait for conditions, with a
// generous limit of time, and names differ from case to case so that a shared server can be used.
package brokertest

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"
)

// patience is how long a condition may take before a case fails.
const patience = 30 * time.Second

// run counts cases, so that names are unique in a process even on a shared server.
var run atomic.Uint64

// unique returns a name that no other case uses: letters, digits and dashes.
func unique(prefix string) string {
	return fmt.Sprintf("%s-%x-%d", prefix, time.Now().UnixNano(), run.Add(1))
}

// within returns a context for the calls of a case, which ends with the test.
func within(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*patience)
	t.Cleanup(cancel)
	return ctx
}

// eventually polls until ok, and fails the test when patience ends.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(patience); time.Now().Before(end); <-tick.C {
		if ok() {
			return
		}
	}
	t.Fatalf("waited %s in vain: %s", patience, what)
}

// inTime runs a part of a case that looks at something before a time is over, which it is given. When what it saw is wrong
// and the machine took longer than that, the part runs again with three times as much.
func inTime(t *testing.T, limit time.Duration, part func(limit time.Duration) error) {
	t.Helper()
	for ; ; limit *= 3 {
		begin := time.Now()
		err := part(limit)
		if err == nil {
			return
		}
		if took := time.Since(begin); took < limit || limit > patience {
			t.Fatal(err)
		}
		t.Logf("the machine is slow, again: %v", err)
	}
}

// must fails the test on an error.
func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// wants fails the test unless err is want.
func wants(t *testing.T, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Fatalf("got error %v, want %v", err, want)
	}
}

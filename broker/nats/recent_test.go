package nats

import (
	"fmt"
	"slices"
	"testing"
	"time"
)

// Goal: every subject is named that a link may not have carried, whether it was away for long or broke again under the
// notice, and none of those that were sent long before. Method: an hour of a node, told by its clock.
func TestRecent(t *testing.T) {
	var r recent
	begin := time.Unix(1_700_000_000, 0)
	send := func(subject string, from, to time.Duration, away bool) {
		for d := from; d <= to; d += time.Second {
			r.note(subject, begin.Add(d), away)
		}
	}
	names := func(after time.Duration, want ...string) {
		t.Helper()
		got, all := r.tell(begin.Add(after))
		slices.Sort(got)
		if !slices.Equal(got, want) || all {
			t.Errorf("after %s: %q, %v; want %q", after, got, all, want)
		}
	}
	names(0)
	send("old", 0, 0, false)
	send("before", time.Minute, time.Minute+30*time.Second, false)
	send("lost", 91*time.Second, 91*time.Second, true)
	send("away", 92*time.Second, 10*time.Minute, true)
	names(601*time.Second, "away", "before", "lost")
	names(602*time.Second, "away", "before", "lost") // the notice of before was not carried
	send("again", 603*time.Second, 640*time.Second, false)
	names(641*time.Second, "again")
	for i := range maxRecent + 1 {
		r.note(fmt.Sprint(i), begin.Add(time.Hour), true)
	}
	if got, all := r.tell(begin.Add(time.Hour)); !all || len(got) > maxRecent+1 {
		t.Errorf("%d names, all %v", len(got), all)
	}
}

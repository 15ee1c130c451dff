package post

import (
	"errors"
	"path/filepath"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"gosper/broker/memory"
)

// Goal: nodes that share boxes see each other's mails as soon as they are accepted, and what a dead node has left in the spool
// becomes files by the leader, only by it. Method: a node that can make no files accepts mails; another reads them, and a third
// leads.
func TestNodesShareBoxes(t *testing.T) {
	root, store := t.TempDir(), memory.NewStore()
	t.Cleanup(func() { _ = store.Close() })
	var leads atomic.Bool
	dead := open(t, Options{Root: root, Store: store, Host: "a", Shared: true, step: func(string) error { return errors.New("dead") }})
	reader := open(t, Options{Root: root, Store: store, Host: "b", Shared: true})
	open(t, Options{Root: root, Store: store, Host: "c", Shared: true, Leads: leads.Load})
	if got := keysOf(reader.All(t.Context(), ann)); len(got) != 0 {
		t.Fatal("an empty box:", got)
	}
	first := send(t, dead, ann, Mail{Body: "one"})
	if got := keysOf(reader.All(t.Context(), ann)); !slices.Equal(got, []string{first}) {
		t.Error("read at another node:", got)
	}
	if err := reader.MarkRead(t.Context(), ann, first); err != nil {
		t.Error("marked at another node:", err)
	}
	left := Box{"0", "bob"}
	send(t, dead, left, Mail{Body: "two"})
	filed := func() bool {
		names, _ := filepath.Glob(filepath.Join(root, left.path(), "new", "*"))
		return len(names) == 1
	}
	if filed() {
		t.Error("somebody who should not has made a file")
	}
	leads.Store(true)
	for deadline := time.Now().Add(30 * time.Second); !filed(); <-time.After(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the leader makes no file of what a dead node has left")
		}
	}
}

// Goal: a base name tells who accepted a mail and when. Method: names that this package makes, and others.
func TestOriginOfName(t *testing.T) {
	at := time.Unix(1_700_000_000, 5000)
	when, host := originOf(baseName(at, newKey(at), "host.example", 77))
	if host != "host.example" || !when.Equal(at.Truncate(time.Second)) {
		t.Errorf("origin %v %q", when, host)
	}
	for _, odd := range []string{"", "a", "1.b", "x.y.z"} {
		if when, _ := originOf(odd); when.After(at) {
			t.Errorf("%q: %v", odd, when)
		}
	}
}

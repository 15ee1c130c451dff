package post

import (
	"context"
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"gosper/broker"
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

// listened is a store that calls a function before Ann's part of the spool is read.
type listened struct {
	broker.Store
	before func()
}

func (l listened) List(ctx context.Context, prefix, after string, limit int) ([]broker.Record, error) {
	if strings.HasPrefix(prefix, ann.spool()) {
		l.before()
	}
	return l.Store.List(ctx, prefix, after, limit)
}

func (l listened) Get(ctx context.Context, key string) (broker.Record, error) {
	if strings.HasPrefix(key, ann.spool()) {
		l.before()
	}
	return l.Store.Get(ctx, key)
}

// Goal: a reader does not miss a mail that another node makes a file between its look at the files and its look at the spool. Method: a
// node that makes files only while the reader looks at the spool.
func TestFiledWhileRead(t *testing.T) {
	for name, read := range map[string]func(o *Office, key string) ([]Mail, error){
		"all": func(o *Office, _ string) ([]Mail, error) { return o.All(t.Context(), ann) },
		"new": func(o *Office, _ string) ([]Mail, error) { return o.New(t.Context(), ann) },
		"get": func(o *Office, key string) ([]Mail, error) {
			m, err := o.Get(t.Context(), ann, key)
			return []Mail{m}, err
		},
		"mark": func(o *Office, key string) ([]Mail, error) {
			return []Mail{{Key: key}}, o.MarkRead(t.Context(), ann, key)
		},
		"delete": func(o *Office, key string) ([]Mail, error) {
			return []Mail{{Key: key}}, o.Delete(t.Context(), ann, key)
		},
	} {
		t.Run(name, func(t *testing.T) {
			root, store := t.TempDir(), memory.NewStore()
			t.Cleanup(func() { _ = store.Close() })
			mayFile := make(chan struct{})
			release := sync.OnceFunc(func() { close(mayFile) })
			writer := open(t, Options{Root: root, Store: store, Host: "a", Shared: true, step: func(string) error {
				<-mayFile
				return nil
			}})
			t.Cleanup(release)
			var armed atomic.Bool
			reader := open(t, Options{Root: root, Host: "b", Shared: true, Store: listened{store, func() {
				if !armed.Swap(false) {
					return
				}
				release()
				for records := []broker.Record{{}}; len(records) > 0; {
					records, _ = store.List(context.Background(), spoolPrefix, "", 1)
				}
			}}})
			if got := keysOf(reader.All(t.Context(), ann)); len(got) != 0 {
				t.Fatal("an empty box:", got)
			}
			key := send(t, writer, ann, Mail{Body: "one"})
			armed.Store(true)
			if got := keysOf(read(reader, key)); !slices.Equal(got, []string{key}) {
				t.Error("read:", got)
			}
		})
	}
}

// Goal: a mail that one node has made a file and its player has deleted does not come back by another node that was about to file it.
// Method: a node that stands still between its look at the box and the file, until the other has read and deleted.
func TestDeletedWhileFiled(t *testing.T) {
	root, store := t.TempDir(), memory.NewStore()
	t.Cleanup(func() { _ = store.Close() })
	about, goOn := make(chan struct{}, 1), make(chan struct{})
	release := sync.OnceFunc(func() { close(goOn) })
	var armed atomic.Bool
	late := open(t, Options{Root: root, Store: store, Host: "a", Shared: true, step: func(step string) error {
		if step == "record" && armed.Load() {
			select {
			case about <- struct{}{}:
			default:
			}
			<-goOn
		}
		return nil
	}})
	t.Cleanup(release)
	quick := open(t, Options{Root: root, Store: store, Host: "b", Shared: true})
	kept := send(t, late, ann, Mail{Body: "kept"})
	if got := keysOf(late.All(t.Context(), ann)); !slices.Equal(got, []string{kept}) {
		t.Error("filed:", got)
	}
	armed.Store(true)
	gone := send(t, late, ann, Mail{Body: "gone"})
	<-about
	if got := keysOf(quick.All(t.Context(), ann)); !slices.Equal(got, []string{kept, gone}) {
		t.Error("read:", got)
	}
	if err := quick.Delete(t.Context(), ann, gone); err != nil {
		t.Error(err)
	}
	release()
	for _, o := range []*Office{late, quick} {
		if got := keysOf(o.All(t.Context(), ann)); !slices.Equal(got, []string{kept}) {
			t.Error("after the deletion:", got)
		}
	}
	checkOnce(t, root, map[Box][]string{ann: {kept}})
}

// hurried is a store that calls a function before a mail of Ann's is committed.
type hurried struct {
	broker.Store
	before func()
}

func (h hurried) Commit(ctx context.Context, ops ...broker.Op) ([]uint64, error) {
	if strings.HasPrefix(ops[0].Key, ann.spool()) && ops[0].Value != nil {
		h.before()
	}
	return h.Store.Commit(ctx, ops...)
}

// Goal: a mail that is sent twice with one key is accepted and announced once, also when the first becomes a file between the looks of
// the second at files and spool. Method: a node that makes files only while another is about to commit.
func TestFiledWhileSentAgain(t *testing.T) {
	root, store := t.TempDir(), memory.NewStore()
	t.Cleanup(func() { _ = store.Close() })
	mayFile := make(chan struct{})
	release := sync.OnceFunc(func() { close(mayFile) })
	var told atomic.Int64
	delivered := func(Box, Mail) { told.Add(1) }
	first := open(t, Options{Root: root, Store: store, Host: "a", Shared: true, Delivered: delivered, step: func(string) error {
		<-mayFile
		return nil
	}})
	t.Cleanup(release)
	second := open(t, Options{Root: root, Host: "b", Shared: true, Delivered: delivered, Store: hurried{store, func() {
		release()
		for records := []broker.Record{{}}; len(records) > 0; {
			records, _ = store.List(context.Background(), spoolPrefix, "", 1)
		}
	}}})
	send(t, first, ann, Mail{Key: "k", Body: "one"})
	send(t, second, ann, Mail{Key: "k", Body: "two"})
	mails, err := second.All(t.Context(), ann)
	if err != nil || len(mails) != 1 || mails[0].Body != "one" || told.Load() != 1 {
		t.Errorf("%+v, announced %d times, %v", mails, told.Load(), err)
	}
	if names := files(t, root, ann); len(names) != 1 {
		t.Error(names)
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

package post

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"gosper/broker"
	"gosper/broker/memory"
)

// Goal: an independent mail program reads our mails, flags, removes and adds some, and we see it. Method: Python's
// mailbox.Maildir on the folder of a box, between two looks of a running office.
func TestPython(t *testing.T) {
	python, err := exec.LookPath("python3")
	if err != nil {
		t.Skip("no python3")
	}
	root := t.TempDir()
	o := open(t, Options{Root: root})
	gift := send(t, o, ann, Mail{Kind: Gift, From: "系统", Subject: "GIFT 1", Body: "a\r\nb é", Items: "3:17:1"})
	doomed := send(t, o, ann, Mail{Body: "doomed"})
	if got := keysOf(o.Peek(t.Context(), ann)); !slices.Equal(got, []string{gift, doomed}) { // now they are files
		t.Fatal(got)
	}
	script := `
import mailbox, sys
from email.message import EmailMessage
from urllib.parse import unquote
box = mailbox.Maildir(sys.argv[1], create=False)
assert len(box) == 2
for name, m in list(box.items()):
    assert m.get_subdir() == "new" and m["time"] and m["key"] in sys.argv[2:], m
    m.as_bytes().decode("ascii")
    if m["key"] == sys.argv[2]:
        assert m["type"] == "1" and m["items"] == "3:17:1", m
        assert unquote(m["from"]) == "系统" and unquote(m["subj"]) == "GIFT 1", m
        assert unquote(m.get_payload()) == "a\r\nb é", m.get_payload()
        m.set_subdir("cur"); m.add_flag("S"); m.add_flag("F")
        box[name] = m
    else:
        box.remove(name)
old = mailbox.MaildirMessage("time: 2020-01-02 03:04:05\ntype: 0\nfrom: Bob\nsubj: old%20form\nkey: old-1\n\nfrom%20an%20older%20system")
old.set_subdir("cur"); old.set_flags("S")
box.add(old)
new = EmailMessage()
new["From"] = "Zoé <zoe@example.com>"; new["Subject"] = "100% grüße, ein sehr langer Betreff, der über mehrere Zeilen geht, denn er ist lang"; new["Date"] = "Fri, 02 Jan 2026 03:04:05 +0100"
new.set_content("100%25 grüße\n")
box.add(new)
`
	run := exec.CommandContext(t.Context(), python, "-c", script, filepath.Join(root, ann.path()), gift, doomed)
	run.Env = append(os.Environ(), "PYTHONUTF8=1")
	if out, err := run.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	mails, err := o.All(t.Context(), ann)
	if err != nil || len(mails) != 3 {
		t.Fatalf("%+v %v", mails, err)
	}
	if m := mails[0]; m.Key != "old-1" || m.Subject != "old form" || m.Body != "from an older system" || !m.Read || m.Time.Unix() != 1577934245 {
		t.Errorf("older form: %+v", m)
	}
	if m := mails[1]; m.From != "Zoé <zoe@example.com>" || !strings.HasPrefix(m.Subject, "100% grüße, ein") || m.Body != "100%25 grüße\n" || m.Read || m.Time.Unix() != 1767319445 || !ValidKey(m.Key) {
		t.Errorf("ordinary e-mail: %+v", m)
	}
	if m := mails[2]; m.Key != gift || !m.Read || m.From != "系统" || m.Items != "3:17:1" || m.Body != "a\r\nb é" {
		t.Errorf("flagged: %+v", m)
	}
	foreign := mails[1].Key
	if err := o.MarkRead(t.Context(), ann, foreign); err != nil {
		t.Error(err)
	}
	if keys, err := o.DeleteRead(t.Context(), ann); err != nil || !sameSet(keys, []string{gift, "old-1", foreign}) {
		t.Error(keys, err)
	}
	if left := files(t, root, ann); len(left) > 0 {
		t.Error(left)
	}
}

// Goal: two nodes that share a folder see each other's mails, and every mail is listed, marked and deleted once. Method:
// two offices with stores of their own; both take, read, mark and delete at the same time.
func TestTwoNodes(t *testing.T) {
	root := t.TempDir()
	nodes := []*Office{open(t, Options{Root: root, Host: "a", BoxLimit: 1000}), open(t, Options{Root: root, Host: "b", BoxLimit: 1000})}
	const each = 60
	var wait sync.WaitGroup
	for n, o := range nodes {
		wait.Go(func() {
			for i := range each {
				if _, err := o.Send(t.Context(), ann, Mail{Key: fmt.Sprintf("%d-%d", n, i)}); err != nil {
					t.Error(err)
				}
				if i%8 == n {
					if _, err := o.All(t.Context(), ann); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	wait.Wait()
	keysOf(nodes[1].All(t.Context(), ann)) // its own mails are files now
	mails, err := nodes[0].All(t.Context(), ann)
	if err != nil || len(mails) != 2*each {
		t.Fatalf("%d mails, %v", len(mails), err)
	}
	var deleted sync.Map
	for _, o := range nodes {
		for i, m := range mails {
			wait.Go(func() {
				if err := o.MarkRead(t.Context(), ann, m.Key); err != nil && !errors.Is(err, broker.ErrNotFound) {
					t.Error(err)
				}
				if i%3 > 0 {
					return
				}
				if err := o.Delete(t.Context(), ann, m.Key); err == nil {
					if _, twice := deleted.LoadOrStore(m.Key, true); twice {
						t.Errorf("%s was deleted twice", m.Key)
					}
				} else if !errors.Is(err, broker.ErrNotFound) {
					t.Error(err)
				}
			})
		}
	}
	wait.Wait()
	want := []string{}
	for i, m := range mails {
		if i%3 > 0 {
			want = append(want, m.Key)
		}
	}
	for _, o := range nodes {
		mails, err := o.All(t.Context(), ann)
		if got := keysOf(mails, err); !slices.Equal(got, want) {
			t.Errorf("got %d mails %v, want %d", len(got), got, len(want))
		}
		for _, m := range mails {
			if !m.Read {
				t.Errorf("%s is not read", m.Key)
			}
		}
	}
}

// Goal: nodes that share spool and folder file each mail once. Method: two offices over one store drain it together.
func TestSharedSpool(t *testing.T) {
	root, store := t.TempDir(), memory.NewStore()
	first := open(t, Options{Root: root, Store: store, Host: "a", step: func(string) error { return errCrash }})
	accepted := map[Box][]string{}
	for i := range 200 {
		box := Box{"0", fmt.Sprint("u", i%8)}
		accepted[box] = append(accepted[box], send(t, first, box, Mail{}))
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	a, b := open(t, Options{Root: root, Store: store, Host: "a"}), open(t, Options{Root: root, Store: store, Host: "b"})
	var wait sync.WaitGroup
	for box := range accepted {
		for _, o := range []*Office{a, b} {
			wait.Go(func() { keysOf(o.All(t.Context(), box)) })
		}
	}
	wait.Wait()
	for box, keys := range accepted {
		for _, o := range []*Office{a, b} {
			if got := keysOf(o.All(t.Context(), box)); !sameSet(got, keys) {
				t.Errorf("%s: %d of %d mails", box.path(), len(got), len(keys))
			}
		}
	}
	checkOnce(t, root, accepted)
}

// Goal: a lost or damaged index is built again, and rows of mails that are gone go. Method: rows deleted, cut and invented.
func TestIndexIsRebuilt(t *testing.T) {
	root, store := t.TempDir(), memory.NewStore()
	o := open(t, Options{Root: root, Store: store})
	for i := range 6 {
		send(t, o, ann, Mail{Body: fmt.Sprint(i)})
	}
	want, err := o.All(t.Context(), ann)
	if err != nil || len(want) != 6 {
		t.Fatal(want, err)
	}
	damage := func() {
		rows, err := store.List(t.Context(), ann.rows(), "", 10)
		if err != nil || len(rows) < 6 {
			t.Fatal(len(rows), err)
		}
		ops := []broker.Op{broker.OpDelete(rows[0].Key, broker.AnyRevision), broker.OpPut(rows[1].Key, nil), broker.OpPut(rows[2].Key, []byte("1 2\nshort")),
			broker.OpPut(rows[3].Key, []byte("x\ny")), broker.OpPut(ann.rows()+"invented", rows[4].Value)}
		if _, err := store.Commit(t.Context(), ops...); err != nil {
			t.Fatal(err)
		}
	}
	check := func(what string, o *Office) {
		t.Helper()
		if got, err := o.All(t.Context(), ann); err != nil || !slices.EqualFunc(got, want, func(a, b Mail) bool { return a.Key == b.Key && a.Body == b.Body }) {
			t.Errorf("%s: %+v %v", what, got, err)
		}
	}
	damage()
	check("under an open office", o)
	if err := o.Close(); err != nil {
		t.Error(err)
	}
	o = open(t, Options{Root: root, Store: store})
	check("after a start", o)
	if rows, err := store.List(t.Context(), ann.rows(), "", 10); err != nil || len(rows) != 6 {
		t.Errorf("%d rows, %v", len(rows), err)
	}
	damage()
	if err := o.Reindex(t.Context(), ann); err != nil {
		t.Error(err)
	}
	check("after a reindex", o)
}

// Goal: every file is a mail, whose texts are valid, and what is sent comes back. Method: fuzz.
func FuzzParse(f *testing.F) {
	f.Add([]byte("time: 2026-01-02 03:04:05\ntype: 1\nfrom: a%20b\nsubj: x\nitems: 1:2:3\nkey: k\nfield-uid_sender: 7\n\nbody%0A"))
	f.Add([]byte("Subject: =?utf-8?q?a?=\r\n folded\r\nContent-Transfer-Encoding: base64\r\n\r\nYQ=="))
	f.Add([]byte("no headers"))
	f.Fuzz(func(t *testing.T, content []byte) {
		m := parse(content, "id", time.UTC)
		check := m
		check.From, check.Subject, check.Items, check.Fields = "", "", "", nil // their lengths are the file's
		if err := check.check(len(check.Body)); err != nil {
			t.Fatal(err)
		}
		for _, text := range append([]string{m.From, m.Subject, m.Items}, values(m.Fields)...) {
			if err := checkText("text", text, len(text)); err != nil {
				t.Fatal(err)
			}
		}
		again := parse(render(&m, time.UTC), "id", time.UTC)
		if again.Key != m.Key || again.Kind != m.Kind || again.From != m.From || again.Subject != m.Subject || again.Body != m.Body || again.Items != m.Items || !again.Time.Equal(m.Time) {
			t.Fatalf("%+v\n%+v", m, again)
		}
	})
}

func values(m map[string]string) (list []string) {
	for _, v := range m {
		list = append(list, v)
	}
	return list
}

// Goal: work on a box whose turn does not come ends with its context. Method: a locked desk.
func TestContext(t *testing.T) {
	o := open(t, Options{})
	d, err := o.enter(ann)
	if err != nil {
		t.Fatal(err)
	}
	defer o.leave(d)
	if err := d.lock(t.Context()); err != nil {
		t.Fatal(err)
	}
	defer d.unlock()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, all := o.All(ctx, ann)
	_, sent := o.Send(ctx, ann, Mail{})
	if !errors.Is(all, context.Canceled) || !errors.Is(sent, context.Canceled) {
		t.Error(all, sent)
	}
}

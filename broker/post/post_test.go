package post

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"gosper/broker"
	"gosper/broker/memory"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(childDir); dir != "" {
		runChild(dir)
		os.Exit(0)
	}
	goleak.VerifyTestMain(m)
}

var ann = Box{"0", "ann"}

// open starts an office over a folder and a store that outlive it.
func open(t *testing.T, o Options) *Office {
	t.Helper()
	if o.Root == "" {
		o.Root = t.TempDir()
	}
	if o.Store == nil {
		store := memory.NewStore()
		t.Cleanup(func() { store.Close() })
		o.Store = store
	}
	office, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := office.Close(); err != nil {
			t.Error(err)
		}
	})
	return office
}

func send(t *testing.T, o *Office, box Box, m Mail) string {
	t.Helper()
	key, err := o.Send(t.Context(), box, m)
	if err != nil || !ValidKey(key) {
		t.Fatalf("key %q, %v", key, err)
	}
	return key
}

// keysOf returns the keys of mails in their order.
func keysOf(mails []Mail, err error) []string {
	if err != nil {
		return []string{err.Error()}
	}
	keys := []string{}
	for _, m := range mails {
		keys = append(keys, m.Key)
	}
	return keys
}

// files lists what is in a box's folders, as folder/name.
func files(t *testing.T, root string, box Box) (names []string) {
	t.Helper()
	for _, folder := range []string{"tmp", "new", "cur"} {
		entries, err := os.ReadDir(filepath.Join(root, box.path(), folder))
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			names = append(names, folder+"/"+e.Name())
		}
	}
	return names
}

// Goal: a mail of every kind comes back as it was sent, from the spool, the file and the index. Method: texts with line
// breaks, markup and other scripts, read by the office that took them, by one with the same store and by one with none.
func TestRoundTrip(t *testing.T) {
	root, store := t.TempDir(), memory.NewStore()
	o := open(t, Options{Root: root, Store: store, Zone: time.FixedZone("", 8*3600)})
	at := time.Date(2026, 11, 21, 22, 50, 7, 0, time.UTC)
	mails := []Mail{
		{Kind: Simple, From: "Ann", Subject: "Hello", Body: "plain", Time: at},
		{Kind: Gift, From: "系统 <b>\r\nto: x", Subject: "GIFT_1", Body: "a\r\nb\n\n% %41 é\t🎁\n", Items: "3:17:1,0:2:5", Time: at.Add(time.Second)},
		{Kind: FriendRequest, From: " x ", Subject: "", Body: "", Fields: map[string]string{"uid_sender": "7"}, Time: at.Add(2 * time.Second)},
		{Kind: FamilyRequest, Key: "chosen-1", Fields: map[string]string{"uid_target": "a b", "name": "é\n"}, Time: at.Add(3 * time.Second)},
	}
	for i := range mails {
		key := send(t, o, ann, mails[i])
		mails[i].Key = key
	}
	if key := send(t, o, ann, mails[3]); key != "chosen-1" {
		t.Error(key)
	}
	compare := func(what string, o *Office) {
		t.Helper()
		got, err := o.All(t.Context(), ann)
		if err != nil || !reflect.DeepEqual(got, mails) {
			t.Errorf("%s: %v\ngot  %+v\nwant %+v", what, err, got, mails)
		}
		for _, m := range mails {
			if got, err := o.Get(t.Context(), ann, m.Key); err != nil || !reflect.DeepEqual(got, m) {
				t.Errorf("%s, alone: %v\ngot  %+v\nwant %+v", what, err, got, m)
			}
		}
	}
	compare("at once", o)
	compare("from the index", o)
	if got := keysOf(o.New(t.Context(), ann)); len(got) != 0 {
		t.Errorf("new after all were listed: %v", got)
	}
	if err := o.Reindex(t.Context(), ann); err != nil {
		t.Error(err)
	}
	compare("after a reindex", o)
	if err := o.Close(); err != nil {
		t.Error(err)
	}
	compare("opened again", open(t, Options{Root: root, Store: store, Zone: time.FixedZone("", 8*3600)}))
	compare("from the files", open(t, Options{Root: root, Zone: time.FixedZone("", -3600)}))
	names := files(t, root, ann)
	first := slices.IndexFunc(names, func(name string) bool { return strings.Contains(name, mails[0].Key) }) // names do not sort by time
	content, err := os.ReadFile(filepath.Join(root, ".0", ".ann", names[max(first, 0)]))
	want := "time: 2026-11-22 06:50:07\ntype: 0\nfrom: Ann\nsubj: Hello\nkey: " + mails[0].Key + "\ndate: Sat, 21 Nov 2026 22:50:07 +0000\n\nplain"
	if err != nil || string(content) != want {
		t.Errorf("file %q, %v", content, err)
	}
}

// Goal: mails are new, then listed, then read, then gone; other boxes stay as they are. Method: each step.
func TestLifeOfAMail(t *testing.T) {
	o := open(t, Options{})
	ctx := t.Context()
	a, b := send(t, o, ann, Mail{Body: "a"}), send(t, o, ann, Mail{Body: "b"})
	other := send(t, o, Box{"0", "bob"}, Mail{})
	if got := keysOf(o.New(ctx, ann)); !slices.Equal(got, []string{a, b}) {
		t.Error("new:", got)
	}
	c := send(t, o, ann, Mail{Body: "c"})
	if got := keysOf(o.New(ctx, ann)); !slices.Equal(got, []string{c}) {
		t.Error("newer:", got)
	}
	d := send(t, o, ann, Mail{Body: "d"})
	for _, key := range []string{a, d, d} { // one of them is still new
		if err := o.MarkRead(ctx, ann, key); err != nil {
			t.Error(err)
		}
	}
	mails, err := o.All(ctx, ann)
	if err != nil || len(mails) != 4 || !mails[0].Read || mails[1].Read || !mails[3].Read {
		t.Errorf("%+v %v", mails, err)
	}
	if err := o.Delete(ctx, ann, b); err != nil {
		t.Error(err)
	}
	if keys, err := o.DeleteRead(ctx, ann); err != nil || !sameSet(keys, []string{a, d}) {
		t.Error(keys, err)
	}
	if keys, err := o.DeleteRead(ctx, ann); err != nil || len(keys) != 0 {
		t.Error(keys, err)
	}
	if cur, limit, err := o.Count(ctx, ann); cur != 1 || limit != DefaultBoxLimit || err != nil {
		t.Error(cur, limit, err)
	}
	for _, key := range []string{b, other, "", "../x", strings.Repeat("k", 1000), "a\x00"} {
		_, err := o.Get(ctx, ann, key)
		for what, err := range map[string]error{"get": err, "read": o.MarkRead(ctx, ann, key), "delete": o.Delete(ctx, ann, key)} {
			if !errors.Is(err, broker.ErrNotFound) {
				t.Errorf("%s %q: %v", what, key, err)
			}
		}
	}
	if got := keysOf(o.All(ctx, Box{"0", "bob"})); !slices.Equal(got, []string{other}) {
		t.Error("the other box:", got)
	}
	if got := keysOf(o.All(ctx, Box{"9", "nobody"})); len(got) != 0 {
		t.Error("no box:", got)
	}
}

func sameSet(a, b []string) bool {
	slices.Sort(a)
	slices.Sort(b)
	return slices.Equal(a, b)
}

// Goal: every limit holds at its value and refuses above it, and nothing hostile gets to the disk. Method: table.
func TestLimits(t *testing.T) {
	root := t.TempDir()
	o := open(t, Options{Root: root, BodyLimit: 1000, BoxLimit: 1000})
	long := func(n int) string { return strings.Repeat("é", n/2) + strings.Repeat("x", n%2) }
	fields := func(n int) map[string]string {
		m := map[string]string{}
		for i := range n {
			m[fmt.Sprint("f", i)] = ""
		}
		return m
	}
	for name, m := range map[string]Mail{
		"longest":     {Key: strings.Repeat("k", MaxKey), Kind: FamilyRequest, From: long(MaxFrom), Subject: long(MaxSubject), Body: long(1000), Items: long(MaxItems)},
		"many fields": {Fields: fields(MaxFields)},
		"long fields": {Fields: map[string]string{strings.Repeat("f", maxName): long(maxValue)}},
	} {
		key := send(t, o, ann, m)
		if got, err := o.Get(t.Context(), ann, key); err != nil || got.From != m.From || got.Subject != m.Subject || got.Body != m.Body || got.Items != m.Items || len(got.Fields) != len(m.Fields) {
			t.Errorf("%s: %+v %v", name, got, err)
		}
	}
	for name, m := range map[string]Mail{
		"key": {Key: strings.Repeat("k", MaxKey+1)}, "key path": {Key: "../../x"}, "key dot": {Key: "a.b"}, "kind": {Kind: kinds},
		"from": {From: long(MaxFrom + 1)}, "subject": {Subject: long(MaxSubject + 1)}, "items": {Items: long(MaxItems + 1)},
		"body": {Body: long(1001)}, "mebibyte": {Body: strings.Repeat("x", 1<<20)}, "NUL": {Body: "a\x00b"}, "NUL in from": {From: "\x00"}, "UTF-8": {Subject: "\xff"},
		"fields": {Fields: fields(MaxFields + 1)}, "field name": {Fields: map[string]string{strings.Repeat("f", maxName+1): ""}},
		"field value": {Fields: map[string]string{"f": long(maxValue + 1)}}, "field odd": {Fields: map[string]string{"a\nb": ""}},
		"field none": {Fields: map[string]string{"": ""}}, "time": {Time: time.Unix(1e12, 0)},
	} {
		if _, err := o.Send(t.Context(), ann, m); !errors.Is(err, ErrBadMail) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, box := range []Box{{}, {"0", ""}, {"", "a"}, {"..", "a"}, {"0", "../x"}, {"0", "a/b"}, {"0", "."}, {"a\x00", "b"}, {"0", strings.Repeat("x", 33)}} {
		_, err := o.Send(t.Context(), box, Mail{})
		_, all := o.All(t.Context(), box)
		if !errors.Is(err, ErrBadBox) || !errors.Is(all, ErrBadBox) || !errors.Is(o.Delete(t.Context(), box, "k"), ErrBadBox) {
			t.Errorf("%q: %v %v", box, err, all)
		}
	}
	if got := keysOf(o.All(t.Context(), ann)); len(got) != 3 {
		t.Error(got)
	}
	if got := keysOf(o.All(t.Context(), ann)); len(got) != 3 {
		t.Error(got)
	}
	if entries, err := os.ReadDir(root); err != nil || len(entries) != 1 {
		t.Error(entries, err)
	}
}

// Goal: a box takes no more than its limit, however many send at once, and takes mails again when some are deleted.
// Method: 200 senders for 50 places, half of them through SendOps.
func TestFullBox(t *testing.T) {
	store := memory.NewStore()
	o := open(t, Options{Store: store})
	var taken, refused atomic.Int64
	var wait sync.WaitGroup
	for i := range 200 {
		wait.Go(func() {
			err := error(nil)
			if i%2 == 0 {
				_, err = o.Send(t.Context(), ann, Mail{})
			} else if key, ops, e := o.SendOps(ann, Mail{}); e == nil {
				_, err = store.Commit(t.Context(), ops...)
				o.Accepted(ann, key)
			} else {
				err = e
			}
			switch {
			case err == nil:
				taken.Add(1)
			case errors.Is(err, ErrFull):
				refused.Add(1)
			default:
				t.Error(err)
			}
		})
	}
	wait.Wait()
	mails, err := o.All(t.Context(), ann)
	if err != nil || len(mails) != DefaultBoxLimit || taken.Load() != DefaultBoxLimit || refused.Load() != 150 {
		t.Fatalf("%d mails, %d taken, %d refused, %v", len(mails), taken.Load(), refused.Load(), err)
	}
	for _, m := range mails[:2] {
		if err := o.Delete(t.Context(), ann, m.Key); err != nil {
			t.Error(err)
		}
	}
	send(t, o, ann, Mail{})
	send(t, o, ann, Mail{})
	if _, err := o.Send(t.Context(), ann, Mail{}); !errors.Is(err, ErrFull) {
		t.Error(err)
	}
}

// Goal: ops that are never committed give their place back. Method: take all places, and look as if the time was over.
func TestPlacesOfOps(t *testing.T) {
	o := open(t, Options{BoxLimit: 2})
	for range 2 {
		if _, _, err := o.SendOps(ann, Mail{}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := o.Send(t.Context(), ann, Mail{}); !errors.Is(err, ErrFull) {
		t.Error(err)
	}
	d, err := o.enter(ann)
	if err != nil {
		t.Fatal(err)
	}
	o.mu.Lock()
	for key := range d.waiting {
		d.waiting[key] = place{until: time.Now().Add(-1)}
	}
	o.mu.Unlock()
	o.leave(d)
	send(t, o, ann, Mail{})
}

// Goal: every accepted mail is announced once, with its text, also when it was a file before the call; a refused one never.
// Method: both ways to send.
func TestDelivered(t *testing.T) {
	var told []string
	store := memory.NewStore()
	o := open(t, Options{Store: store, BoxLimit: 4, Delivered: func(b Box, m Mail) { told = append(told, b.UID+" "+m.Body) }})
	send(t, o, ann, Mail{Body: "1", Key: "k"})
	send(t, o, ann, Mail{Body: "2", Key: "k"})
	for _, read := range []bool{false, true} {
		key, ops, err := o.SendOps(ann, Mail{Body: fmt.Sprint(read)})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := store.Commit(t.Context(), ops...); err != nil {
			t.Fatal(err)
		}
		if read {
			keysOf(o.All(t.Context(), ann)) // makes the file
		}
		o.Accepted(ann, key)
	}
	o.Accepted(ann, "unknown")
	if want := []string{"ann 1", "ann false", "ann true"}; !slices.Equal(told, want) {
		t.Errorf("%q", told)
	}
}

// Goal: a mail becomes a file though nobody reads the box, and one whose Accepted never came too. Method: wait for the
// step after the sync, then for the desk.
func TestFilesFollow(t *testing.T) {
	synced := make(chan struct{}, 10)
	root, store := t.TempDir(), memory.NewStore()
	options := Options{Root: root, Store: store, step: func(step string) error {
		if step == "synced" {
			synced <- struct{}{}
		}
		return nil
	}}
	o := open(t, options)
	send(t, o, ann, Mail{})
	<-synced
	if _, _, err := o.Count(t.Context(), ann); err != nil {
		t.Error(err)
	}
	if names := files(t, root, ann); len(names) != 1 || !strings.HasPrefix(names[0], "new/") {
		t.Error(names)
	}
	_, ops, err := o.SendOps(Box{"0", "bob"}, Mail{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := store.Commit(t.Context(), ops...); err != nil {
		t.Fatal(err)
	}
	if err := o.Close(); err != nil {
		t.Error(err)
	}
	open(t, options)
	<-synced
	if names := files(t, root, Box{"0", "bob"}); len(names) != 1 {
		t.Error(names)
	}
}

// refusing is a store whose commits fail.
type refusing struct {
	broker.Store
	err error
}

func (s *refusing) Commit(ctx context.Context, ops ...broker.Op) ([]uint64, error) {
	if s.err != nil {
		return nil, s.err
	}
	return s.Store.Commit(ctx, ops...)
}

// Goal: a mail that the store refuses is not accepted and holds no place. Method: a store that is full, then not.
func TestStoreRefuses(t *testing.T) {
	store := &refusing{Store: memory.NewStore(), err: broker.ErrDiskFull}
	o := open(t, Options{Store: store, BoxLimit: 1, Delivered: func(Box, Mail) {
		if store.err != nil {
			t.Error("announced")
		}
	}})
	for range 3 {
		if _, err := o.Send(t.Context(), ann, Mail{}); !errors.Is(err, broker.ErrDiskFull) {
			t.Error(err)
		}
	}
	if got := keysOf(o.All(t.Context(), ann)); len(got) > 0 {
		t.Error(got)
	}
	store.err = nil
	send(t, o, ann, Mail{})
}

// Goal: options that cannot be are named, and a closed office says so. Method: table.
func TestOptions(t *testing.T) {
	store := memory.NewStore()
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, o := range map[string]Options{
		"mail root": {Store: store}, "mail store": {Root: "x"}, "box limit": {Root: "x", Store: store, BoxLimit: MaxBoxLimit + 1},
		"body limit": {Root: "x", Store: store, BodyLimit: MaxBodyLimit + 1}, "workers": {Root: "x", Store: store, Workers: -1},
		"mail root:": {Root: file, Store: store},
	} {
		if _, err := Open(o); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
	o := open(t, Options{})
	if err := o.Close(); err != nil {
		t.Error(err)
	}
	_, err := o.Send(t.Context(), ann, Mail{})
	_, _, ops := o.SendOps(ann, Mail{})
	_, all := o.All(t.Context(), ann)
	for _, err := range []error{err, ops, all} {
		if !errors.Is(err, broker.ErrClosed) {
			t.Error(err)
		}
	}
	o.Accepted(ann, "k")
}

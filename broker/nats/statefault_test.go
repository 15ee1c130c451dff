package nats

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"gosper/broker"
)

// load is work on a State that goes on whatever happens, with an account of what was answered.
type load struct {
	t     *testing.T
	nodes []*State
	stop  chan struct{}
	work  sync.WaitGroup

	mu       sync.Mutex
	puts     map[string]int    // by key: the newest number that was answered
	moved    int               // answered transfers
	unsure   int               // transfers nobody knows of
	entries  map[uint64]string // answered entries of the log, by Seq
	answered atomic.Int64
}

// runLoad begins: a writer of single records and one of two records at once on each node, and one that appends to a log.
func runLoad(t *testing.T, nodes ...*State) *load {
	l := &load{t: t, nodes: nodes, stop: make(chan struct{}), puts: make(map[string]int), entries: make(map[uint64]string)}
	t.Cleanup(l.end)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	eventually(t, "the coins", func() bool {
		_, err := nodes[0].Store().Commit(ctx, broker.OpCreate("coins/a", []byte("1000")), broker.OpCreate("coins/b", []byte("1000")),
			broker.OpCreate("coins/moved", []byte("0")))
		return err == nil || errors.Is(err, broker.ErrExists)
	})
	for i, n := range nodes {
		l.work.Go(func() { l.repeat(func(round int) { l.put(n.Store(), fmt.Sprint("put/", i), round) }) })
		l.work.Go(func() { l.repeat(func(int) { l.move(n.Store()) }) })
	}
	l.work.Go(func() { l.append(nodes[0].Log()) })
	return l
}

func (l *load) repeat(fn func(round int)) {
	for round := 1; ; round++ {
		select {
		case <-l.stop:
			return
		default:
			fn(round)
		}
	}
}

// check fails the test when an error is none of those that faults may cause, or came too late.
func (l *load) check(what string, begin time.Time, err error) {
	if err != nil && !errors.Is(err, broker.ErrBusy) && !errors.Is(err, broker.ErrTimeout) {
		l.t.Errorf("%s: %v", what, err)
	}
	if took := time.Since(begin); took > patience { // 4 s, on a machine that is not busy
		l.t.Errorf("%s took %s: %v", what, took, err)
	}
	if err == nil {
		l.answered.Add(1)
	}
}

func (l *load) put(s broker.Store, key string, n int) {
	begin := time.Now()
	_, err := s.Put(context.Background(), key, strconv.AppendInt(nil, int64(n), 10))
	l.check("a put", begin, err)
	if err == nil {
		l.mu.Lock()
		l.puts[key] = n
		l.mu.Unlock()
	}
}

// move moves a coin and counts it, in one commit.
func (l *load) move(s broker.Store) {
	begin := time.Now()
	all, err := s.List(context.Background(), "coins/", "", 3)
	l.check("a list", begin, err)
	if err != nil {
		return
	}
	var n [3]int
	ops := make([]broker.Op, 3)
	for i, change := range []int{-1, 1, 1} {
		n[i], _ = strconv.Atoi(string(all[i].Value))
		ops[i] = broker.OpUpdate(all[i].Key, strconv.AppendInt(nil, int64(n[i]+change), 10), all[i].Revision)
	}
	if n[0]+n[1] != 2000 {
		l.t.Errorf("%d and %d coins", n[0], n[1])
	}
	begin = time.Now()
	_, err = s.Commit(context.Background(), ops...)
	if errors.Is(err, broker.ErrConflict) {
		return
	}
	l.check("a commit", begin, err)
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case err == nil:
		l.moved++
	case errors.Is(err, broker.ErrTimeout):
		l.unsure++
	}
}

// append keeps a few appends on their way.
func (l *load) append(log broker.Log) {
	window := make(chan struct{}, 8)
	l.repeat(func(round int) {
		window <- struct{}{}
		text, begin := fmt.Sprint("entry ", round), time.Now()
		log.Append("load", 7, [][]byte{[]byte(text)}, func(first uint64, err error) {
			l.check("an append", begin, err)
			if err == nil {
				l.mu.Lock()
				l.entries[first] = text
				l.mu.Unlock()
			}
			<-window
		})
	})
	for range cap(window) {
		window <- struct{}{}
	}
}

// progress waits until count more calls were answered.
func (l *load) progress(what string, count int64) {
	l.t.Helper()
	from := l.answered.Load()
	elected(l.t, what, func() bool { return l.answered.Load() >= from+count })
}

func (l *load) end() {
	select {
	case <-l.stop:
	default:
		close(l.stop)
	}
	l.work.Wait()
}

// verify ends the load and checks that all that was answered is there, as every node sees it.
func (l *load) verify() {
	l.t.Helper()
	l.end()
	ctx := context.Background() // each call has its wait
	for _, n := range l.nodes {
		var all []broker.Record
		eventually(l.t, "a list", func() (ok bool) {
			var err error
			all, err = n.Store().List(ctx, "", "", 1000)
			return err == nil
		})
		values := make(map[string]int)
		for _, r := range all {
			values[r.Key], _ = strconv.Atoi(string(r.Value))
		}
		for key, want := range l.puts {
			if values[key] < want {
				l.t.Errorf("%s is %d, answered %d", key, values[key], want)
			}
		}
		if values["coins/a"]+values["coins/b"] != 2000 || values["coins/moved"] < l.moved || values["coins/moved"] > l.moved+l.unsure ||
			values["coins/b"] != 1000+values["coins/moved"] {
			l.t.Errorf("%v; %d transfers were answered, %d are not known", values, l.moved, l.unsure)
		}
		l.entriesAre(ctx, n.Log())
	}
	l.t.Logf("%d calls, %d transfers, %d not known, %d entries", l.answered.Load(), l.moved, l.unsure, len(l.entries))
}

func (l *load) entriesAre(ctx context.Context, log broker.Log) {
	const page = 2000 // a call must not take longer than its wait, however many there are
	var found []broker.LogEntry
	for more := true; more; {
		eventually(l.t, "the log", func() bool {
			some, err := log.Read(ctx, "load", uint64(len(found))+1, page)
			found = append(found, some...)
			more = len(some) == page
			return err == nil
		})
	}
	seen := make(map[string]bool)
	last := 0
	for _, e := range found {
		text := string(e.Data)
		if want, answered := l.entries[e.Seq]; answered && want != text {
			l.t.Errorf("entry %d is %q, answered %q", e.Seq, text, want)
		}
		round, _ := strconv.Atoi(strings.TrimPrefix(text, "entry "))
		if seen[text] || round <= last {
			l.t.Errorf("entry %d is %q, behind %d", e.Seq, text, last)
		}
		seen[text], last = true, round
	}
	for seq, text := range l.entries {
		if !seen[text] {
			l.t.Errorf("entry %d, %q, is lost", seq, text)
		}
	}
}

// Goal: a server that is killed loses nothing that was answered, and nodes go on when it is back, or when the others have
// elected a leader; one that stood still does no harm when it wakes up. Method: servers as processes under load, SIGKILL,
// restart on the same folder, SIGSTOP and SIGCONT.
func TestStateKills(t *testing.T) {
	t.Parallel()
	t.Run("one server", func(t *testing.T) {
		t.Parallel()
		p := processes(t, 1)[0]
		l := runLoad(t, stateWith(t, StateOptions{URL: p.url()}), stateWith(t, StateOptions{URL: p.url()}))
		for range 2 {
			l.progress("calls", 200)
			p.kill()
			p.start(t)
		}
		l.progress("calls after the kills", 200)
		l.verify()
	})
	t.Run("cluster", func(t *testing.T) {
		t.Parallel()
		all := processes(t, 3)
		var urls []string
		for _, p := range all {
			urls = append(urls, p.url())
		}
		url := strings.Join(urls, ",") + "?replicas=3"
		a, b := stateWith(t, StateOptions{URL: url}), stateWith(t, StateOptions{URL: url})
		l := runLoad(t, a, b)
		l.progress("calls", 200)
		name := leaderOf(t, a.store.vault)
		for _, p := range all {
			if p.Name == name {
				p.kill()
				l.progress("calls without the leader", 200)
				p.start(t)
			}
		}
		l.progress("calls with all servers", 100)
		name = leaderOf(t, a.store.vault)
		for _, p := range all {
			if p.Name == name {
				p.signal(t, syscall.SIGSTOP)
				l.progress("calls while the leader stands still", 100)
				p.signal(t, syscall.SIGCONT)
			}
		}
		l.progress("calls after it woke up", 100)
		l.verify()
	})
}

// leaderOf returns the name of the server that leads a vault's stream.
func leaderOf(t *testing.T, v *vault) string {
	t.Helper()
	leader := ""
	elected(t, "a leader", func() bool {
		i, err := v.about(context.Background(), "STREAM.INFO", nil)
		if err == nil && i.Cluster != nil {
			leader = i.Cluster.Leader
		}
		return leader != ""
	})
	return leader
}

// Goal: a node whose link is cut, stopped or flapping answers every call in time, harms no other node, and goes on
// afterwards with nothing lost or written twice. Method: a node behind a proxy under load, and one beside it.
func TestStateLinkFaults(t *testing.T) {
	t.Parallel()
	s := start(t, t.TempDir(), -1)
	p := newProxy(t, s.Addr().String())
	far, near := stateWith(t, StateOptions{URL: p.url()}), stateWith(t, StateOptions{URL: s.ClientURL()})
	l := runLoad(t, far, near)
	for name, fault := range map[string]func(){
		"cut":     func() { p.set(false, true) },
		"stopped": func() { p.set(true, false) },
		"flapping": func() {
			for range 5 {
				p.set(false, true)
				p.set(false, false)
				l.progress("calls between cuts", 10)
			}
			p.set(false, true)
		},
	} {
		l.progress("calls before "+name, 100)
		fault()
		eventually(t, "the loss of the link: "+name, func() bool { return far.Health() != nil })
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		_, err := far.Store().Get(ctx, "put/0")
		cancel()
		if !errors.Is(err, broker.ErrBusy) && !errors.Is(err, broker.ErrTimeout) {
			t.Errorf("%s: a record was read without a link: %v", name, err)
		}
		l.progress("calls of the other node", 50)
		p.set(false, false)
		eventually(t, "the link", func() bool { return far.Health() == nil })
	}
	l.progress("calls after all", 100)
	l.verify()
}

// Goal: an owner that was stopped and replaced never writes again. Method: an owner behind a proxy that stops it with
// appends on their way; another node fences the log, reads it and writes; the first one wakes up.
func TestStoppedOwnerIsFenced(t *testing.T) {
	t.Parallel()
	s := start(t, t.TempDir(), -1)
	p := newProxy(t, s.Addr().String())
	old, successor := stateWith(t, StateOptions{URL: p.url()}).Log(), stateWith(t, StateOptions{URL: s.ClientURL()}).Log()
	for i := range 20 {
		if _, err := put(old, "game", 1, []string{fmt.Sprint("old ", i)}); err != nil {
			t.Fatal(err)
		}
	}
	p.set(true, false)
	var answers sync.WaitGroup
	var fenced atomic.Int32
	for range 5 {
		answers.Add(1)
		old.Append("game", 1, [][]byte{[]byte("asleep")}, func(_ uint64, err error) {
			if err == nil {
				t.Error("an owner without a link was told that its entry is written")
			}
			if errors.Is(err, broker.ErrFenced) {
				fenced.Add(1)
			}
			answers.Done()
		})
	}
	if _, err := put(successor, "game", 2, nil); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	before, err := successor.Read(ctx, "game", 0, 1000)
	if err != nil {
		t.Fatal(err)
	}
	if first, err := put(successor, "game", 2, []string{"new"}); err != nil || first != uint64(len(before))+1 {
		t.Fatalf("entry %d behind %d, %v", first, len(before), err)
	}
	p.set(false, false)
	answers.Wait()
	eventually(t, "the first owner to be told", func() bool {
		_, err := put(old, "game", 1, []string{"late"})
		return errors.Is(err, broker.ErrFenced)
	})
	after, err := successor.Read(ctx, "game", 0, 1000)
	if err != nil || len(after) != len(before)+1 || string(after[len(after)-1].Data) != "new" {
		t.Errorf("%d entries, %v; want %d", len(after), err, len(before)+1)
	}
}

package brokertest

import (
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"gosper/broker"
)

// busCase is one case of the suite.
type busCase struct {
	name  string
	local bool // a promise about subscribers of the publisher's own node
	run   func(*testing.T, broker.Bus)
}

// RunBus checks that open returns engines that keep the promises of broker.Bus.
func RunBus(t *testing.T, open func(t *testing.T) broker.Bus) {
	for _, c := range busCases {
		t.Run(c.name, func(t *testing.T) { c.run(t, open(t)) })
	}
}

// RunBusAcross is RunBus for a bus that publishes at one node and subscribes at another, but for the cases that an engine's
// documentation takes out.
func RunBusAcross(t *testing.T, open func(t *testing.T) broker.Bus, without ...string) {
	for _, c := range busCases {
		if !c.local && !slices.Contains(without, c.name) {
			t.Run(c.name, func(t *testing.T) { c.run(t, open(t)) })
		}
	}
}

var busCases = []busCase{
	{"Patterns", false, busPatterns},
	{"BadNames", false, busBadNames},
	{"Order", false, busOrder},
	{"ManyPublishers", false, busManyPublishers},
	{"MixedKeep", false, busMixedKeep},
	{"DoneAfterDelivery", true, busDone},
	{"PublishInHandler", false, busPublishInHandler},
	{"PanicInHandler", false, busPanic},
	{"Unsubscribe", false, busUnsubscribe},
	{"History", false, busHistory},
	{"HistoryLimit", false, busHistoryLimit},
	{"HistoryAge", false, busHistoryAge},
	{"HistoryOfUnknown", false, busHistoryUnknown},
	{"Resume", false, busResume},
}

// inbox collects what a subscription gets.
type inbox struct {
	mu   sync.Mutex
	got  []*broker.Message
	busy atomic.Int32
	race atomic.Bool // the handler ran twice at once
}

func subscribe(t *testing.T, b broker.Bus, pattern string) *inbox {
	t.Helper()
	in := new(inbox)
	s, err := b.Subscribe(pattern, broker.Handler{Message: in.take})
	must(t, err)
	t.Cleanup(s.Unsubscribe)
	return in
}

func (in *inbox) take(m *broker.Message) {
	if in.busy.Add(1) > 1 {
		in.race.Store(true)
	}
	in.mu.Lock()
	in.got = append(in.got, m)
	in.mu.Unlock()
	in.busy.Add(-1)
}

func (in *inbox) messages() []*broker.Message {
	in.mu.Lock()
	defer in.mu.Unlock()
	return slices.Clone(in.got)
}

// wait returns the messages when there are n of them.
func (in *inbox) wait(t *testing.T, n int) []*broker.Message {
	t.Helper()
	eventually(t, fmt.Sprintf("%d messages", n), func() bool { return len(in.messages()) >= n })
	return in.messages()
}

// publish waits for the answer.
func publish(t *testing.T, b broker.Bus, subject, data string, keep broker.Keep) broker.Position {
	t.Helper()
	p, err := tryPublish(b, subject, data, keep)
	must(t, err)
	return p
}

func tryPublish(b broker.Bus, subject, data string, keep broker.Keep) (broker.Position, error) {
	type answer struct {
		at  broker.Position
		err error
	}
	done := make(chan answer, 2) // room for a second, wrong call
	b.Publish(subject, []byte(data), keep, func(p broker.Position, err error) { done <- answer{p, err} })
	select {
	case a := <-done:
		return a.at, a.err
	case <-time.After(patience):
		return broker.Position{}, fmt.Errorf("publish was not answered in %s", patience)
	}
}

func history(t *testing.T, b broker.Bus, subject string, since broker.Position, limit int) broker.Recovery {
	t.Helper()
	r, err := b.History(within(t), subject, since, limit)
	must(t, err)
	return r
}

func texts(messages []*broker.Message) string {
	var all []string
	for _, m := range messages {
		all = append(all, string(m.Data))
	}
	return strings.Join(all, " ")
}

func expect(t *testing.T, what string, r broker.Recovery, want string, recovered bool) {
	t.Helper()
	if got := texts(r.Messages); got != want || r.Recovered != recovered {
		t.Fatalf("%s: got %q recovered %v, want %q recovered %v", what, got, r.Recovered, want, recovered)
	}
}

// busPatterns publishes a set of subjects to a set of patterns and compares with MatchSubject.
func busPatterns(t *testing.T, b broker.Bus) {
	root := unique("p")
	subjects := []string{"a", "a.b", "a.b.c", "b.b", "a.c", "a.b.c.d", "ä.€", "x"}
	patterns := []string{"a", "a.b", "*", "*.b", "a.*", "a.*.c", ">", "a.>", "a.b.>", "*.*", "*.>", "ä.*", "nobody.*"}
	inboxes := make([]*inbox, len(patterns))
	for i, p := range patterns {
		inboxes[i] = subscribe(t, b, root+"."+p)
	}
	for _, s := range subjects {
		publish(t, b, root+"."+s, s, broker.Keep{})
	}
	for i, p := range patterns {
		var want []string
		for _, s := range subjects {
			if broker.MatchSubject(p, s) {
				want = append(want, s)
			}
		}
		got := strings.Fields(texts(inboxes[i].wait(t, len(want))))
		slices.Sort(got)
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Errorf("pattern %q got %q, want %q", p, got, want)
		}
	}
}

// busBadNames tries what must be refused at each entry.
func busBadNames(t *testing.T, b broker.Bus) {
	long := strings.Repeat("x", broker.MaxSubject+1)
	for _, s := range []string{"", ".", "a.", ".a", "a..b", "a b", "a\r\nb", "a\x00", "a.*", ">", "a*b", "\xff", "a\u00a0b", long} {
		_, err := tryPublish(b, s, "x", broker.Keep{})
		wants(t, err, broker.ErrBadName)
		_, err = b.History(within(t), s, broker.Position{}, 1)
		wants(t, err, broker.ErrBadName)
	}
	for _, p := range []string{"", "a.", "a b", ">.a", "a.>.b", "a*", "*a.b", "a.b>", long} {
		_, err := b.Subscribe(p, broker.Handler{})
		wants(t, err, broker.ErrBadName)
	}
}

// busOrder publishes to several subjects in turn without waiting, and checks the order and the offsets of each.
func busOrder(t *testing.T, b broker.Bus) {
	const each = 500
	root := unique("o")
	in := subscribe(t, b, root+".*")
	for i := range each {
		for s := range 3 {
			b.Publish(fmt.Sprintf("%s.%d", root, s), fmt.Append(nil, i), broker.Keep{Messages: 10}, nil)
		}
	}
	next := map[string]int{}
	for _, m := range in.wait(t, 3*each) {
		if string(m.Data) != fmt.Sprint(next[m.Subject]) || m.Offset != uint64(next[m.Subject])+1 || m.Epoch == 0 {
			t.Fatalf("%s: got %q at %v as message %d", m.Subject, m.Data, m.Position, next[m.Subject])
		}
		next[m.Subject]++
	}
}

// busManyPublishers lets several goroutines publish to one subject: offsets come without holes and in order, and the
// handler never runs twice at once.
func busManyPublishers(t *testing.T, b broker.Bus) {
	const publishers, each = 8, 100
	subject := unique("m")
	in := subscribe(t, b, subject)
	var wg sync.WaitGroup
	for p := range publishers {
		wg.Go(func() {
			for i := range each {
				_, err := tryPublish(b, subject, fmt.Sprintf("%d/%d", p, i), broker.Keep{Messages: 5})
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	var last [publishers]int
	for i, m := range in.wait(t, publishers*each) {
		if m.Offset != uint64(i+1) {
			t.Fatalf("message %d has offset %d", i, m.Offset)
		}
		var p, n int
		if _, err := fmt.Sscanf(string(m.Data), "%d/%d", &p, &n); err != nil || n != last[p] {
			t.Fatalf("publisher %d: got message %d, want %d (%v)", p, n, last[p], err)
		}
		last[p]++
	}
	if in.race.Load() {
		t.Error("the handler ran twice at once for one subject")
	}
}

// busMixedKeep publishes to one subject with and without history in turn: the order holds all the same.
func busMixedKeep(t *testing.T, b broker.Bus) {
	const count = 300
	subject := unique("x")
	in := subscribe(t, b, subject)
	for i := range count {
		b.Publish(subject, fmt.Append(nil, i), broker.Keep{Messages: i % 3}, nil)
	}
	for i, m := range in.wait(t, count) {
		if string(m.Data) != fmt.Sprint(i) || (m.Position == broker.Position{}) != (i%3 == 0) {
			t.Fatalf("message %d is %q at %v", i, m.Data, m.Position)
		}
	}
	if in.race.Load() {
		t.Error("the handler ran twice at once for one subject")
	}
}

// busDone checks that done is called once, and after the local handlers.
func busDone(t *testing.T, b broker.Bus) {
	for _, keep := range []broker.Keep{{}, {Messages: 3}} {
		subject := unique("d")
		in := subscribe(t, b, subject)
		var calls, before atomic.Int32
		const count = 200
		for range count {
			b.Publish(subject, []byte("x"), keep, func(p broker.Position, err error) {
				n := calls.Add(1)
				if int32(len(in.messages())) < n {
					before.Add(1)
				}
				if err != nil || (p == broker.Position{}) != (keep.Messages == 0) {
					t.Errorf("answer %v %v for %v", p, err, keep)
				}
			})
		}
		eventually(t, "all answers", func() bool { return calls.Load() >= count })
		in.wait(t, count)
		if calls.Load() != count || before.Load() != 0 {
			t.Errorf("%d answers for %d messages, %d before delivery", calls.Load(), count, before.Load())
		}
	}
}

// busPublishInHandler publishes from a handler, to its own subject too: nothing blocks and the order holds.
func busPublishInHandler(t *testing.T, b broker.Bus) {
	subject, other := unique("h"), unique("h")
	all := subscribe(t, b, subject)
	side := subscribe(t, b, other)
	s, err := b.Subscribe(subject, broker.Handler{Message: func(m *broker.Message) {
		if len(m.Data) < 20 {
			b.Publish(subject, append([]byte("x"), m.Data...), broker.Keep{Messages: 1}, nil)
			b.Publish(other, m.Data, broker.Keep{}, nil)
		}
	}})
	must(t, err)
	defer s.Unsubscribe()
	b.Publish(subject, []byte("x"), broker.Keep{Messages: 1}, nil)
	for i, m := range all.wait(t, 20) {
		if len(m.Data) != i+1 {
			t.Fatalf("message %d has %d bytes", i, len(m.Data))
		}
	}
	side.wait(t, 19)
}

// busPanic has a handler that panics: its neighbour and later messages are not touched.
func busPanic(t *testing.T, b broker.Bus) {
	log := slog.Default()
	slog.SetDefault(slog.New(slog.DiscardHandler)) // the panic is logged with its stack
	defer slog.SetDefault(log)
	subject := unique("panic")
	before := subscribe(t, b, subject)
	s, err := b.Subscribe(subject, broker.Handler{Message: func(*broker.Message) { panic("on purpose: a test of panics") }})
	must(t, err)
	defer s.Unsubscribe()
	after := subscribe(t, b, subject)
	publish(t, b, subject, "1", broker.Keep{})
	publish(t, b, subject, "2", broker.Keep{Messages: 1})
	before.wait(t, 2)
	after.wait(t, 2)
}

// busUnsubscribe leaves, twice, and joins again.
func busUnsubscribe(t *testing.T, b broker.Bus) {
	subject := unique("u")
	for _, pattern := range []string{subject, subject + ".*", subject + ".>", "*.a.*"} {
		target := subject
		if pattern != subject {
			target = subject + ".a.b"
		}
		if pattern == subject+".*" {
			target = subject + ".a"
		}
		var count atomic.Int32
		h := broker.Handler{Message: func(*broker.Message) { count.Add(1) }}
		s, err := b.Subscribe(pattern, h)
		must(t, err)
		stays := subscribe(t, b, pattern)
		publish(t, b, target, "1", broker.Keep{})
		eventually(t, "the first message", func() bool { return count.Load() == 1 })
		s.Unsubscribe()
		s.Unsubscribe()
		publish(t, b, target, "2", broker.Keep{})
		stays.wait(t, 2)
		if count.Load() != 1 {
			t.Errorf("%s: %d messages after leaving", pattern, count.Load()-1)
		}
	}
}

// busHistory walks through what History can be asked.
func busHistory(t *testing.T, b broker.Bus) {
	subject := unique("hist")
	keep := broker.Keep{Messages: 3}
	var at []broker.Position
	for _, s := range []string{"1", "2", "3", "4", "5"} {
		at = append(at, publish(t, b, subject, s, keep))
	}
	if at[0].Offset != 1 || at[4].Offset != 5 || at[0].Epoch != at[4].Epoch || at[0].Epoch == 0 {
		t.Fatalf("positions %v", at)
	}
	zero := broker.Position{}
	expect(t, "newest of all", history(t, b, subject, zero, 10), "3 4 5", true)
	expect(t, "newest two", history(t, b, subject, zero, 2), "4 5", true)
	expect(t, "after 3", history(t, b, subject, at[2], 10), "4 5", true)
	expect(t, "after 2: just nothing lost", history(t, b, subject, at[1], 10), "3 4 5", true)
	expect(t, "after 1: 2 is lost", history(t, b, subject, at[0], 10), "3 4 5", false)
	expect(t, "at the top", history(t, b, subject, at[4], 10), "", true)
	expect(t, "beyond the top", history(t, b, subject, broker.Position{Epoch: at[0].Epoch, Offset: 99}, 10), "3 4 5", false)
	expect(t, "other epoch", history(t, b, subject, broker.Position{Epoch: at[0].Epoch + 1, Offset: 4}, 10), "3 4 5", false)
	r := history(t, b, subject, at[3], 10)
	if r.Top != at[4] || r.Messages[0].Position != at[4] || r.Messages[0].Subject != subject {
		t.Errorf("top %v, message %+v", r.Top, r.Messages[0])
	}
	publish(t, b, subject, "silent", broker.Keep{})
	expect(t, "a message without history has no place in it", history(t, b, subject, at[4], 10), "", true)
	publish(t, b, subject, "6", broker.Keep{Messages: 1})
	expect(t, "a smaller Keep", history(t, b, subject, zero, 10), "6", true)
	publish(t, b, subject, "7", broker.Keep{Messages: 2})
	expect(t, "a larger Keep", history(t, b, subject, at[4], 10), "6 7", true)
}

// busHistoryLimit pages through a history: the first messages after the position come first, and an answer that was
// cut is not "recovered".
func busHistoryLimit(t *testing.T, b broker.Bus) {
	subject := unique("limit")
	var first broker.Position
	for i := range 10 {
		p := publish(t, b, subject, fmt.Sprint(i), broker.Keep{Messages: 100})
		if i == 0 {
			first = p
		}
	}
	r := history(t, b, subject, first, 4)
	expect(t, "first page", r, "1 2 3 4", false)
	r = history(t, b, subject, r.Messages[3].Position, 4)
	expect(t, "second page", r, "5 6 7 8", false)
	expect(t, "last page", history(t, b, subject, r.Messages[3].Position, 4), "9", true)
	expect(t, "exactly the limit", history(t, b, subject, r.Messages[2].Position, 2), "8 9", true)
	expect(t, "only the top", history(t, b, subject, broker.Position{}, 0), "", true)
}

// busHistoryAge waits until messages are too old.
func busHistoryAge(t *testing.T, b broker.Bus) {
	subject := unique("age")
	const age = 150 * time.Millisecond
	first := publish(t, b, subject, "old", broker.Keep{Messages: 10, Age: age})
	eventually(t, "the message grows old", func() bool {
		return len(history(t, b, subject, broker.Position{}, 10).Messages) == 0
	})
	expect(t, "nothing was missed", history(t, b, subject, first, 10), "", true)
	second := publish(t, b, subject, "new", broker.Keep{Messages: 1, Age: time.Hour})
	if second.Offset != first.Offset+1 || second.Epoch != first.Epoch {
		t.Errorf("after the old message at %v came %v", first, second)
	}
	expect(t, "after the old one", history(t, b, subject, first, 10), "new", true)
	expect(t, "before the old one", history(t, b, subject, broker.Position{Epoch: first.Epoch}, 10), "new", false)
}

// busHistoryUnknown asks for a subject nobody published to, then resumes from that answer.
func busHistoryUnknown(t *testing.T, b broker.Bus) {
	subject := unique("unknown")
	r := history(t, b, subject, broker.Position{}, 10)
	expect(t, "unknown", r, "", true)
	if r.Top.Epoch == 0 {
		t.Fatalf("top %v has no epoch to come back with", r.Top)
	}
	expect(t, "unknown with a foreign position", history(t, b, subject, broker.Position{Epoch: 1 << 60, Offset: 7}, 10), "", false)
	publish(t, b, subject, "1", broker.Keep{Messages: 10})
	publish(t, b, subject, "2", broker.Keep{Messages: 10})
	expect(t, "after nothing", history(t, b, subject, r.Top, 10), "1 2", true)
}

// busResume joins again and again under load, the way the edge does: subscribe, ask for what was missed, drop what came
// twice. Together that must be every message once.
func busResume(t *testing.T, b broker.Bus) {
	subject := unique("r")
	const count = 1000
	publish(t, b, subject, "0", broker.Keep{Messages: 2 * count})
	at := history(t, b, subject, broker.Position{}, 1).Top
	done := make(chan struct{})
	go func() {
		defer close(done)
		for i := 1; i < count; i++ {
			if _, err := tryPublish(b, subject, fmt.Sprint(i), broker.Keep{Messages: 2 * count}); err != nil {
				t.Error(err)
			}
		}
	}()
	seen := 1
	for end := time.Now().Add(patience); seen < count && time.Now().Before(end); {
		in := new(inbox)
		s, err := b.Subscribe(subject, broker.Handler{Message: in.take})
		must(t, err)
		r := history(t, b, subject, at, 2*count)
		if !r.Recovered {
			t.Fatalf("nothing was dropped, yet %v is not recovered", at)
		}
		eventually(t, "a live message or the end", func() bool {
			select {
			case <-done:
				return true
			default:
				return len(in.messages()) > 0
			}
		})
		s.Unsubscribe()
		for _, m := range append(r.Messages, in.messages()...) {
			if m.Offset <= at.Offset {
				continue
			}
			if m.Offset != at.Offset+1 || string(m.Data) != fmt.Sprint(seen) {
				t.Fatalf("after %v came %v %q, want %d", at, m.Position, m.Data, seen)
			}
			at = m.Position
			seen++
			end = time.Now().Add(patience)
		}
	}
	<-done
	if seen != count {
		t.Errorf("saw %d messages of %d", seen, count)
	}
}

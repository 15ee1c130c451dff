package module

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"gosper/broker"
	"gosper/broker/memory"
	"gosper/protocol"
)

// stubbornLog is a log that refuses to be written as long as asked, and can be made to wait.
type stubbornLog struct {
	*memory.Log
	refuse atomic.Bool
	hold   chan struct{} // nil: no wait
}

func (l *stubbornLog) Append(name string, token uint64, entries [][]byte, done func(uint64, error)) {
	if l.hold != nil {
		<-l.hold
	}
	if l.refuse.Load() {
		done(0, broker.ErrDiskFull)
		return
	}
	l.Log.Append(name, token, entries, done)
}

func (l *stubbornLog) Cut(ctx context.Context, name string, token, from uint64) error {
	if l.refuse.Load() {
		return broker.ErrDiskFull
	}
	return l.Log.Cut(ctx, name, token, from)
}

// chatRig is a chat log on memory engines, in a bubble of time.
type chatRig struct {
	t   *testing.T
	bus *memory.Bus
	log *stubbornLog
	*ChatLog
}

func newChatRig(t *testing.T) *chatRig {
	r := &chatRig{t: t, bus: memory.NewBus(memory.BusOptions{}), log: &stubbornLog{Log: memory.NewLog()}}
	r.open(24*time.Hour, 1<<30)
	return r
}

func (r *chatRig) open(age time.Duration, bytes int64) {
	r.t.Helper()
	var err error
	if r.ChatLog, err = OpenChatLog(context.Background(), ChatLogOptions{Bus: r.bus, Log: r.log, Age: age, Bytes: bytes}); err != nil {
		r.t.Fatal(err)
	}
}

func (r *chatRig) say(world, family, name, text string) {
	r.bus.Publish(protocol.ChatSubject(world, family), protocol.AppendChatPush(nil, family != "", name, text, time.Now().UnixMilli()), broker.Keep{}, nil)
}

// search returns the texts that a query finds, over all pages.
func (r *chatRig) search(q ChatQuery) (texts string, lost int64) {
	r.t.Helper()
	var found []string
	for {
		page, err := r.Search(context.Background(), q)
		if err != nil {
			r.t.Fatal(err)
		}
		if q.Limit > 0 && len(page.Lines) > q.Limit {
			r.t.Errorf("%d lines, wanted %d", len(page.Lines), q.Limit)
		}
		for _, l := range page.Lines {
			found = append(found, l.Text)
			lost += l.Lost
		}
		if q.Next = page.Next; q.Next == "" {
			return strings.Join(found, " "), lost
		}
	}
}

// Goal: what was said is found by world, family, name, text and time, page by page, and after a new start. Method: lines a
// second apart, and a table of queries with pages of all sizes; what is no chat is left out.
func TestChatLogSearch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newChatRig(t)
		begin := time.Now()
		for i, line := range [][4]string{
			{"0", "", "Ann", "hello"}, {"0", "foxes", "Ann", "secret"}, {"1", "", "Ben", "Hello-again"}, {"0", "", "ann", "line\nbreak"}, {"0", "owls", "Cleo", "hoot"},
		} {
			r.say(line[0], line[1], line[2], line[3])
			if i%2 == 0 {
				r.bus.Publish("chat.0.public", []byte(`{"route":"/other"}`), broker.Keep{}, nil)
				r.bus.Publish("chat.0.other.place.than.known", protocol.AppendChatPush(nil, false, "x", "x", 0), broker.Keep{}, nil)
			}
			time.Sleep(time.Second)
		}
		r.Close()
		r.open(24*time.Hour, 1<<30)
		r.say("0", "", "Ann", "after")
		time.Sleep(time.Second)
		for _, test := range []struct {
			q    ChatQuery
			want string
		}{
			{ChatQuery{}, "hello secret Hello-again line\nbreak hoot after"},
			{ChatQuery{World: "0"}, "hello secret line\nbreak hoot after"},
			{ChatQuery{World: "0", Public: true}, "hello line\nbreak after"},
			{ChatQuery{Family: "foxes"}, "secret"},
			{ChatQuery{Name: "ANN"}, "hello secret line\nbreak after"},
			{ChatQuery{Text: "HELLO"}, "hello Hello-again"},
			{ChatQuery{From: begin.Add(1500 * time.Millisecond)}, "Hello-again line\nbreak hoot after"},
			{ChatQuery{To: begin.Add(1500 * time.Millisecond)}, "hello secret"},
			{ChatQuery{From: begin.Add(time.Second), To: begin.Add(3 * time.Second)}, "secret Hello-again"},
			{ChatQuery{From: begin.Add(time.Hour)}, ""},
			{ChatQuery{World: "7"}, ""},
		} {
			for _, limit := range []int{0, 1, 2, ChatSearchLines} {
				test.q.Limit = limit
				if got, _ := r.search(test.q); got != test.want {
					t.Errorf("%+v: %q, want %q", test.q, got, test.want)
				}
			}
		}
		for _, q := range []ChatQuery{{World: "a.b"}, {Family: "../x"}, {Family: "a", Public: true}, {Text: strings.Repeat("x", chatSearchText+1)}, {Limit: -1},
			{Limit: ChatSearchLines + 1}, {Next: "x"}, {Next: "0.1"}, {Next: "1.-1"}, {Next: "1"}, {From: begin, To: begin.Add(-1)}} {
			var fault *Fault
			if _, err := r.Search(t.Context(), q); !errors.As(err, &fault) {
				t.Errorf("%+v: %v", q, err)
			}
		}
		r.Close()
		r.Close()
		r.bus.Close()
	})
}

// Goal: a disk that is too slow or full costs lines of the log, which says how many, and nothing else. Method: a log that
// waits while more is said than may wait, then one that refuses; the figures of what was left out add up.
func TestChatLogSaysWhatItLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newChatRig(t)
		r.log.hold = make(chan struct{})
		const said = 3 * chatLogQueue
		for i := range said {
			r.say("0", "", "Ann", fmt.Sprint(i)) // would block here if the log did
			if i == 0 {
				time.Sleep(2 * chatLogGather) // the first is on its way to the disk
			}
		}
		close(r.log.hold)
		time.Sleep(time.Second)
		r.log.refuse.Store(true)
		r.say("0", "", "Ann", "refused")
		time.Sleep(time.Second)
		r.log.refuse.Store(false)
		r.say("0", "", "Ann", "last")
		time.Sleep(time.Second)
		texts, lost := r.search(ChatQuery{})
		kept := int64(len(strings.Fields(texts)))
		if kept+lost != said+2 || lost < said-chatLogQueue-chatLogQueue/2 || !strings.HasSuffix(texts, " last") {
			t.Errorf("%d kept and %d lost of %d", kept, lost, said+2)
		}
		r.Close()
		r.bus.Close()
	})
}

// Goal: the log keeps its bounds of age and bytes, also over a new start. Method: lines over many hours, then far more bytes
// than allowed.
func TestChatLogRetention(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newChatRig(t)
		r.Close()
		r.open(5*time.Hour, ChatLogBytesLeast)
		for i := range 24 {
			r.say("0", "", "Ann", fmt.Sprint("hour", i))
			time.Sleep(time.Hour)
		}
		if got, _ := r.search(ChatQuery{}); got != "hour18 hour19 hour20 hour21 hour22 hour23" && got != "hour19 hour20 hour21 hour22 hour23" {
			t.Errorf("after a day: %q", got)
		}
		long := strings.Repeat("x", 2000)
		for i := range 2000 {
			r.say("0", "", "Ann", long)
			if i%500 == 0 {
				r.Close()
				r.open(5*time.Hour, ChatLogBytesLeast)
			}
			time.Sleep(time.Second)
		}
		texts, _ := r.search(ChatQuery{})
		if n := len(texts); n > ChatLogBytesLeast || n < ChatLogBytesLeast*8/10 {
			t.Errorf("%d bytes are kept of %d allowed", n, ChatLogBytesLeast)
		}
		r.Close()
		r.bus.Close()
	})
}

// Goal: a log that would keep nothing is refused. Method: figures below the least.
func TestChatLogOptions(t *testing.T) {
	for _, o := range []ChatLogOptions{{Age: time.Hour - 1, Bytes: ChatLogBytesLeast}, {Age: time.Hour, Bytes: ChatLogBytesLeast - 1}} {
		if _, err := OpenChatLog(t.Context(), o); err == nil {
			t.Errorf("%v %d was taken", o.Age, o.Bytes)
		}
	}
}

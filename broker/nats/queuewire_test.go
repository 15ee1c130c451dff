package nats

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"gosper/broker"
)

var (
	oneRequest = request{n: 7, verb: verbSet, id: 1 << 60, lease: 3 << tokensATerm, owner: 1<<63 | 5, priority: 1<<32 - 1, state: broker.JobBuried, bound: 1 << 30,
		delay: -time.Second, ttr: time.Hour, wait: -1, due: time.UnixMilli(1), tubes: []string{"a", "", "β"}, key: "k", group: "g", say: "because", body: []byte("body")}
	oneReply = reply{n: 9, term: 3, part: 2, more: true, id: 4, count: -1, names: []string{"x"},
		jobs: []broker.Job{{ID: 1, Tube: "t", Body: []byte("b"), State: broker.JobReserved, Priority: 2, Delay: 3, TTR: 4, Created: time.Unix(5, 6), Due: time.Unix(7, 0),
			Reason: "r", Lease: 8, Reserves: 9, Timeouts: 10, Releases: 11, Buries: 12, Kicks: 13}},
		timers: []broker.Timer{{Key: "k", Group: "g", Due: time.Unix(1, 0), Tube: "t", Body: []byte("b"), Put: broker.PutOptions{Priority: 1, TTR: 2, Unique: "u"}}},
		stats: broker.TubeStats{Tube: "t", Urgent: 1, Ready: 2, Reserved: 3, Delayed: 4, Buried: 5, Puts: 6, Deletes: 7, Kicks: 8, Timeouts: 9, Waiting: 10, Oldest: 11,
			PausedFor: 12, PauseLeft: 13}}
	records = []record{
		{kind: recordJob, slot: 1, by: origin{2, 3}, tube: "t", unique: "u", priority: 4, delay: 5, ttr: 6, created: 7, due: 8, body: []byte("b")},
		{kind: recordState, slot: 1, by: origin{2, 3}, id: 4, state: broker.JobDelayed, priority: 5, delay: 6, due: 7, reserves: 8, timeouts: 9, releases: 10, buries: 11,
			kicks: 12, reason: "r"},
		{kind: recordTimer, slot: 1, by: origin{2, 3}, tube: "t", unique: "u", key: "k", group: "g", priority: 4, ttr: 5, due: 6, body: []byte("b")},
		{kind: recordGone, slot: 1, by: origin{2, 3}, made: origin{4, 5}, id: 6},
		{kind: recordShift, by: origin{2, 3}, group: "g", count: 2, moved: []move{{1, 2}, {3, 4}}},
		{kind: recordMark, term: 1, node: 2},
	}
)

// Goal: what nodes tell each other and the stream is read as it was written, every field of it. Method: messages in which
// every field is set.
func TestQueueWire(t *testing.T) {
	for i := range reflect.TypeOf(oneRequest).NumField() {
		if f := reflect.ValueOf(oneRequest).Field(i); f.IsZero() {
			t.Errorf("field %s of the request is not tested", reflect.TypeOf(oneRequest).Field(i).Name)
		}
	}
	var r request
	if !decode(encode(0, oneRequest.fields)[1:], r.fields) || !reflect.DeepEqual(r, oneRequest) {
		t.Errorf("%+v", r)
	}
	var a reply
	if !decode(encode(0, oneReply.fields)[1:], a.fields) || !reflect.DeepEqual(a, oneReply) {
		t.Errorf("%+v", a)
	}
	for _, want := range records {
		if got, ok := parseRecord(want.encode()); !ok || !reflect.DeepEqual(*got, want) {
			t.Errorf("%+v, want %+v", got, want)
		}
	}
}

// Goal: errors keep what they are and what they say between nodes.
func TestQueueFailures(t *testing.T) {
	for _, want := range failures[2:] {
		a := reply{err: fmt.Errorf("%w: job 7", want)}
		var got reply
		if !decode(encode(0, a.fields)[1:], got.fields) || !errors.Is(got.err, want) || got.err.Error() != a.err.Error() {
			t.Errorf("%v became %v", a.err, got.err)
		}
	}
	a := reply{err: errors.New("the disk is on fire")}
	var got reply
	if !decode(encode(0, a.fields)[1:], got.fields) || got.err.Error() != a.err.Error() || errors.Is(got.err, context.Canceled) {
		t.Error(got.err)
	}
}

// Goal: a long answer comes in parts that fit a message, in order and whole.
func TestQueueLongAnswers(t *testing.T) {
	t.Parallel()
	all := crew(t, 2, start(t, t.TempDir(), -1).ClientURL())
	ctx := context.Background()
	const n = 40
	body := strings.Repeat("x", 60_000)
	answers := make(chan error, 4096)
	for i := range n {
		all[0].Put("long", fmt.Append(nil, i, " ", body), broker.PutOptions{}, func(_ uint64, err error) { answers <- err })
	}
	for range n {
		if err := <-answers; err != nil {
			t.Fatal(err)
		}
	}
	found, err := all[1].ListJobs(ctx, "long", broker.JobReady, 0, n)
	if err != nil || len(found) != n {
		t.Fatal(len(found), err)
	}
	for i, j := range found {
		if want := fmt.Sprint(i, " ", body); string(j.Body) != want {
			t.Fatalf("job %d has another body", i)
		}
	}
	const tubes = 2000
	for i := range tubes {
		all[1].Put(fmt.Sprintf("%0200d", i), nil, broker.PutOptions{}, func(_ uint64, err error) { answers <- err })
	}
	for range tubes {
		if err := <-answers; err != nil {
			t.Fatal(err)
		}
	}
	names := all[1].Tubes()
	if len(names) != tubes+1 || names[tubes-1] != fmt.Sprintf("%0200d", tubes-1) {
		t.Errorf("%d tubes", len(names))
	}
}

// Goal: what does not fit one write is refused, and changes nothing. Method: the longest list of shifted timers is as long
// as the test says, by a queue of its own.
func TestQueueShiftLimit(t *testing.T) {
	t.Parallel()
	s := boot(t, &server.Options{Host: "127.0.0.1", Port: -1, JetStream: true, StoreDir: t.TempDir(), NoSigs: true, NoLog: true, MaxPayload: 8 << 10})
	q := leads(t, queueAt(t, s.ClientURL(), newSpace()))
	ctx := context.Background()
	most := q.mostMoved()
	due := time.Now().Add(time.Hour).Truncate(time.Millisecond)
	set := func(key string) {
		t.Helper()
		if err := q.schedule.Set(ctx, broker.Timer{Key: key, Group: "g", Due: due, Tube: "t"}); err != nil {
			t.Fatal(err)
		}
	}
	for i := range most {
		set(fmt.Sprint(i))
	}
	if n, err := q.schedule.Shift(ctx, "g", time.Time{}, time.Hour); n != most || err != nil {
		t.Error(n, err)
	}
	set("one more")
	if _, err := q.schedule.Shift(ctx, "g", time.Time{}, time.Hour); !errors.Is(err, broker.ErrTooLarge) {
		t.Error(err)
	}
	for key, want := range map[string]time.Time{"0": due.Add(time.Hour), "one more": due} {
		if got, err := q.schedule.Get(ctx, key); err != nil || !got.Due.Equal(want) {
			t.Errorf("timer %s is due %s, want %s, %v", key, got.Due, want, err)
		}
	}
}

func FuzzQueueRequest(f *testing.F) {
	f.Add(encode(0, oneRequest.fields)[1:])
	f.Fuzz(func(t *testing.T, b []byte) {
		var r, again request
		if decode(b, r.fields) && (!decode(encode(0, r.fields)[1:], again.fields) || !reflect.DeepEqual(r, again)) {
			t.Errorf("%+v became %+v", r, again)
		}
	})
}

func FuzzQueueReply(f *testing.F) {
	f.Add(encode(0, oneReply.fields)[1:])
	f.Fuzz(func(t *testing.T, b []byte) {
		var a reply
		decode(b, a.fields)
	})
}

func FuzzQueueRecord(f *testing.F) {
	for _, r := range records {
		f.Add(r.encode())
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		r, ok := parseRecord(b)
		if !ok {
			return
		}
		if again, ok := parseRecord(r.encode()); !ok || !reflect.DeepEqual(r, again) {
			t.Errorf("%+v became %+v", r, again)
		}
	})
}

package target

import (
	"context"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"
)

// mute takes connections and says nothing. Its address, what tells of each connection, and the number of its connections so
// far, which waits for them to end.
func mute(t *testing.T) (addr string, came chan struct{}, connections func() int) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	came = make(chan struct{}, 10)
	var work sync.WaitGroup
	work.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			n++
			came <- struct{}{}
			work.Go(func() { _, _ = io.Copy(io.Discard, c); c.Close() })
		}
	})
	end := sync.OnceFunc(func() { l.Close(); work.Wait() })
	t.Cleanup(end)
	return l.Addr().String(), came, func() int { end(); return n }
}

// Goal: a broker that takes connections and says nothing holds a call no longer than its time, or than it is wanted. Method: a
// call with a deadline, one that is cancelled, one bounded by the time of dialling.
func TestMuteBroker(t *testing.T) {
	addr, came, connections := mute(t)
	g, _ := gateway(t, Options{DialTimeout: 3 * time.Second}, fmt.Sprintf(`{"services":{"amqp://%s":{"private":true}}}`, addr))
	for _, c := range []struct {
		name string
		ctx  func() (context.Context, context.CancelFunc)
		want string
	}{
		{"deadline", func() (context.Context, context.CancelFunc) {
			return context.WithTimeout(t.Context(), 2*time.Second)
		}, "timeout"},
		{"cancelled", func() (context.Context, context.CancelFunc) {
			ctx, cancel := context.WithCancel(t.Context())
			go func() { <-came; cancel() }() // it is wanted no longer when it is under way
			return ctx, cancel
		}, "timeout"},
		{"neither", func() (context.Context, context.CancelFunc) { return t.Context(), func() {} }, "unreachable"},
	} {
		ctx, cancel := c.ctx()
		begun := time.Now()
		out := g.Do(ctx, amqpStep("amqp://u:hidden@"+addr, "q", "x"))
		cancel()
		if c.name == "deadline" { // the connection of the next call is waited for
			select {
			case <-came:
			case <-time.After(30 * time.Second):
				t.Fatal("the broker was not dialled")
			}
		}
		if !out.Retry || out.Unmade || !strings.Contains(out.Response.Metadata, c.want) || strings.Contains(out.Response.Metadata, "hidden") {
			t.Errorf("%s: %+v", c.name, out)
		}
		if took := time.Since(begun); took > 30*time.Second {
			t.Errorf("%s: %v", c.name, took)
		}
	}
	g.Close()
	if n := connections(); n != 3 {
		t.Errorf("%d connections", n)
	}
}

// unaware is a context whose deadline passes before it knows.
type unaware struct {
	context.Context
	deadline time.Time
}

func (u unaware) Deadline() (time.Time, bool) { return u.deadline, true }

// Goal: a connection that meets the deadline of a call before its context does makes it no other end, and no fault of the broker's.
// Method: a context that never tells, and a clock that stands still.
func TestDeadlineBeforeContext(t *testing.T) {
	addr, _, _ := mute(t)
	now := time.Now()
	g, _ := gateway(t, Options{Now: func() time.Time { return now }}, fmt.Sprintf(`{"services":{"amqp://%s":{"private":true}}}`, addr))
	out := g.Do(unaware{t.Context(), time.Now().Add(100 * time.Millisecond)}, amqpStep("amqp://"+addr, "q", "x"))
	if !out.Retry || !strings.Contains(out.Response.Metadata, `"reason":"timeout"`) {
		t.Errorf("%+v", out)
	}
	if n := g.breakers["amqp://"+addr].failures; n != 0 {
		t.Errorf("counted as %d failures", n)
	}
}

// Goal: a broker without a public address is dialled only when the table says so; one that is not there is tried again. Method: one
// of each.
func TestBrokerAddresses(t *testing.T) {
	addr, _, connections := mute(t)
	g, _ := gateway(t, Options{}, fmt.Sprintf(`{"services":{"amqp://%s":{},"amqps://%s":{},"amqp://127.0.0.1:1":{"private":true}}}`, addr, addr))
	for _, scheme := range []string{"amqp://", "amqps://"} {
		if out := g.Do(t.Context(), amqpStep(scheme+addr, "q", "x")); out.Retry || !strings.Contains(out.Response.Metadata, "not public") {
			t.Errorf("%+v", out)
		}
	}
	if out := g.Do(t.Context(), amqpStep("amqp://127.0.0.1:1", "q", "x")); !out.Retry || !strings.Contains(out.Response.Metadata, "refused") {
		t.Errorf("%+v", out)
	}
	if n := connections(); n != 0 {
		t.Errorf("%d connections", n)
	}
}

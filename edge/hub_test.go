package edge_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"gosper/broker"
	"gosper/edge"
	"gosper/edge/module"
	"gosper/protocol"
)

// say publishes a chat push whose text is its number.
func (b *fakeBus) say(subject string, n int, keep int) {
	b.Publish(subject, protocol.AppendChatPush(nil, false, "x", fmt.Sprint(n), 1), broker.Keep{Messages: keep}, nil)
}

// offset returns the offset in a push, -1 for anything else.
func offset(b []byte) int {
	e, err := protocol.ParseEnvelope(b)
	if err != nil || e.Position.Offset == 0 {
		return -1
	}
	return int(e.Position.Offset)
}

// subscribeCall asks for a subject from a position.
func subscribeCall(subject string, epoch, offset int) string {
	return fmt.Sprintf(`{"route":"/subscribe","msgId":1,"content":{"subject":%q,"epoch":%d,"offset":%d}}`, subject, epoch, offset)
}

// wantReply reads up to the reply and returns the offsets of the pushes before it.
func (c *client) wantReply(content string) (pushes []int) {
	c.t.Helper()
	for {
		_, b := c.frame()
		if bytes.Contains(b, []byte(`"msgId":1`)) {
			if !bytes.Contains(b, []byte(content)) {
				c.t.Fatalf("reply %s, want %s in it", b, content)
			}
			return pushes
		}
		pushes = append(pushes, offset(b))
	}
}

// Resume: what was missed comes first, in order, then what comes live; a foreign epoch, a position of the future and
// more than may be sent are not recovered, and the client is told where it is.
func TestSubscribeSince(t *testing.T) {
	s := start(t, func(c *edge.Config) { c.Limits.ResumeMessages = 8 })
	for i := range 10 {
		s.bus.say("s", i+1, 100)
	}
	for _, test := range []struct {
		epoch, offset int
		reply         string
		missed        string
	}{
		{0, 0, `"offset":10,"recovered":true`, "[]"},
		{7, 10, `"offset":10,"recovered":true`, "[]"},
		{7, 7, `"offset":10,"recovered":true`, "[8 9 10]"},
		{7, 2, `"offset":10,"recovered":true`, "[3 4 5 6 7 8 9 10]"},
		{7, 1, `"offset":10,"recovered":false`, "[]"},
		{7, 11, `"offset":10,"recovered":false`, "[]"},
		{6, 7, `"offset":10,"recovered":false`, "[]"},
	} {
		c := s.socket(t, "")
		c.text(subscribeCall("s", test.epoch, test.offset))
		if got := fmt.Sprint(c.wantReply(test.reply)); got != test.missed {
			t.Errorf("since %d/%d: missed %v, want %v", test.epoch, test.offset, got, test.missed)
		}
		c.text(subscribeCall("s", 7, 1)) // again: nothing comes twice
		if again := c.wantReply(`"status":0`); len(again) > 0 {
			t.Errorf("a second subscription sent %v", again)
		}
		c.Close()
	}
	c := s.socket(t, "")
	c.text(subscribeCall("bad name", 0, 0))
	c.wantReply(`"status":552`)
}

// While the history is read live messages wait; afterwards there is neither a hole nor a double.
func TestSubscribeHoldsLive(t *testing.T) {
	s := start(t, nil)
	for i := range 5 {
		s.bus.say("s", i+1, 100)
	}
	gate := make(chan struct{})
	s.bus.mu.Lock()
	s.bus.slow = gate
	s.bus.mu.Unlock()
	c := s.socket(t, "")
	c.text(subscribeCall("s", 7, 2))
	wait(t, "subscription", func() bool { return s.bus.subscribers("s") == 1 })
	c.text(`{"route":"/echo","msgId":2}`) // waits behind the first call
	wait(t, "join", func() bool {
		s.bus.say("s", 0, 100) // published while history is awaited: some before the session joined, some after
		s.bus.mu.Lock()
		defer s.bus.mu.Unlock()
		return len(s.bus.history["s"]) > 50
	})
	s.bus.mu.Lock()
	s.bus.slow = nil
	s.bus.mu.Unlock()
	close(gate)
	next := 3
	for next <= 60 {
		if _, b := c.frame(); offset(b) == next {
			next++
			if next > 51 {
				s.bus.say("s", 0, 100)
			}
		} else if offset(b) != -1 {
			t.Fatalf("offset %d, want %d", offset(b), next)
		}
	}
}

// Under a stream of messages sessions come, resume, go and come back, on all loops, and each sees every offset from
// its position on exactly once. The stream waits when the slowest is far behind: what is kept for a client is bounded.
func TestResumeUnderLoad(t *testing.T) {
	const behind = 3000 // below held_messages, and far below out_bytes
	s := start(t, func(c *edge.Config) { c.Limits.ResumeMessages = behind })
	stop := make(chan struct{})
	var publisher, clients sync.WaitGroup
	var reached [8]atomic.Int64
	slowest := func() int64 {
		least := reached[0].Load()
		for i := range reached {
			least = min(least, reached[i].Load())
		}
		return least
	}
	s.bus.say("s", 0, 1<<20) // the position they begin at
	publisher.Go(func() {
		for said := int64(1); ; {
			select {
			case <-stop:
				return
			default:
				if said-slowest() < behind {
					s.bus.say("s", 0, 1<<20)
					said++
				}
				time.Sleep(20 * time.Microsecond)
			}
		}
	})
	for i := range reached {
		clients.Go(func() {
			last := 1
			defer reached[i].Store(1 << 62)
			for range 10 {
				c := s.socket(t, "")
				c.text(subscribeCall("s", 7, last))
				for end := last + 300; last < end; {
					_, b, err := c.tryFrame()
					if err != nil {
						t.Error(err)
						return
					}
					if at := offset(b); at == last+1 {
						last++
						reached[i].Store(int64(last))
					} else if at != -1 {
						t.Errorf("offset %d after %d", at, last)
						return
					}
				}
				c.Close()
			}
		})
	}
	clients.Wait()
	close(stop)
	publisher.Wait()
	wait(t, "end of subscriptions", func() bool { return s.bus.subscribers("s") == 0 })
}

// When the bus has missed messages they are fetched and sent in order before what comes after; what cannot be had is
// announced.
func TestBusGap(t *testing.T) {
	s := start(t, nil)
	c := s.socket(t, "")
	s.bus.say("s", 1, 100)
	c.text(subscribeCall("s", 7, 1))
	c.wantReply(`"recovered":true`)
	s.bus.say("s", 2, 100)
	lose := func(n int) { // messages that reach the history but not the subscriber
		s.bus.mu.Lock()
		defer s.bus.mu.Unlock()
		for range n {
			data := protocol.AppendChatPush(nil, false, "x", "lost", 1)
			at := broker.Position{Epoch: s.bus.epoch, Offset: uint64(len(s.bus.history["s"]) + 1)}
			s.bus.history["s"] = append(s.bus.history["s"], &broker.Message{Subject: "s", Data: data, Time: time.Now(), Position: at})
		}
	}
	gap := func() {
		s.bus.mu.Lock()
		h := s.bus.subs["s"][0].h
		s.bus.mu.Unlock()
		h.Gap("link lost")
	}
	lose(3)
	gap()
	gap() // a second one while the first is being closed
	s.bus.say("s", 6, 100)
	for want := 2; want <= 6; want++ {
		if _, b := c.frame(); offset(b) != want {
			t.Fatalf("got %s, want offset %d", b, want)
		}
	}
	s.bus.mu.Lock()
	s.bus.epoch++
	s.bus.history["s"] = nil
	s.bus.mu.Unlock()
	gap()
	if _, b := c.frame(); !bytes.Contains(b, []byte(`"route":"/session/gap"`)) || !bytes.Contains(b, []byte(`"subject":"s","epoch":8`)) {
		t.Fatalf("got %s", b)
	}
	s.bus.say("s", 1, 100)
	if _, b := c.frame(); offset(b) != 1 {
		t.Fatalf("got %s", b)
	}
}

// Bytes on the bus that are no push do not reach clients, and a push of several subjects at once comes whole.
func TestForeignMessages(t *testing.T) {
	s := start(t, nil)
	c, l := s.socket(t, ""), s.player(t, "a/x/f")
	for _, subject := range []string{"chat.a.public", "s", "u"} {
		c.text(subscribeCall(subject, 0, 0))
		c.wantReply(`"recovered":true`)
	}
	for _, bad := range []string{"", "x", "{}", "0000PUBLICx\r\n", `{"route":"/a","content":{}}` + "\n"} {
		s.bus.Publish("chat.a.public", []byte(bad), broker.Keep{}, nil)
	}
	for i := range 100 {
		s.bus.say([]string{"chat.a.public", "s", "u"}[i%3], i, 0)
	}
	seen := map[string]bool{}
	for range 100 {
		_, b := c.frame()
		e, err := protocol.ParseEnvelope(b)
		if err != nil || seen[string(e.Content)] {
			t.Fatalf("got %s, %v", b, err)
		}
		seen[string(e.Content)] = true
	}
	for i := 0; i < 100; i += 3 {
		l.want(fmt.Sprintf("0000PUBLICx:%d", i))
	}
}

// Subscriptions are bounded, listed, and end with Unsubscribe; Subscribe on a closed connection fails.
func TestSubscriptions(t *testing.T) {
	s := start(t, func(c *edge.Config) { c.Limits.Subscriptions = 3 })
	c := s.player(t, "a/x/f")
	var session module.Session
	s.mod.mu.Lock()
	for _, v := range s.mod.sessions {
		session = v
	}
	s.mod.mu.Unlock()
	if _, _, err := session.Subscribe(t.Context(), "third", broker.Position{}); err != nil {
		t.Fatal(err)
	}
	if _, _, err := session.Subscribe(t.Context(), "fourth", broker.Position{}); err == nil {
		t.Error("a subscription over the limit was made")
	}
	if s.bus.subscribers("fourth") != 0 {
		t.Error("a refused subscription is kept on the bus")
	}
	session.Unsubscribe("chat.a.public")
	wait(t, "unsubscribed", func() bool { return len(session.Subscriptions()) == 2 && s.bus.subscribers("chat.a.public") == 0 })
	if got := strings.Join(session.Subscriptions(), " "); got != "third chat.a.family.f" {
		t.Errorf("subscriptions: %s", got)
	}
	s.bus.say("third", 5, 0)
	c.want("0000PUBLICx:5")
	c.Close()
	wait(t, "session end", func() bool { return s.Sessions() == 0 })
	if _, _, err := session.Subscribe(context.Background(), "late", broker.Position{}); err == nil {
		t.Error("a closed session subscribed")
	}
	if s.bus.subscribers("late") != 0 || len(session.Subscriptions()) != 0 {
		t.Error("a closed session keeps subscriptions")
	}
	session.Unsubscribe("third")
	session.SetIdentity(module.Identity{World: "b", Name: "y"})
	session.Close(protocol.CloseReplaced)
	if s.mod.joined.Load() != 1 || s.mod.left.Load() != 1 {
		t.Errorf("presence: %d joined, %d left", s.mod.joined.Load(), s.mod.left.Load())
	}
}

// A loop that does nothing any more ends the engine with an error.
func TestStalledLoop(t *testing.T) {
	s := start(t, func(c *edge.Config) { c.Limits.LoopStall = time.Second })
	c := s.player(t, "w/ann/")
	s.bus.mu.Lock() // chat waits for the bus, on its loop: no engine of the bus may do that
	c.send("0000PUBLICstuck\r\n")
	select {
	case <-s.Done():
	case <-time.After(patience):
		t.Error("the engine did not end")
	}
	if err := s.Close(); !errors.Is(err, edge.ErrStalled) { // it is bounded
		t.Errorf("close: %v", err)
	}
	s.bus.mu.Unlock()
	if !errors.Is(s.Err(), edge.ErrStalled) {
		t.Errorf("ended with %v", s.Err())
	}
}

// Messages that come while the loops are busy are joined: a thousand subscribers get each of a thousand messages, in far
// fewer writes.
func TestFanOutJoins(t *testing.T) {
	s := start(t, nil)
	const clients, messages = 200, 500
	var readers sync.WaitGroup
	var sockets []*client
	for range clients {
		c := s.socket(t, "")
		c.text(subscribeCall("s", 0, 0))
		c.wantReply(`"recovered":true`)
		sockets = append(sockets, c)
	}
	writes, delivered := counter(t, "gosper_fanout_writes_total"), counter(t, "gosper_deliveries_total")
	for _, c := range sockets {
		readers.Go(func() {
			for want := 1; want <= messages; want++ {
				op, b, err := c.tryFrame()
				for op == protocol.OpPing {
					op, b, err = c.tryFrame()
				}
				if err != nil || offset(b) != want {
					t.Errorf("got %s, %v, want offset %d", b, err, want)
					return
				}
			}
		})
	}
	for i := range messages {
		s.bus.say("s", i, messages)
	}
	readers.Wait()
	wait(t, "counted deliveries", func() bool {
		return counter(t, "gosper_deliveries_total")-delivered >= clients*messages
	})
	if n := counter(t, "gosper_fanout_writes_total") - writes; n >= clients*messages {
		t.Errorf("%d deliveries took %d writes", clients*messages, n)
	}
}

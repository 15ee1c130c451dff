package module

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"gosper/broker"
	"gosper/protocol"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// withFunction adds a function to the table of a rig.
func (r *rig) withFunction(route string, run func(*Tools, *Call) (any, error)) {
	r.table.functions = append(r.table.functions, Function{Route: route, Class: ClassOpen, run: run})
	r.table.index = newIndex(r.table.functions)
}

// Goal: a function that panics ends one call. Method: make one, by route and by gate name, then call others.
func TestPanickingFunction(t *testing.T) {
	r := newRig(t, nil)
	r.withFunction("/test/panic", func(*Tools, *Call) (any, error) { panic("made to") })
	r.table.functions[len(r.table.functions)-1].Gate = "test_panic"
	r.table.index = newIndex(r.table.functions)
	p := r.connect()
	for range 2 * r.table.tools.options.Workers {
		if reply := p.call("/test/panic", `{}`); reply.Status != protocol.StatusUnknown || reply.Message != messageUnknown {
			t.Fatalf("status %d %s", reply.Status, reply.Message)
		}
	}
	if reply := r.gate("test_panic", `{}`); reply.Status != protocol.StatusProgramming {
		t.Errorf("gate: status %d %s", reply.Status, reply.Message)
	}
	p.must("/user/clientCode", `{}`, nil)
}

// Goal: a slow function is answered in time, and a late result is dropped. Method: a function that waits for the test.
func TestSlowFunction(t *testing.T) {
	r := newRig(t, func(o *Options) { o.CallTimeout = 20 * time.Millisecond })
	release := make(chan struct{})
	r.withFunction("/test/slow", func(_ *Tools, c *Call) (any, error) {
		<-release
		return empty{}, nil
	})
	if reply := r.connect().call("/test/slow", `{}`); reply.Status != protocol.StatusUnknown || reply.Message != messageTimedOut {
		t.Errorf("status %d %s", reply.Status, reply.Message)
	}
	close(release)
}

// Goal: a full queue is answered at once with a clear message, and never blocks the caller. Method: hold all workers.
func TestFullQueue(t *testing.T) {
	r := newRig(t, func(o *Options) { o.Workers, o.Queue = 2, 3 })
	release := make(chan struct{})
	started := make(chan struct{}, 16)
	r.withFunction("/test/hold", func(*Tools, *Call) (any, error) {
		started <- struct{}{}
		<-release
		return empty{}, nil
	})
	replies := make(chan Reply, 16)
	hold := func() {
		r.table.Call(&Call{Route: "/test/hold", Content: []byte(`{}`)}, func(r Reply) { replies <- r })
	}
	hold()
	hold()
	<-started
	<-started
	for range 4 {
		hold()
	}
	if reply := <-replies; reply.Status != protocol.StatusBusy || reply.Message != messageBusy {
		t.Errorf("status %d %s", reply.Status, reply.Message)
	}
	close(release)
	for range 5 {
		if reply := <-replies; reply.Status != protocol.StatusOK {
			t.Errorf("a queued call: status %d %s", reply.Status, reply.Message)
		}
	}
	r.table.Close()
	if reply := r.connect().call("/user/clientCode", `{}`); reply.Status != protocol.StatusBusy {
		t.Errorf("after Close: status %d", reply.Status)
	}
}

// Goal: rates count an account over all its connections, an address for logins, and let go with time. Method: the
// burst, one more, time.
func TestRates(t *testing.T) {
	r := newRig(t, func(o *Options) {
		o.ReadRate, o.ChatRate, o.AuthRate, o.GuessRate = Rate{1, 3}, Rate{1, 2}, Rate{1, 4}, Rate{1, 2}
	})
	p := r.play("0", "Ann", "") // one login
	token, err := r.table.tools.sessionToken(p.identity(), p.identity().Login)
	if err != nil {
		t.Fatal(err)
	}
	q := r.connect()
	q.must("/session/resume", fmt.Sprintf(`{"token":%q}`, token), nil)
	statuses := func(n int, p *peer, route, content string) (list []protocol.Status) {
		for range n {
			list = append(list, p.call(route, content).Status)
		}
		return list
	}
	want := func(what string, got []protocol.Status, want ...protocol.Status) {
		t.Helper()
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%s: %v, want %v", what, got, want)
		}
	}
	want("chat", append(statuses(1, p, "/chat/public", `{"text":"x"}`), statuses(2, q, "/chat/public", `{"text":"x"}`)...), 0, 0, 1010)
	want("reads", statuses(4, p, "/chat/history", `{}`), 0, 0, 0, 1010)
	want("guesses", statuses(3, r.connect(), "/user/loginWithPassword", `{"username":"x","password":"y"}`), 1001, 1001, 1010)
	want("address", statuses(1, r.connect(), "/user/loginUnique", `{"unique_id":"x"}`), 1010)
	r.pass(time.Second)
	want("chat, a second later", statuses(2, p, "/chat/public", `{"text":"x"}`), 0, 1010)
}

// Goal: the limiter's memory is bounded and a forgotten caller is one whose bucket was full. Method: many callers, in
// a clock that goes on.
func TestLimiterForgets(t *testing.T) {
	l := newLimiter([classCount]Rate{ClassRead: {1, 1}})
	now := time.Now()
	for i := range 4 * limiterShards * limiterSweep {
		now = now.Add(time.Millisecond)
		l.allow(caller{ClassRead, fmt.Sprint(i), ""}, now)
	}
	kept := 0
	for i := range l.shards {
		kept += len(l.shards[i].full)
	}
	if kept > 2*limiterShards*limiterSweep {
		t.Errorf("%d callers kept, of which 1000 have a bucket that is not full", kept)
	}
	if l.allow(caller{ClassRead, "x", ""}, now) != true || l.allow(caller{ClassRead, "x", ""}, now) != false {
		t.Error("burst of one")
	}
}

// Goal: talk reaches exactly those who may read it, the speaker included. Method: two worlds and two families.
func TestChatReachesItsRoom(t *testing.T) {
	r := newRig(t, nil)
	ann, ben := r.play("0", "Ann", "foxes"), r.play("0", "Ben", "owls")
	cleo, dora := r.play("0", "Cleo", "foxes"), r.play("1", "Dora", "foxes")
	ann.must("/chat/public", `{"text":"to all"}`, nil)
	ann.must("/chat/family", `{"text":"to foxes"}`, nil)
	done := make(chan protocol.Status, 1)
	who := dora.identity()
	r.table.Say(&who, false, []byte("elsewhere"), func(s protocol.Status) { done <- s })
	if s := <-done; s != protocol.StatusOK {
		t.Fatalf("Say: status %d", s)
	}
	heard := func(p *peer, n int) string {
		got := p.await("talk", func(got []string) bool { return len(got) >= n })
		return strings.Join(got, "\n")
	}
	for _, test := range []struct {
		p    *peer
		n    int
		want []string
	}{
		{ann, 2, []string{"to all", "to foxes"}}, {cleo, 2, []string{"to all", "to foxes"}}, {ben, 1, []string{"to all"}}, {dora, 1, []string{"elsewhere"}},
	} {
		text := heard(test.p, test.n)
		if strings.Count(text, `"text"`) != test.n {
			t.Errorf("%s heard %s", test.p.identity().Name, text)
		}
		for _, want := range test.want {
			if !strings.Contains(text, want) {
				t.Errorf("%s did not hear %q: %s", test.p.identity().Name, want, text)
			}
		}
	}
}

// Goal: who watches a world hears of every coming and going once, of two connections of a name nothing, and of short
// visits nothing. Method: a watcher and a sequence.
func TestPresence(t *testing.T) {
	r := newRig(t, nil)
	watcher := r.play("0", "Ann", "")
	watcher.must("/chat/presence", `{"watch":true}`, nil)
	ben := r.play("0", "Ben", "")
	watcher.await("Ben joins", func(got []string) bool { return strings.Contains(strings.Join(got, "\n"), `"Ben"],"count":2`) })
	token, err := r.table.tools.sessionToken(ben.identity(), ben.identity().Login)
	if err != nil {
		t.Fatal(err)
	}
	tab := r.connect()
	tab.must("/session/resume", fmt.Sprintf(`{"token":%q}`, token), nil)
	tab.hangUp()
	ben.hangUp()
	got := watcher.await("Ben leaves", func(got []string) bool { return strings.Contains(strings.Join(got, "\n"), `"left":["Ben"]`) })
	if n := strings.Count(strings.Join(got, "\n"), "Ben"); n != 2 {
		t.Errorf("Ben is told %d times: %q", n, got)
	}
	var out presenceOut
	watcher.must("/chat/presence", `{"watch":false}`, &out)
	if out.Count != 1 || fmt.Sprint(out.Names) != "[Ann]" || len(watcher.Subscriptions()) != 2 {
		t.Errorf("presence %+v, subscriptions %v", out, watcher.Subscriptions())
	}
}

// Goal: a crowded world tells its number only. Method: the limit and one more.
func TestCrowdedPresence(t *testing.T) {
	r := newRig(t, func(o *Options) { o.PresenceNames = 2 })
	p := r.play("0", "Ann", "")
	r.play("0", "Ben", "")
	var out presenceOut
	if p.must("/chat/presence", `{"watch":true}`, &out); len(out.Names) != 2 {
		t.Errorf("at the limit: %+v", out)
	}
	r.play("0", "Cleo", "")
	got := p.await("count", func(got []string) bool { return len(got) > 0 && strings.Contains(got[len(got)-1], `"count":3`) })
	if strings.Contains(got[len(got)-1], "Cleo") {
		t.Errorf("names above the limit: %q", got)
	}
	presence := r.table.tools.presence
	presence.mu.Lock()
	if wait, batch := presence.gather(presence.worlds["0"]), presence.batch; wait != crowdBatches*batch {
		t.Errorf("a crowd is told of after %v, a batch is %v", wait, batch)
	}
	presence.mu.Unlock()
	out = presenceOut{}
	if p.must("/chat/presence", `{}`, &out); out.Count != 3 || out.Names != nil {
		t.Errorf("above the limit: %+v", out)
	}
}

// Goal: who comes back with positions gets what was missed, and is told when that is not possible. Method: miss two
// messages; then ask with a wrong epoch.
func TestResumeWithPositions(t *testing.T) {
	r := newRig(t, nil)
	ann := r.play("0", "Ann", "")
	ben := r.play("0", "Ben", "")
	token, err := r.table.tools.sessionToken(ann.identity(), ann.identity().Login)
	if err != nil {
		t.Fatal(err)
	}
	var at broker.Position
	ann.must("/chat/public", `{"text":"seen"}`, &at)
	ann.hangUp()
	ben.must("/chat/public", `{"text":"missed 1"}`, nil)
	ben.must("/chat/public", `{"text":"missed 2"}`, nil)
	for _, test := range []struct {
		epoch     uint64
		recovered bool
		missed    int
	}{{at.Epoch, true, 2}, {at.Epoch + 1, false, 0}} {
		back := r.connect()
		var out sessionOut
		back.must("/session/resume", fmt.Sprintf(`{"token":%q,"positions":[{"subject":"chat.0.public","epoch":%d,"offset":%d}]}`, token, test.epoch, at.Offset), &out)
		if out.Subjects[0].Recovered != test.recovered || out.Subjects[0].Offset != at.Offset+2 || len(back.got) != test.missed {
			t.Errorf("epoch %d: %+v, got %q", test.epoch, out.Subjects, back.got)
		}
	}
	if reply := r.connect().call("/session/resume", fmt.Sprintf(`{"token":%q,"positions":[%s{}]}`, token, strings.Repeat("{},", 64))); reply.Status != protocol.StatusTooMuch {
		t.Errorf("65 positions: status %d", reply.Status)
	}
}

// Goal: the hot path allocates a fixed few objects a line. Method: count them.
func TestSayAllocations(t *testing.T) {
	r := newRig(t, nil)
	who := Identity{World: "0", Name: "Ann"}
	text := []byte("hello, everyone")
	done := func(protocol.Status) {}
	if n := testing.AllocsPerRun(1000, func() { r.table.Say(&who, false, text, done) }); n > 8 {
		t.Errorf("%.1f allocations a line", n)
	}
}

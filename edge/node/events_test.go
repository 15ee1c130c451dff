package node

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"gosper/broker"
	"gosper/broker/chain"
	"gosper/broker/event"
	"gosper/broker/memory"
	"gosper/protocol"
)

// stale is a message of the events door.
func stale(kind, id string) string {
	if id == "" {
		return fmt.Sprintf(`{"name":"invalidateCache","value":{"type":%q}}`, kind)
	}
	return fmt.Sprintf(`{"name":"invalidateCache","value":{"type":%q,"id":%q}}`, kind, id)
}

const (
	unauthorised = `{"error":{"status_code":401,"detail":"a token is needed","headers":null}}`
	badToken     = `{"error":{"status_code":401,"detail":"the token is not valid, or no longer","headers":null}}`
	running      = `{"engine-status":{"global_lock":false,"global_status":"RUNNING","running_processes":0}}`
)

// Goal: the three endpoints take and refuse handshakes as the reference does. Method: raw handshakes at the public port; what
// is refused after the handshake gets its message, then its code.
func TestEventsHandshakes(t *testing.T) {
	_, p := startHere(t, nil)
	token := p.token("ann")
	old := p.token("ben")
	p.token("ben") // the old one has been replaced
	for name, test := range map[string]struct {
		path, headers string
		status        int
		echo          string // subprotocol of the answer
		refusal       string // message before the end
		code          protocol.CloseCode
		first         string // message at once
	}{
		"good token":          {"/api/ws/events", bearer(token), 101, "base64.bearer.token", "", 0, ""},
		"no header":           {"/api/ws/events", "", 101, "", unauthorised, protocol.ClosePolicy, ""},
		"forged token":        {"/api/ws/events", bearer(token[:len(token)-2] + "xx"), 101, "base64.bearer.token", badToken, protocol.ClosePolicy, ""},
		"replaced token":      {"/api/ws/events", bearer(old), 101, "base64.bearer.token", badToken, protocol.ClosePolicy, ""},
		"endless token":       {"/api/ws/events", bearer(strings.Repeat("a", 4000)), 101, "base64.bearer.token", badToken, protocol.ClosePolicy, ""},
		"one part":            {"/api/ws/events", "Sec-WebSocket-Protocol: base64.bearer.token\r\n", 403, "", "", 0, ""},
		"three parts":         {"/api/ws/events", bearer(token + ", x"), 403, "", "", 0, ""},
		"other order":         {"/api/ws/events", "Sec-WebSocket-Protocol: " + token + ", base64.bearer.token\r\n", 403, "", "", 0, ""},
		"no blank":            {"/api/ws/events", "Sec-WebSocket-Protocol: base64.bearer.token," + token + "\r\n", 403, "", "", 0, ""},
		"empty token":         {"/api/ws/events", "Sec-WebSocket-Protocol: base64.bearer.token, \r\n", 403, "", "", 0, ""},
		"two headers":         {"/api/ws/events", bearer(token) + bearer(token), 403, "", "", 0, ""},
		"foreign origin":      {"/api/ws/events", bearer(token) + "Origin: http://evil.example.com\r\n", 403, "", "", 0, ""},
		"own origin":          {"/api/ws/events", bearer(token) + "Origin: http://" + p.http + "\r\n", 101, "base64.bearer.token", "", 0, ""},
		"bad type":            {"/api/ws/events?types=a.b", bearer(token), 400, "", "", 0, ""},
		"many types":          {"/api/ws/events?types=" + strings.TrimSuffix(strings.Repeat("a,", 17), ","), bearer(token), 400, "", "", 0, ""},
		"bad since":           {"/api/ws/events?since=yesterday", bearer(token), 400, "", "", 0, ""},
		"since of one of two": {"/api/ws/events?types=a,b&since=1.1", bearer(token), 400, "", "", 0, ""},
		"mine with types":     {"/api/ws/events?types=a&mine=1", bearer(token), 400, "", "", 0, ""},
		"lock":                {"/api/settings/ws-status/?token=" + token, "", 101, "", "", 0, running},
		"lock, no token":      {"/api/settings/ws-status/", "", 403, "", "", 0, ""},
		"lock, empty token":   {"/api/settings/ws-status/?token=", "", 101, "", unauthorised, protocol.CloseNormal, ""},
		"lock, bad token":     {"/api/settings/ws-status/?token=x", "", 101, "", badToken, protocol.CloseNormal, ""},
		"processes":           {"/api/processes/all/?token=" + token, "", 101, "", "", 0, ""},
		"processes, no token": {"/api/processes/all/", "", 403, "", "", 0, ""},
		"processes, foreign":  {"/api/processes/all/?token=" + token, "Origin: null\r\n", 403, "", "", 0, ""},
		"processes, bad":      {"/api/processes/all/?token=x", "", 101, "", badToken, protocol.CloseNormal, ""},
		"no websocket":        {"/api/ws/events", "Sec-WebSocket-Key: twice\r\n", 400, "", "", 0, ""},
	} {
		t.Run(name, func(t *testing.T) {
			w, response := shake(t, p.http, test.path, test.headers)
			if response.StatusCode != test.status || response.Header.Get("Sec-WebSocket-Protocol") != test.echo {
				t.Fatalf("status %d, subprotocol %q; want %d, %q", response.StatusCode, response.Header.Get("Sec-WebSocket-Protocol"), test.status, test.echo)
			}
			switch {
			case test.status != http.StatusSwitchingProtocols:
			case test.refusal != "":
				w.messages(test.refusal)
				w.closed(test.code)
			default:
				if test.first != "" {
					w.messages(test.first)
				}
				w.heard() // perhaps the news of the start before
			}
		})
	}
}

// Goal: anybody may listen where the operator says so, but a bad token is no reason to send somebody away there. Method: the
// option, with and without a token.
func TestEventsOpen(t *testing.T) {
	_, p := startHere(t, func(o *Options) { o.Chains.EventsOpen = true })
	for _, headers := range []string{"", bearer("nonsense")} {
		p.listener("/api/ws/events", headers).heard()
	}
	w := p.listener("/api/ws/events?mine=1", "")
	w.messages(`{"error":{"status_code":403,"detail":"mine needs the token of an account","headers":null}}`)
	w.closed(protocol.ClosePolicy)
}

// chainWork is a message of one call that cannot be made: there is no such service.
func chainWork(order int) string { return workAt("http://nowhere.example", order) }

// workAt is a message of one call.
func workAt(url string, order int) string {
	items := fmt.Sprintf(`[{"order":%d,"request":{"url":%q,"endpoint":"/a/b/c","type":"HTTP","method":"POST","payload":"{}"}}]`, order, url)
	hash, err := chain.HashOf([]byte(items))
	if err != nil {
		panic(err)
	}
	return fmt.Sprintf(`{"work_message":{"hash":%q,"items":%s}}`, hash, items)
}

// submit submits a message and waits for the end of its chain.
func (p *process) submit(message string) (hash string) {
	p.t.Helper()
	if status, body := p.request("POST", "/work", message); status != http.StatusAccepted {
		p.t.Fatal(status, body)
	}
	_, hash, _ = strings.Cut(message, `"hash":"`)
	hash, _, _ = strings.Cut(hash, `"`)
	if status, body := p.request("GET", "/work/"+hash+"?wait=30", ""); status != http.StatusOK || !strings.Contains(body, `"reason":`) {
		p.t.Fatal(status, body)
	}
	return hash
}

// Goal: a chain that is resumed tells processStatusCounts, the list, itself, in this order and byte for byte; a deletion tells
// too; and a lock tells engineStatus, its old endpoint the state. Method: listeners of all three endpoints.
func TestEventsMessages(t *testing.T) {
	_, p := startHere(t, nil)
	token := p.token("ann")
	events := p.listener("/api/ws/events", bearer(token))
	lock := p.listener("/api/settings/ws-status/?token="+token, "")
	old := p.listener("/api/processes/all/?token="+token, "")
	lock.messages(running)
	for _, w := range []*wire{events, lock, old} {
		w.heard()
	}
	hash := p.submit(chainWork(1))
	events.until(stale("processes", hash))
	events.calm()
	if status, body := p.request("PUT", "/api/processes/"+hash+"/resume", ""); status != http.StatusNoContent {
		t.Fatal(status, body)
	}
	events.messages(stale("processStatusCounts", ""), stale("processes", "LIST"), stale("processes", hash))
	p.request("GET", "/work/"+hash+"?wait=30", "")
	events.calm()
	if status, body := p.request("DELETE", "/api/processes/"+hash, ""); status != http.StatusNoContent {
		t.Fatal(status, body)
	}
	events.messages(stale("processes", "LIST"), stale("processes", hash), stale("processStatusCounts", ""))
	events.calm()
	if _, body := p.request("PUT", "/api/settings/status", `{"global_lock":true}`); body != `{"global_lock":true,"global_status":"PAUSED","running_processes":0}` {
		t.Error(body)
	}
	events.messages(stale("engineStatus", ""))
	lock.messages(`{"engine-status":{"global_lock":true,"global_status":"PAUSED","running_processes":0}}`)
	if status, body := p.request("POST", "/api/events", `{"type":"orders","id":"7"}`); status != http.StatusNoContent {
		t.Fatal(status, body)
	}
	events.messages(stale("orders", "7"))
	old.heard() // and nothing else ever came
}

// Goal: a lock under which a call still runs is PAUSING, and listeners hear when it has become PAUSED. Method: a service that
// answers when it is told to.
func TestEventsTellOfPaused(t *testing.T) {
	let := make(chan struct{})
	called := make(chan struct{}, 1)
	service := newService(t, func(w http.ResponseWriter, _ *http.Request) {
		called <- struct{}{}
		<-let
		w.WriteHeader(http.StatusOK)
	})
	_, p := startHere(t, func(o *Options) { o.ConfigDir = service.config })
	lock := p.listener("/api/settings/ws-status/?token="+p.token("ann"), "")
	lock.messages(running)
	lock.heard()
	message := workAt(service.url, 1)
	if status, body := p.request("POST", "/work", message); status != http.StatusAccepted {
		t.Fatal(status, body)
	}
	<-called
	if _, body := p.request("PUT", "/api/settings/status", `{"global_lock":true}`); body != `{"global_lock":true,"global_status":"PAUSING","running_processes":1}` {
		t.Error(body)
	}
	lock.messages(`{"engine-status":{"global_lock":true,"global_status":"PAUSING","running_processes":1}}`)
	close(let)
	lock.messages(`{"engine-status":{"global_lock":true,"global_status":"PAUSED","running_processes":0}}`)
}

// Goal: only __ping__ is answered, every other text is ignored, and what is no text ends the connection. Method: texts of all
// kinds, then a binary message.
func TestEventsKeepAlive(t *testing.T) {
	_, p := startHere(t, nil)
	w := p.listener("/api/ws/events", bearer(p.token("ann")))
	w.calm() // of the news of the start
	for _, text := range []string{"", "ping", "__ping__ ", `{"name":"x"}`, strings.Repeat("x", 10000), "__pong__"} {
		w.text(text)
	}
	w.text("__ping__")
	w.messages("__pong__")
	w.send(string(protocol.AppendMaskedFrame(nil, protocol.OpBinary, [4]byte{}, []byte("x"))))
	w.closed(protocol.CloseUnsupported)
}

// Goal: a node that goes says so in the reference's words. Method: drain.
func TestEventsShutdown(t *testing.T) {
	n, p := startHere(t, func(o *Options) { o.Limits.DrainSpread = 100 * time.Millisecond })
	w := p.listener("/api/ws/events", bearer(p.token("ann")))
	w.heard()
	drained := make(chan error, 1)
	go func() { drained <- n.Drain(context.Background()) }()
	w.until(`"Shutting down"`)
	w.closed(protocol.CloseGoingAway)
	if err := <-drained; err != nil {
		t.Error(err)
	}
}

// Goal: a listener chooses types, hears where it begins and where each message stands, and goes on behind a place, of one
// type or several; who was away too long is told; mine hears the account's own only. Method: the broadcaster of a node.
func TestEventsExtensions(t *testing.T) {
	n, p := startHere(t, nil)
	headers := bearer(p.token("ann"))
	orders := p.listener("/api/ws/events?types=orders&positions=1", headers)
	both := p.listener("/api/ws/events?types=orders,books", headers)
	mine := p.listener("/api/ws/events?mine=1", headers)
	first := orders.message()
	if !strings.HasPrefix(first, `{"name":"begin","value":{"recovered":true},"position":{"subject":"events.orders","epoch":`) {
		t.Fatal(first)
	}
	for _, w := range []*wire{orders, both, mine} {
		w.heard()
	}
	n.events.Invalidate("orders", "1")
	n.events.Process("p1", "ann")
	n.events.Process("p2", "ben")
	n.events.Invalidate("books", "2")
	n.events.Invalidate("orders", "3")
	// Each type keeps its order; between two types there is none.
	heard := []string{both.message(), both.message(), both.message()}
	sorted := slices.Sorted(slices.Values(heard))
	if !slices.Equal(sorted, []string{stale("books", "2"), stale("orders", "1"), stale("orders", "3")}) || slices.Index(heard, stale("orders", "1")) > slices.Index(heard, stale("orders", "3")) {
		t.Errorf("two types: got %v", heard)
	}
	mine.messages(stale("processes", "LIST"), stale("processes", "p1"))
	mine.heard()
	placed := func(id string, offset int) string {
		return strings.TrimSuffix(stale("orders", id), "}") + fmt.Sprintf(`,"position":{"subject":"events.orders","epoch":%d,"offset":%d}}`, epochOf(t, first), offset)
	}
	orders.messages(placed("1", 1), placed("3", 2))
	epoch := epochOf(t, first)
	back := p.listener(fmt.Sprintf("/api/ws/events?types=orders&since=%d.1", epoch), headers)
	back.messages(placed("3", 2)) // no begin: it knows where it is
	several := p.listener(fmt.Sprintf("/api/ws/events?types=orders,books&since=%d.0,%d.0", epoch, epoch), headers)
	got := []string{several.message(), several.message(), several.message()}
	if !slices.Contains(got, placed("1", 1)) || !slices.Contains(got, placed("3", 2)) || !strings.Contains(strings.Join(got, ""), "books") {
		t.Error(got)
	}
	lost := p.listener(fmt.Sprintf("/api/ws/events?types=orders&since=%d.99", epoch), headers)
	if got := lost.message(); !strings.HasPrefix(got, `{"name":"begin","value":{"recovered":false},"position":{"subject":"events.orders"`) {
		t.Error(got)
	}
}

// epochOf reads the epoch of a message with a position.
func epochOf(t *testing.T, message string) (epoch uint64) {
	t.Helper()
	_, rest, _ := strings.Cut(message, `"epoch":`)
	if _, err := fmt.Sscanf(rest, "%d", &epoch); err != nil {
		t.Fatal(message, err)
	}
	return epoch
}

// Goal: a token that no longer counts ends its listener, with the message and code of a refusal. Method: a login that replaces
// the listener's, pings every 300 ms.
func TestEventsEndWithTheirToken(t *testing.T) {
	_, p := startHere(t, func(o *Options) {
		o.Limits.Heartbeat, o.Limits.HeartbeatMisses = 300*time.Millisecond, 100 // nobody answers them here
	})
	headers := bearer(p.token("ann"))
	stays := p.listener("/api/ws/events", bearer(p.token("ben")))
	events := p.listener("/api/ws/events", headers)
	old := p.listener("/api/processes/all/?token="+strings.TrimSuffix(strings.TrimPrefix(headers, "Sec-WebSocket-Protocol: base64.bearer.token, "), "\r\n"), "")
	events.heard()
	old.heard()
	p.token("ann")
	events.until(badToken)
	events.closed(protocol.ClosePolicy)
	old.until(badToken)
	old.closed(protocol.CloseNormal)
	stays.heard()
}

// Goal: a listener that takes nothing is let go and hurts no other. Method: one that never reads, one that does, more events
// than buffers hold, never more of them under way than the one that reads may have unread.
func TestEventsSlowListener(t *testing.T) {
	n, p := startHere(t, func(o *Options) {
		o.Limits.OutBytes, o.Limits.CloseTimeout = 64<<10, time.Minute
	})
	headers := bearer(p.token("ann"))
	slow := p.listener("/api/ws/events?types=big", headers)
	slow.heard()
	good := p.listener("/api/ws/events?types=big", headers)
	good.heard()
	const all, step = 2_504, 8
	heard := 0
	for i := range all {
		id := fmt.Sprintf("%08192d", i)
		n.events.Invalidate("big", id)
		if i%step == step-1 {
			heard += len(good.until(stale("big", id))) + 1
		}
	}
	if heard != all {
		t.Errorf("heard %d of %d", heard, all)
	}
	slow.SetReadDeadline(time.Now().Add(patience))
	for {
		op, payload := slow.read()
		if op != protocol.OpClose {
			continue
		}
		if code, _, _ := protocol.ParseClose(payload); code != protocol.CloseSlow {
			t.Errorf("code %d", code)
		}
		return
	}
}

// Goal: games are subscriptions: who joins, leaves, or starts one is told, and its ticks are not. Method: a player and a
// listener.
func TestEventsOfGames(t *testing.T) {
	_, p := startHere(t, nil)
	browser := p.websocket()
	browser.call("/user/loginUnique", `{"unique_id":"device"}`, nil)
	browser.call("/user/enterWorld", `{"world":"0","name":"Ann"}`, nil)
	w := p.listener("/api/ws/events?types=subscriptions", bearer(p.token("ben")))
	w.heard()
	w.calm() // of the news of the start
	var made struct{ Game struct{ ID string } }
	browser.call("/game/create", `{"name":"pond","interval":20,"grids":[{"width":64,"height":64}]}`, &made)
	game := fmt.Sprintf(`{"game":%q}`, made.Game.ID)
	list, itself := stale("subscriptions", "LIST"), stale("subscriptions", made.Game.ID)
	w.messages(list)
	w.messages(itself)
	w.calm() // also of its creation
	browser.call("/game/start", game, nil)
	w.messages(list, itself)
	w.calm() // would not come to an end if ticks were told
	browser.call("/game/leave", game, nil)
	w.messages(list, itself)
}

// Goal: the work is never hurt by those who are told of it. Method: chains run while the bus refuses everything, and while it
// stands still against its promise; all are completed in time.
func TestEventsNeverHurtTheWork(t *testing.T) {
	for name, bus := range map[string]*badBus{
		"fails":        {err: errors.New("the bus is gone")},
		"stands still": {gate: make(chan struct{})},
		"never done":   {},
	} {
		t.Run(name, func(t *testing.T) {
			n := &Node{events: event.New(event.Options{Bus: bus, Pending: 64})}
			if bus.gate != nil {
				defer close(bus.gate)
			}
			store := memory.NewStore()
			defer store.Close()
			engine, err := chain.Open(t.Context(), chain.EngineOptions{Store: store, Executor: calm{}, Changed: n.chainMoved,
				Locked: func(s chain.Settings) { n.events.EngineStatus(s) }})
			if err != nil {
				t.Fatal(err)
			}
			engine.Start()
			defer engine.Close()
			ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
			defer cancel()
			if _, err := engine.Lock(ctx, true); err != nil {
				t.Fatal(err)
			}
			if _, err := engine.Lock(ctx, false); err != nil {
				t.Fatal(err)
			}
			for i := range 200 {
				w, err := chain.ParseWork([]byte(chainWork(i+1)), engine.Limits())
				if err != nil {
					t.Fatal(err)
				}
				if _, _, err := engine.Submit(ctx, w, "ann"); err != nil {
					t.Fatal(err)
				}
				if s, err := engine.Wait(ctx, w.Hash); err != nil || s.State != chain.Completed {
					t.Fatalf("chain %d: %+v %v", i, s, err)
				}
			}
		})
	}
}

// calm is an executor whose calls succeed.
type calm struct{}

func (calm) Do(context.Context, chain.Step) chain.Outcome {
	return chain.Outcome{Response: chain.Response{OK: true}}
}

// badBus refuses, stands still until gate is closed, or never says that it has taken something.
type badBus struct {
	broker.Bus
	err  error
	gate chan struct{}
}

func (b *badBus) Publish(_ string, _ []byte, _ broker.Keep, done func(broker.Position, error)) {
	if b.gate != nil {
		<-b.gate
	}
	if b.err != nil {
		done(broker.Position{}, b.err)
	}
}

// service is a local HTTP service that work chains may call, and the config folder that says so.
type service struct{ url, config string }

func newService(t *testing.T, handler http.HandlerFunc) *service {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	s := &service{server.URL, t.TempDir()}
	table := fmt.Sprintf(`{"services":{%q:{"private":true}}}`, s.url)
	if err := os.WriteFile(filepath.Join(s.config, "services.json"), []byte(table), 0o600); err != nil {
		t.Fatal(err)
	}
	return s
}

package edge_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"gosper/broker"
	"gosper/edge"
	"gosper/edge/door/line"
	"gosper/edge/door/websocket"
	"gosper/edge/module"
	"gosper/grid"
	"gosper/grid/game"
	"gosper/protocol"
)

// fakeBus is a Bus with unbounded history of every subject, whose history and gaps a test controls.
type fakeBus struct {
	mu      sync.Mutex
	subs    map[string][]*fakeSub
	history map[string][]*broker.Message
	epoch   uint64
	slow    chan struct{} // if set, History waits for it
}

type fakeSub struct {
	bus  *fakeBus
	name string
	h    broker.Handler
}

func newBus() *fakeBus {
	return &fakeBus{subs: map[string][]*fakeSub{}, history: map[string][]*broker.Message{}, epoch: 7}
}

func (b *fakeBus) Publish(subject string, data []byte, keep broker.Keep, done func(broker.Position, error)) {
	b.mu.Lock()
	m := &broker.Message{Subject: subject, Data: data, Time: time.Now()}
	if keep.Messages > 0 {
		m.Position = broker.Position{Epoch: b.epoch, Offset: uint64(len(b.history[subject]) + 1)}
		b.history[subject] = append(b.history[subject], m)
	}
	subs := append([]*fakeSub(nil), b.subs[subject]...)
	for _, s := range subs {
		s.h.Message(m)
	}
	b.mu.Unlock()
	if done != nil {
		done(m.Position, nil)
	}
}

func (b *fakeBus) Subscribe(pattern string, h broker.Handler) (broker.Subscription, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if strings.Contains(pattern, " ") {
		return nil, broker.ErrBadName
	}
	s := &fakeSub{b, pattern, h}
	b.subs[pattern] = append(b.subs[pattern], s)
	return s, nil
}

func (s *fakeSub) Unsubscribe() {
	s.bus.mu.Lock()
	defer s.bus.mu.Unlock()
	list := s.bus.subs[s.name]
	for i := range list {
		if list[i] == s {
			s.bus.subs[s.name] = append(list[:i:i], list[i+1:]...)
			return
		}
	}
}

// subscribers returns how many bus subscriptions a subject has.
func (b *fakeBus) subscribers(subject string) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.subs[subject])
}

func (b *fakeBus) History(_ context.Context, subject string, since broker.Position, limit int) (broker.Recovery, error) {
	b.mu.Lock()
	slow := b.slow
	b.mu.Unlock()
	if slow != nil {
		<-slow
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	all := b.history[subject]
	top := broker.Position{Epoch: b.epoch, Offset: uint64(len(all))}
	if since == (broker.Position{}) {
		return broker.Recovery{Messages: all[max(0, len(all)-limit):], Top: top, Recovered: true}, nil
	}
	if since.Epoch != b.epoch || since.Offset > top.Offset {
		return broker.Recovery{Top: top}, nil
	}
	missed := all[since.Offset:]
	return broker.Recovery{Messages: missed[:min(limit, len(missed))], Top: top, Recovered: true}, nil
}

func (b *fakeBus) Close() error { return nil }

// fakeModule is a Dispatcher: a test double of the function table. A nonce is "<world>/<name>/<family>", each call of
// /echo returns its content, and the other routes do what their names say.
type fakeModule struct {
	bus     *fakeBus
	keep    broker.Keep
	joined  atomic.Int64
	left    atomic.Int64
	calls   atomic.Int64
	blocked atomic.Bool   // /block was called, and keeps its loop until hold is closed
	hold    chan struct{} // calls to /wait are answered when it is closed
	note    func()        // what /note does on its loop
	host    *game.Host    // of /game/watch and edits; nil without games

	mu       sync.Mutex
	sessions map[uint64]module.Session
}

func (f *fakeModule) Joined(uint64, module.Identity) { f.joined.Add(1) }
func (f *fakeModule) Left(uint64, module.Identity)   { f.left.Add(1) }

func (f *fakeModule) Say(who *module.Identity, family bool, text []byte, done func(protocol.Status)) {
	if string(text) == "panic" {
		panic("asked for")
	}
	if string(text) == "refuse" {
		done(protocol.StatusRefused)
		return
	}
	subject := protocol.ChatSubject(who.World, "")
	if family {
		subject = protocol.ChatSubject(who.World, who.Family)
	}
	data := protocol.AppendChatPush(nil, family, who.Name, text, 1)
	f.bus.Publish(subject, data, f.keep, func(broker.Position, error) { done(protocol.StatusOK) })
}

func (f *fakeModule) Call(c *module.Call, done func(module.Reply)) {
	f.calls.Add(1)
	switch c.Route {
	case "/echo":
		done(module.Reply{Content: c.Content})
	case "/panic":
		panic("asked for")
	case "/note":
		f.note()
		done(module.Reply{})
	case "/later":
		go done(module.Reply{Content: c.Content})
	case "/block":
		f.blocked.Store(true)
		<-f.hold
		done(module.Reply{})
	case "/wait":
		go func() {
			select {
			case <-f.hold:
				done(module.Reply{Content: c.Content})
			case <-c.Context.Done():
				done(module.Reply{Status: protocol.StatusTimeout})
			}
		}()
	case protocol.RouteRegister:
		go func() { done(f.register(c)) }()
	case "/subscribe", "/unsubscribe":
		go func() { done(f.subscribe(c)) }()
	case "/game/watch", "/game/unwatch":
		go func() { done(f.watch(c)) }()
	case "/close":
		c.Session.Close(protocol.CloseReplaced)
		done(module.Reply{})
	default:
		done(module.Reply{Status: protocol.StatusUnknownFunction})
	}
}

func (f *fakeModule) watch(c *module.Call) module.Reply {
	var in struct {
		Game, Mode string
		Grid       int
		View       grid.Rect
	}
	if err := json.Unmarshal(c.Content, &in); err != nil {
		return module.Reply{Status: protocol.StatusInvalid}
	}
	id, err := game.ParseID(in.Game)
	if err != nil {
		return module.Reply{Status: protocol.StatusUnknown}
	}
	if c.Route == "/game/unwatch" {
		c.Session.Unwatch(id, in.Grid)
		return module.Reply{}
	}
	s := game.Stream{Grid: in.Grid, View: in.View}
	switch in.Mode {
	case "edits":
		s.Mode = protocol.WatchEdits
	case "view":
		s.Mode = protocol.WatchView
	}
	if err := c.Session.Watch(id, s); err != nil {
		return module.Reply{Status: protocol.StatusRefused, Message: err.Error()}
	}
	return module.Reply{}
}

// EditLine lays the pattern of the line as the only user of the game.
func (f *fakeModule) EditLine(who *module.Identity, payload []byte, done func([]byte, protocol.Status)) {
	e, err := protocol.ParseGridEdit(payload)
	if err != nil {
		done(nil, protocol.StatusInvalid)
		return
	}
	answer := func(ack game.Ack, err error) {
		out := protocol.GridEdited{GridName: e.GridName, Seq: ack.Seq, Generation: ack.Generation}
		if err == nil {
			err = ack.Err()
		}
		if err == nil {
			done(protocol.AppendGridEdited(nil, out), protocol.StatusOK)
			return
		}
		out.Seq, out.Refused = 0, err.Error()
		done(protocol.AppendGridEdited(nil, out), protocol.StatusRefused)
	}
	id, _ := game.ParseID(e.Game)
	g, err := f.host.Game(id)
	if err != nil {
		answer(game.Ack{}, err)
		return
	}
	p, err := grid.ParseRLE(append([]byte("x = 64, y = 64\n"), e.Runs...), grid.PatternLimits{})
	if err != nil {
		answer(game.Ack{}, err)
		return
	}
	kind := game.Stamp
	if e.Kill {
		kind = game.Wipe
	}
	g.Edit(player, int(e.Grid), []game.Edit{{Kind: kind, X: e.X, Y: e.Y, Pattern: p}}, answer)
}

func (f *fakeModule) register(c *module.Call) module.Reply {
	var in struct{ Nonce string }
	if err := json.Unmarshal(c.Content, &in); err != nil {
		return module.Reply{Status: protocol.StatusInvalid}
	}
	part := strings.Split(in.Nonce, "/")
	if len(part) != 3 {
		return module.Reply{Status: protocol.StatusInvalidToken}
	}
	for _, subject := range c.Session.Subscriptions() {
		c.Session.Unsubscribe(subject)
	}
	who := module.Identity{World: part[0], Name: part[1], Family: part[2]}
	c.Session.SetIdentity(who)
	subjects := []string{protocol.ChatSubject(who.World, "")}
	if who.Family != "" {
		subjects = append(subjects, protocol.ChatSubject(who.World, who.Family))
	}
	for _, subject := range subjects {
		if _, _, err := c.Session.Subscribe(c.Context, subject, broker.Position{}); err != nil {
			return module.Reply{Status: protocol.StatusInternal, Message: err.Error()}
		}
	}
	f.mu.Lock()
	f.sessions[c.Session.ID()] = c.Session
	f.mu.Unlock()
	return module.Reply{}
}

func (f *fakeModule) subscribe(c *module.Call) module.Reply {
	var in protocol.Position
	if err := json.Unmarshal(c.Content, &in); err != nil {
		return module.Reply{Status: protocol.StatusInvalid}
	}
	if c.Route == "/unsubscribe" {
		c.Session.Unsubscribe(in.Subject)
		return module.Reply{}
	}
	at, recovered, err := c.Session.Subscribe(c.Context, in.Subject, broker.Position{Epoch: in.Epoch, Offset: in.Offset})
	if err != nil {
		return module.Reply{Status: protocol.StatusInternal, Message: err.Error()}
	}
	content := fmt.Appendf(nil, `{"epoch":%d,"offset":%d,"recovered":%t}`, at.Epoch, at.Offset, recovered)
	return module.Reply{Content: content}
}

// server is an engine with its doubles.
type server struct {
	*edge.Engine
	bus *fakeBus
	mod *fakeModule
	web net.Listener // upgrades nothing: what connects is adopted as a websocket at once
}

var (
	lineDoor = line.New()
	wsDoor   = websocket.New(line.Commands{})
)

// start runs a server until the test ends. change may adjust the configuration.
func start(t testing.TB, change func(*edge.Config)) *server {
	t.Helper()
	bus := newBus()
	s := &server{bus: bus, mod: &fakeModule{bus: bus, hold: make(chan struct{}), sessions: map[uint64]module.Session{}}}
	cfg := edge.Config{
		Loops: 2, Limits: edge.DefaultLimits(), Bus: bus, Dispatcher: s.mod,
		Listeners: []edge.Listener{{Name: "line", Addr: "127.0.0.1:0", Door: lineDoor}},
	}
	cfg.Limits.ChatRate, cfg.Limits.CallRate, cfg.Limits.DrainSpread = 0, 0, 100*time.Millisecond
	cfg.Limits.Heartbeat = time.Hour                                       // pings come in tests that ask for them
	cfg.Limits.AuthTimeout, cfg.Limits.WriteTimeout = time.Hour, time.Hour // likewise
	if change != nil {
		change(&cfg)
	}
	var err error
	if s.Engine, err = edge.Start(cfg); err != nil {
		t.Fatal(err)
	}
	if s.web, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	go s.adoptAll()
	t.Cleanup(func() {
		s.web.Close()
		s.Close()
	})
	return s
}

// adoptAll hands each connection to the websocket door. Its first line names the subprotocol.
func (s *server) adoptAll() {
	for {
		c, err := s.web.Accept()
		if err != nil {
			return
		}
		sub := make([]byte, 0, 32)
		for one := make([]byte, 1); ; sub = append(sub, one[0]) {
			if _, err := io.ReadFull(c, one); err != nil || one[0] == '\n' {
				break
			}
		}
		if s.Adopt(c, wsDoor, edge.AdoptInfo{Subprotocol: string(sub)}) != nil {
			c.Close()
		}
	}
}

var (
	sharedOnce   sync.Once
	sharedServer *server
)

// shared is a server with the default limits that many tests use at once.
func shared(t testing.TB) *server {
	t.Helper()
	sharedOnce.Do(func() {
		bus := newBus()
		s := &server{bus: bus, mod: &fakeModule{bus: bus, hold: make(chan struct{}), sessions: map[uint64]module.Session{}}}
		lim := edge.DefaultLimits()
		lim.ChatRate, lim.CallRate, lim.Heartbeat, lim.AuthTimeout, lim.WriteTimeout = 0, 0, time.Hour, time.Hour, time.Hour
		var err error
		s.Engine, err = edge.Start(edge.Config{
			Loops: 2, Limits: lim, Bus: bus, Dispatcher: s.mod,
			Listeners: []edge.Listener{{Name: "line", Addr: "127.0.0.1:0", Door: lineDoor}},
		})
		if err != nil {
			panic(err)
		}
		if s.web, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
			panic(err)
		}
		go s.adoptAll()
		sharedServer = s
	})
	return sharedServer
}

func TestMain(m *testing.M) {
	if os.Getenv(stormEnv) != "" {
		stormServer()
		return
	}
	code := m.Run()
	if sharedServer != nil {
		sharedServer.web.Close()
		sharedServer.Close()
	}
	if code == 0 {
		// gnet keeps a pool of goroutines for good, whether it is used or not.
		if err := goleak.Find(goleak.IgnoreTopFunction("github.com/panjf2000/ants/v2.(*poolCommon).purgeStaleWorkers"),
			goleak.IgnoreTopFunction("github.com/panjf2000/ants/v2.(*poolCommon).ticktock")); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	os.Exit(code)
}

// client is one end of a raw connection to a server. Its methods fail the test.
type client struct {
	t testing.TB
	net.Conn
	r *bufio.Reader
}

const patience = 30 * time.Second

func dial(t testing.TB, addr net.Addr) *client {
	t.Helper()
	c, err := net.Dial("tcp", addr.String())
	if err != nil {
		t.Fatal(err)
	}
	return newClient(t, c)
}

func newClient(t testing.TB, c net.Conn) *client {
	t.Cleanup(func() { c.Close() })
	return &client{t, c, bufio.NewReaderSize(c, 64<<10)}
}

func (s *server) line(t testing.TB) *client {
	t.Helper()
	return dial(t, s.Addr("line"))
}

// player returns a registered line client.
func (s *server) player(t testing.TB, nonce string) *client {
	t.Helper()
	c := s.line(t)
	c.send("00REGISTER" + nonce + "\r\n")
	c.want("00000000OK")
	return c
}

// socket returns a websocket client, after the welcome when it speaks envelopes.
func (s *server) socket(t testing.TB, subprotocol string) *client {
	t.Helper()
	c := dial(t, s.web.Addr())
	c.send(subprotocol + "\n")
	if subprotocol == "" {
		if op, b := c.frame(); op != protocol.OpText || !bytes.Contains(b, []byte(`"/welcome"`)) {
			t.Fatalf("welcome: %v %s", op, b)
		}
	}
	return c
}

func (c *client) send(b string) {
	c.t.Helper()
	if _, err := io.WriteString(c.Conn, b); err != nil {
		c.t.Fatal(err)
	}
}

// text sends a websocket text message.
func (c *client) text(b string) {
	c.t.Helper()
	c.send(string(protocol.AppendMaskedFrame(nil, protocol.OpText, [4]byte{1, 2, 3, 4}, []byte(b))))
}

// get reads one line, without CR LF.
func (c *client) get() string {
	c.t.Helper()
	c.SetReadDeadline(time.Now().Add(patience))
	b, err := c.r.ReadString('\n')
	if err != nil {
		c.t.Fatalf("read: %v after %q", err, b)
	}
	return strings.TrimSuffix(b, "\r\n")
}

func (c *client) want(line string) {
	c.t.Helper()
	if got := c.get(); got != line {
		c.t.Fatalf("got %q, want %q", got, line)
	}
}

// rest reads until the end of the connection.
func (c *client) rest() string {
	c.t.Helper()
	c.SetReadDeadline(time.Now().Add(patience))
	b, err := io.ReadAll(c.r)
	if ne, ok := err.(net.Error); ok && ne.Timeout() {
		c.t.Fatalf("the connection is still open; got %.100q", b)
	}
	return string(b)
}

// frame reads one whole server frame.
func (c *client) frame() (protocol.Opcode, []byte) {
	c.t.Helper()
	op, b, err := c.tryFrame()
	if err != nil {
		c.t.Fatalf("frame: %v", err)
	}
	return op, b
}

func (c *client) tryFrame() (protocol.Opcode, []byte, error) {
	c.SetReadDeadline(time.Now().Add(patience))
	var buf []byte
	for {
		h, n, err := protocol.ParseFrameHeader(buf)
		if err != nil {
			return 0, nil, err
		}
		if n > 0 {
			b := make([]byte, h.Length)
			_, err := io.ReadFull(c.r, b)
			return h.Op, b, err
		}
		one, err := c.r.ReadByte()
		if err != nil {
			return 0, nil, err
		}
		buf = append(buf, one)
	}
}

// wantClose reads frames until a close frame and checks its code and that the end follows.
func (c *client) wantClose(code protocol.CloseCode) {
	c.t.Helper()
	for {
		op, b := c.frame()
		if op != protocol.OpClose {
			continue
		}
		got, _, err := protocol.ParseClose(b)
		if err != nil || got != code {
			c.t.Fatalf("closed with %v (%v), want %v", got, err, code)
		}
		c.Conn.Write(protocol.AppendMaskedClose(nil, [4]byte{}, code, "")) // fails when the server has waited long enough
		c.rest()
		return
	}
}

// wait polls until cond holds.
func wait(t testing.TB, what string, cond func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !cond(); {
		if time.Now().After(end) {
			t.Fatalf("%s: not in time", what)
		}
		time.Sleep(time.Millisecond)
	}
}

func newReader(r io.Reader) *bufio.Reader { return bufio.NewReaderSize(r, 64<<10) }

// stutter writes in pieces of seven bytes.
type stutter struct{ net.Conn }

func (s *stutter) Write(b []byte) (int, error) {
	for n := 0; n < len(b); n += 7 {
		if _, err := s.Conn.Write(b[n:min(n+7, len(b))]); err != nil {
			return n, err
		}
	}
	return len(b), nil
}

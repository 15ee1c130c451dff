package bench

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"time"

	"gosper/edge/client"
	"gosper/protocol"
)

// soakLife is one kind of client, from its first byte to its last.
type soakLife struct {
	name string
	live func(s *soak, ctx context.Context) error
}

// soakEach is how many clients of a kind live at the same time.
const soakEach = 6

var soakLives = []soakLife{
	{"line", func(s *soak, ctx context.Context) error { return s.talk(ctx, "line://"+s.node.line) }},
	{"web", func(s *soak, ctx context.Context) error { return s.talk(ctx, "ws://"+s.node.web+"/ws") }},
	{"lose", (*soak).lose},
	{"game", (*soak).play},
	{"queue", (*soak).work},
	{"gate", (*soak).ask},
}

// What one life does.
const (
	soakWords  = 5  // messages of a talker
	soakRooms  = 16 // worlds that talkers are spread over, so that few hear each other
	soakFrames = 3  // generations that a player waits for
	soakJobs   = 20 // of a worker

	soakAskPause = 20 * time.Millisecond // before each request of a phone
)

// talker is a client that says things and waits until it hears each of them, once.
type talker struct {
	s    *soak
	c    *client.Client
	name string

	mu    sync.Mutex
	conn  net.Conn       // of the newest link
	heard map[string]int // by name and text: how often
	news  chan struct{}  // holds one element when something was heard
}

// world is one that few others live in.
func (s *soak) world() string { return fmt.Sprint("soak", s.next.Add(1)%soakRooms) }

// newTalker connects a player with a name of its own and registers it.
func (s *soak) newTalker(ctx context.Context, url, world string) (*talker, error) {
	n := s.next.Add(1)
	t := &talker{s: s, name: fmt.Sprint("soak", n), heard: map[string]int{}, news: make(chan struct{}, 1)}
	nonce := func(ctx context.Context) (string, error) {
		nonce := fmt.Sprint("nonce-", rand.Uint64(), "-", n)
		return nonce, s.node.nonce(ctx, nonce, map[string]string{"world": world, "gn": t.name})
	}
	first, err := nonce(ctx)
	if err != nil {
		return nil, err
	}
	t.c, err = client.Dial(ctx, url, client.Options{OnPush: t.hear, Nonce: nonce, MinBackoff: 10 * time.Millisecond, Dial: t.dial})
	if err != nil {
		return nil, err
	}
	if err := t.c.Register(ctx, first); err != nil {
		t.c.Close()
		return nil, err
	}
	return t, nil
}

// dial keeps the connection, so that it can be cut.
func (t *talker) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, network, addr)
	if err == nil {
		t.mu.Lock()
		t.conn = conn
		t.mu.Unlock()
	}
	return conn, err
}

func (t *talker) hear(p client.Push) {
	if p.Route != protocol.RouteChatPublic {
		return
	}
	var said struct{ Name, Text string }
	if json.Unmarshal(p.Content, &said) != nil {
		return
	}
	t.mu.Lock()
	t.heard[said.Name+": "+said.Text]++
	t.mu.Unlock()
	select {
	case t.news <- struct{}{}:
	default:
	}
}

// say says a word, and returns when it was heard.
func (t *talker) say(ctx context.Context, word string) error {
	t.s.sent.Add(1)
	if err := t.c.Call(ctx, protocol.RouteChatPublic, map[string]string{"text": word}, nil); err != nil {
		return err
	}
	return t.await(ctx, t, word)
}

// await returns when a word of somebody was heard.
func (t *talker) await(ctx context.Context, who *talker, word string) error {
	limit := time.NewTimer(drainTimeout)
	defer limit.Stop()
	for {
		t.mu.Lock()
		n := t.heard[who.name+": "+word]
		t.mu.Unlock()
		if n > 0 {
			t.s.received.Add(1)
			return nil
		}
		select {
		case <-t.news:
		case <-ctx.Done():
			return ctx.Err()
		case <-limit.C:
			return fmt.Errorf("%q was not heard within %v", word, drainTimeout)
		}
	}
}

// close ends the client and counts what came twice. Every other client goes without a word, as phones do.
func (t *talker) close() {
	t.mu.Lock()
	if tcp, ok := t.conn.(*net.TCPConn); ok && rand.IntN(2) == 0 {
		_ = tcp.SetLinger(0)
	}
	t.mu.Unlock()
	t.c.Close()
	for _, n := range t.heard { // no handler runs any more
		t.s.doubled.Add(uint64(n - 1))
	}
}

// talk is the life of a player who says a few things.
func (s *soak) talk(ctx context.Context, url string) error {
	t, err := s.newTalker(ctx, url, s.world())
	if err != nil {
		return err
	}
	defer t.close()
	for i := range soakWords {
		if err := t.say(ctx, fmt.Sprint("word ", i)); err != nil {
			return err
		}
	}
	return nil
}

// lose is the life of a player who loses the connection, comes back, and hears once what was said meanwhile.
func (s *soak) lose(ctx context.Context) error {
	world := s.world()
	t, err := s.newTalker(ctx, "ws://"+s.node.web+"/ws", world)
	if err != nil {
		return err
	}
	defer t.close()
	other, err := s.newTalker(ctx, "ws://"+s.node.web+"/ws", world)
	if err != nil {
		return err
	}
	defer other.close()
	if err := other.say(ctx, "before"); err != nil {
		return err
	}
	s.sent.Add(1)
	if err := t.await(ctx, other, "before"); err != nil {
		return err
	}
	t.mu.Lock()
	_ = t.conn.Close()
	t.mu.Unlock()
	if err := other.say(ctx, "meanwhile"); err != nil {
		return err
	}
	s.sent.Add(1)
	return t.await(ctx, other, "meanwhile")
}

// play is the life of a player who makes a game, watches it and ends it.
func (s *soak) play(ctx context.Context) error {
	t, err := s.newTalker(ctx, "ws://"+s.node.web+"/ws", s.world())
	if err != nil {
		return err
	}
	defer t.close()
	b := &gamesBench{r: s.r, node: s.node, c: t.c}
	id, err := b.create(ctx, curveGameSide, 50*time.Millisecond)
	if err == nil {
		err = b.draw(ctx, id, rand.New(rand.NewPCG(1, 2)), curveGameSoup, curveGameSoup, 0)
	}
	if err != nil {
		return err
	}
	frames := make(chan struct{}, 1)
	_, err = t.c.Watch(ctx, id, 0, client.WatchOptions{OnChange: func(*client.Watch) {
		select {
		case frames <- struct{}{}:
		default:
		}
	}})
	if err == nil {
		err = b.start(ctx, id)
	}
	if err != nil {
		return err
	}
	for range soakFrames {
		s.sent.Add(1)
		select {
		case <-frames:
			s.received.Add(1)
		case <-time.After(drainTimeout):
			return errors.New("a game shows no frames")
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return t.c.Call(ctx, "/game/end", map[string]string{"game": id}, nil)
}

// work is the life of a worker: jobs put, taken and deleted in a tube of its own.
func (s *soak) work(context.Context) error {
	conn, err := net.Dial("tcp", s.node.queue)
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(readyTimeout)); err != nil {
		return err
	}
	in := bufio.NewReader(conn)
	say := func(request, answer string) (string, error) {
		if _, err := conn.Write([]byte(request)); err != nil {
			return "", err
		}
		line, err := in.ReadString('\n')
		if err == nil && !strings.HasPrefix(line, answer) {
			err = fmt.Errorf("%q was answered %q", request, line)
		}
		return strings.TrimSpace(line), err
	}
	tube := fmt.Sprint("soak", s.next.Add(1))
	for _, c := range [][2]string{{"use " + tube + "\r\n", "USING"}, {"watch " + tube + "\r\n", "WATCHING"}, {"ignore default\r\n", "WATCHING"}} {
		if _, err := say(c[0], c[1]); err != nil {
			return err
		}
	}
	for i := range soakJobs {
		body := fmt.Sprintf("job %06d", i)
		if _, err := say(fmt.Sprintf("put 1 0 60 %d\r\n%s\r\n", len(body), body), "INSERTED"); err != nil {
			return err
		}
		s.sent.Add(1)
		line, err := say("reserve-with-timeout 5\r\n", "RESERVED")
		if err != nil {
			return err
		}
		got, err := in.ReadString('\n')
		if err != nil || strings.TrimSpace(got) != body {
			return fmt.Errorf("the job is %q, not %q: %v", got, body, err)
		}
		id := strings.Fields(line)[1]
		if _, err := say("delete "+id+"\r\n", "DELETED"); err != nil {
			return err
		}
		s.received.Add(1)
	}
	return nil
}

// ask is the life of a phone at the gate: one request, one answer. Lives so short are begun at a pace, or there would be
// hardly any others.
func (s *soak) ask(ctx context.Context) error {
	if err := pause(ctx, soakAskPause); err != nil {
		return err
	}
	s.sent.Add(1)
	if _, err := askGate(s.node.gate, gateFunction, fmt.Appendf(nil, `{"token":%q}`, s.token)); err != nil {
		return err
	}
	s.received.Add(1)
	return nil
}

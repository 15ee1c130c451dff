package bench

import (
	"context"
	"fmt"
	"slices"
	"time"

	"gosper/protocol"
)

// gameCrowd is a number of websockets that watch games. It reads only the headers of frames: whether the cells are right
// is a matter of tests. It belongs to one goroutine.
type gameCrowd struct {
	p     *poller
	links []gameLink
	buf   []byte

	// Since begin.
	counting                       bool
	frames, bytes, missed, doubled uint64
	seen                           map[gameTick]*arrivals
}

// gameLink is one watcher.
type gameLink struct {
	fd         int
	rest       []byte
	bytes      uint64
	generation uint64
	begun      bool // has a snapshot
	cells      bool // gets every generation
}

// gameTick is one generation of one game.
type gameTick struct{ game, generation uint64 }

// arrivals are when the frames of a tick came.
type arrivals struct {
	first, last time.Time
	count       int
}

// watchMessage is what asks for the stream of the first grid of a game.
func watchMessage(game, mode string) string {
	return fmt.Sprintf(`{"route":"/game/watch","content":{"game":%q,"grid":0,"mode":%q}}`, game, mode)
}

// watchers connects one websocket for each message and sends it.
func (b *gamesBench) watchers(ctx context.Context, messages []string) (*gameCrowd, error) {
	nonces, err := b.node.nonces(ctx, len(messages), gamesWorld)
	if err != nil {
		return nil, err
	}
	p, err := newPoller()
	if err != nil {
		return nil, err
	}
	links, err := open(ctx, p, plan{addr: b.node.web, n: len(messages), greet: func(i int) greeter {
		return &webGreeting{host: b.node.web, sub: subEnvelopes, nonce: nonces[i]}
	}, opened: func(n int) { b.r.Step(0, "connecting %d of %d", n, len(messages)) }})
	if err != nil {
		p.close()
		return nil, err
	}
	c := &gameCrowd{p: p, buf: make([]byte, readSize)}
	for _, l := range links {
		c.links = append(c.links, gameLink{fd: l.fd, rest: l.rest})
	}
	for i := range c.links {
		frame := protocol.AppendMaskedFrame(nil, protocol.OpText, clientMask, []byte(messages[i]))
		if n, err := writeNow(c.links[i].fd, frame); err != nil || n < len(frame) {
			c.close()
			return nil, fmt.Errorf("watcher %d: %d of %d bytes sent: %w", i, n, len(frame), err)
		}
	}
	return c, nil
}

func (c *gameCrowd) close() {
	for i := range c.links {
		closeHard(c.links[i].fd)
	}
	c.p.close()
}

// begin counts from now on.
func (c *gameCrowd) begin(time.Duration) {
	c.counting, c.frames, c.bytes, c.missed, c.doubled = true, 0, 0, 0, 0
	c.seen = map[gameTick]*arrivals{}
}

// run reads for a while.
func (c *gameCrowd) run(ctx context.Context, d time.Duration) error {
	for end := time.Now().Add(d); ctx.Err() == nil; {
		left := time.Until(end)
		if left <= 0 {
			return nil
		}
		events, err := c.p.wait(min(left, 50*time.Millisecond))
		if err != nil {
			return err
		}
		for _, ev := range events {
			if ev.Fd == timerID {
				c.p.ticks()
				continue
			}
			if err := c.receive(&c.links[ev.Fd]); err != nil {
				return fmt.Errorf("watcher %d: %w", ev.Fd, err)
			}
		}
	}
	return ctx.Err()
}

// receive reads one socket. What is left of a frame is kept.
func (c *gameCrowd) receive(l *gameLink) error {
	n, err := readNow(l.fd, c.buf)
	if err != nil || n == 0 {
		return err
	}
	now := time.Now()
	l.bytes += uint64(n)
	b := c.buf[:n]
	if len(l.rest) > 0 {
		l.rest = append(l.rest, b...)
		b = l.rest
	}
	used := 0
	for {
		size, err := c.frame(l, b[used:], now)
		if err != nil {
			return err
		}
		if size == 0 {
			break
		}
		used += size
	}
	l.rest = append(l.rest[:0], b[used:]...)
	return nil
}

// frame takes a whole frame from the start of b.
func (c *gameCrowd) frame(l *gameLink, b []byte, now time.Time) (int, error) {
	h, n, err := protocol.ParseFrameHeader(b)
	if err != nil || n == 0 || uint64(len(b)-n) < h.Length {
		return 0, err
	}
	size := n + int(h.Length)
	payload := b[n:size]
	switch h.Op {
	case protocol.OpPing:
		_, err = writeNow(l.fd, protocol.AppendMaskedFrame(nil, protocol.OpPong, clientMask, payload))
	case protocol.OpClose:
		err = fmt.Errorf("closed by the server: %q", payload)
	case protocol.OpBinary:
		err = c.grid(l, payload, now)
	case protocol.OpText:
		if e, bad := protocol.ParseEnvelope(payload); bad == nil && e.Status != protocol.StatusOK {
			err = fmt.Errorf("%s: %d %s", e.Route, e.Status, e.Message)
		}
	}
	return size, err
}

// grid counts a frame of a game.
func (c *gameCrowd) grid(l *gameLink, payload []byte, now time.Time) error {
	h, _, err := protocol.ParseGridHeader(payload)
	if err != nil {
		return err
	}
	before := l.generation
	l.generation = h.Generation
	l.cells = l.cells || h.Kind == protocol.GridDelta
	if !l.begun || !c.counting {
		l.begun = l.begun || h.Kind == protocol.GridSnapshot
		return nil
	}
	if !l.cells {
		return nil
	}
	c.frames++
	c.bytes += uint64(len(payload))
	switch {
	case h.Generation <= before:
		c.doubled++
	default:
		c.missed += h.Generation - before - 1
	}
	key := gameTick{h.Game, h.Generation}
	a := c.seen[key]
	if a == nil {
		a = &arrivals{first: now}
		c.seen[key] = a
	}
	a.last = now
	a.count++
	return nil
}

// lastArrivals tells for each generation that all watchers got how long after its tick the last of them had it. A tick
// is due at a multiple of the interval after the one that came soonest after its own: what a tick was late counts.
func (c *gameCrowd) lastArrivals(interval time.Duration) latencies {
	lat := newLatencies()
	var base time.Time
	ticks := make([]gameTick, 0, len(c.seen))
	for k, a := range c.seen {
		if a.count == len(c.links) {
			ticks = append(ticks, k)
		}
	}
	slices.SortFunc(ticks, func(a, b gameTick) int { return int(a.generation) - int(b.generation) })
	if len(ticks) == 0 {
		return lat
	}
	base = c.seen[ticks[0]].first
	early := time.Duration(0) // the most that a frame came before its place in the schedule of the first
	for _, k := range ticks {
		early = max(early, time.Duration(k.generation-ticks[0].generation)*interval-c.seen[k].first.Sub(base))
	}
	for _, k := range ticks {
		due := base.Add(time.Duration(k.generation-ticks[0].generation)*interval - early)
		lat.add(c.seen[k].last.Sub(due))
	}
	return lat
}

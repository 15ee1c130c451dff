package bench

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"gosper/protocol"
)

// gameCrowd is a number of websockets that watch games, shared among readers. Between runs it belongs to one goroutine.
type gameCrowd struct {
	readers []*gameReader
	links   int
	prompt  bool // read by threads that are no batch work: for one watcher beside a crowd
	crowdCounts
}

// crowdReaders is how many threads read: one would read more slowly than a server on two cores can write.
const crowdReaders = 2

// crowdCounts are what came since begin.
type crowdCounts struct {
	frames, bytes, missed, doubled uint64
	snapshots, skipped             uint64 // snapshots among the frames, and generations that they stand for
	quiet                          uint64 // bytes of links that do not get every generation
	seen                           map[gameTick]*arrivals
}

// gameReader reads a share of the websockets. It reads only the headers of frames: whether the cells are right is a matter
// of tests. It belongs to one goroutine.
type gameReader struct {
	p        *poller
	links    []gameLink
	buf      []byte
	begun    int       // links that have a snapshot
	snapshot time.Time // the last one came then
	counting bool
	crowdCounts
}

// gameLink is one watcher.
type gameLink struct {
	fd         int
	rest       []byte
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
	p, err := newPoller() // of the greetings
	if err != nil {
		return nil, err
	}
	defer p.close()
	links, err := open(ctx, p, plan{addr: b.node.web, n: len(messages), greet: func(i int) greeter {
		return &webGreeting{host: b.node.web, sub: subEnvelopes, nonce: nonces[i]}
	}, opened: func(n int) { b.r.Step(0, "connecting %d of %d", n, len(messages)) }})
	if err != nil {
		return nil, err
	}
	c := &gameCrowd{links: len(links)}
	for range crowdReaders {
		r := &gameReader{buf: make([]byte, readSize)}
		if r.p, err = newPoller(); err != nil {
			closeAll(links)
			c.close()
			return nil, err
		}
		c.readers = append(c.readers, r)
	}
	for i, l := range links {
		r := c.readers[i%crowdReaders]
		err := p.control(unix.EPOLL_CTL_DEL, l.fd, 0, 0)
		if err == nil {
			err = r.p.add(l.fd, len(r.links), unix.EPOLLIN)
		}
		r.links = append(r.links, gameLink{fd: l.fd, rest: l.rest, cells: strings.Contains(messages[i], `"mode":"cells"`)})
		frame := protocol.AppendMaskedFrame(nil, protocol.OpText, clientMask, []byte(messages[i]))
		if err == nil {
			_, err = writeNow(l.fd, frame)
		}
		if err != nil {
			closeAll(links[i+1:])
			c.close()
			return nil, fmt.Errorf("watcher %d: %w", i, err)
		}
	}
	return c, nil
}

func (c *gameCrowd) close() {
	for _, r := range c.readers {
		for i := range r.links {
			closeHard(r.links[i].fd)
		}
		r.p.close()
	}
}

// settleMost is how long a crowd may take until all are in step.
const settleMost = 30 * time.Second

// settle reads until everybody has a snapshot and nobody has needed another one for a while, so that a run does not count
// what its own beginning has cost.
func (c *gameCrowd) settle(ctx context.Context, calm time.Duration) error {
	for end := time.Now().Add(settleMost); ; {
		if err := c.run(ctx, calm/2); err != nil {
			return err
		}
		begun, last := 0, time.Time{}
		for _, r := range c.readers {
			begun += r.begun
			if r.snapshot.After(last) {
				last = r.snapshot
			}
		}
		if begun == c.links && time.Since(last) >= calm {
			return nil
		}
		if time.Now().After(end) {
			return fmt.Errorf("%d of %d watchers have a snapshot after %v, the last one came %v ago", begun, c.links, settleMost, time.Since(last).Round(time.Millisecond))
		}
	}
}

// begin counts from now on.
func (c *gameCrowd) begin() {
	for _, r := range c.readers {
		r.counting, r.crowdCounts = true, crowdCounts{seen: map[gameTick]*arrivals{}}
	}
}

// run reads for a while and sums up what came since begin.
func (c *gameCrowd) run(ctx context.Context, d time.Duration) error {
	errs := make([]error, len(c.readers))
	var all sync.WaitGroup
	for i, r := range c.readers {
		read := func() error { return r.run(ctx, d) }
		all.Go(func() {
			if c.prompt {
				errs[i] = read()
			} else {
				errs[i] = onThread(read)
			}
		})
	}
	all.Wait()
	c.crowdCounts = crowdCounts{seen: map[gameTick]*arrivals{}}
	for _, r := range c.readers {
		c.add(&r.crowdCounts)
	}
	return errors.Join(errs...)
}

func (c *crowdCounts) add(o *crowdCounts) {
	c.frames += o.frames
	c.bytes += o.bytes
	c.missed += o.missed
	c.doubled += o.doubled
	c.snapshots += o.snapshots
	c.skipped += o.skipped
	c.quiet += o.quiet
	for k, a := range o.seen {
		have := c.seen[k]
		if have == nil {
			sum := *a
			c.seen[k] = &sum
			continue
		}
		have.count += a.count
		if a.first.Before(have.first) {
			have.first = a.first
		}
		if a.last.After(have.last) {
			have.last = a.last
		}
	}
}

// run reads for a while.
func (c *gameReader) run(ctx context.Context, d time.Duration) error {
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
func (c *gameReader) receive(l *gameLink) error {
	n, err := readNow(l.fd, c.buf)
	if err != nil || n == 0 {
		return err
	}
	now := time.Now()
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
func (c *gameReader) frame(l *gameLink, b []byte, now time.Time) (int, error) {
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
func (c *gameReader) grid(l *gameLink, payload []byte, now time.Time) error {
	h, _, err := protocol.ParseGridHeader(payload)
	if err != nil {
		return err
	}
	before := l.generation
	l.generation = h.Generation
	snapshot := h.Kind == protocol.GridSnapshot
	if snapshot {
		c.snapshot = now
		if !l.begun {
			l.begun = true
			c.begun++
			return nil
		}
	}
	if !l.begun || !c.counting {
		return nil
	}
	if !l.cells {
		c.quiet += uint64(len(payload))
		return nil
	}
	c.frames++
	c.bytes += uint64(len(payload))
	switch {
	case h.Generation < before, h.Generation == before && !snapshot:
		c.doubled++
	case snapshot: // after a time in which the watcher got nothing, if only because it was slow
		c.snapshots++
		c.skipped += max(h.Generation, before+1) - before - 1
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
		if a.count == c.links {
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

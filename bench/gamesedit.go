package bench

import (
	"bytes"
	"context"
	"fmt"
	"time"

	"gosper/protocol"
)

const (
	editLines  = 16  // connections that draw at the same time, each a user of the game
	editWindow = 256 // edits that each has under way
)

// edits measures edits of one running game from the line door: one at a time, then as many as go.
func (b *gamesBench) edits(ctx context.Context) error {
	id, err := b.create(ctx, crowdSide, crowdInterval)
	if err == nil {
		err = b.start(ctx, id)
	}
	if err != nil {
		return err
	}
	disk, err := b.syncTime()
	if err != nil {
		return err
	}
	l, err := b.drawers(ctx, id)
	if err != nil {
		return err
	}
	defer l.close()
	b.r.Step(0.8, "single edits")
	lat := newLatencies()
	if _, err := l.run(ctx, b.r.Duration/2, 1, 1, lat); err != nil {
		return err
	}
	b.r.Figure("fsync_ms", disk)
	b.r.Figure("edit_p50_ms", lat.quantile(0.5)/1000)
	b.r.Figure("edit_p99_ms", lat.quantile(0.99)/1000)
	b.r.Figure("edit_p99_over_fsync_ms", lat.quantile(0.99)/1000-disk)
	b.r.Step(0.9, "many edits")
	lat = newLatencies()
	start := time.Now()
	n, err := l.run(ctx, b.r.Duration/2, editLines, editWindow, lat)
	if err != nil {
		return err
	}
	b.r.Setting("edit_lines", editLines)
	b.r.Setting("edit_window", editWindow)
	b.r.Figure("edits_per_s", float64(n)/time.Since(start).Seconds())
	b.r.Figure("edits_many_p99_ms", lat.quantile(0.99)/1000)
	b.r.Balance(l.sent, l.answered, l.sent-l.answered, 0)
	return nil
}

// drawLoad is a number of line clients that draw. It belongs to one goroutine.
type drawLoad struct {
	game           string
	p              *poller
	links          []drawLink
	buf            []byte
	sent, answered uint64
}

// drawLink is one of them. Its cells are in a row of their own, and are set and killed in turns, so that no edit is
// refused unless Life was quicker.
type drawLink struct {
	fd    int
	rest  []byte
	row   int
	next  int
	times []time.Time // of the edits under way
}

// drawers connects the line clients and has them join the game.
func (b *gamesBench) drawers(ctx context.Context, game string) (*drawLoad, error) {
	nonces, err := b.node.nonces(ctx, editLines, gamesWorld)
	if err != nil {
		return nil, err
	}
	p, err := newPoller()
	if err != nil {
		return nil, err
	}
	links, err := open(ctx, p, plan{addr: b.node.line, n: editLines, greet: func(i int) greeter {
		return &joinGreeting{lineGreeting: lineGreeting{nonce: nonces[i]}, game: game}
	}})
	if err != nil {
		p.close()
		return nil, err
	}
	l := &drawLoad{game: game, p: p, buf: make([]byte, readSize)}
	for i, k := range links {
		l.links = append(l.links, drawLink{fd: k.fd, rest: k.rest, row: 8 * i})
	}
	return l, nil
}

// joinGreeting registers on the line door and joins a game.
type joinGreeting struct {
	lineGreeting
	game   string
	joined bool // the call was sent
}

func (g *joinGreeting) advance(in []byte) (int, []byte, bool, error) {
	if !g.joined {
		n, send, done, err := g.lineGreeting.advance(in)
		if done {
			g.joined = true
			send = protocol.AppendCallLine(send, "/game/join", protocol.NewMsgID(1), "", fmt.Appendf(nil, `{"game":%q}`, g.game))
		}
		return n, send, false, err
	}
	cmd, payload, n, err := protocol.CutLine(in, len(in))
	if n == 0 || err != nil {
		return 0, nil, false, nil
	}
	if cmd != protocol.CmdReply {
		return n, nil, false, nil
	}
	e, err := protocol.ParseEnvelope(payload)
	if err == nil && e.Status != protocol.StatusOK {
		err = fmt.Errorf("join: %d %s", e.Status, e.Message)
	}
	return n, nil, err == nil, err
}

func (l *drawLoad) close() {
	for i := range l.links {
		closeHard(l.links[i].fd)
	}
	l.p.close()
}

// run keeps window edits of each of the first lines clients under way, and returns how many were answered. It ends when
// all are.
func (l *drawLoad) run(ctx context.Context, d time.Duration, lines, window int, lat latencies) (n uint64, err error) {
	before := l.answered
	end := time.Now().Add(d)
	for i := range lines {
		if err := l.send(&l.links[i], window); err != nil {
			return 0, err
		}
	}
	for l.answered < l.sent {
		events, err := l.p.wait(50 * time.Millisecond)
		if err != nil {
			return 0, err
		}
		now := time.Now()
		if now.After(end.Add(drainTimeout)) {
			return 0, fmt.Errorf("%d edits were not answered", l.sent-l.answered)
		}
		more := now.Before(end) && ctx.Err() == nil
		for _, ev := range events {
			if ev.Fd == timerID {
				l.p.ticks()
				continue
			}
			k := &l.links[ev.Fd]
			got, err := l.receive(k, lat)
			if err == nil && more && got > 0 {
				err = l.send(k, got)
			}
			if err != nil {
				return 0, fmt.Errorf("line %d: %w", ev.Fd, err)
			}
		}
	}
	return l.answered - before, ctx.Err()
}

// send sends n edits in one write.
func (l *drawLoad) send(k *drawLink, n int) error {
	var out []byte
	now := time.Now()
	for range n {
		x := k.next / 2 % (crowdSide - 8)
		runs := "o!"
		if k.next%2 == 1 {
			runs = "!o!"
		}
		k.next++
		k.times = append(k.times, now)
		out = append(out, protocol.CmdEdit.String()...)
		out = fmt.Appendf(out, "%s/0 %d,%d %s\r\n", l.game, x, k.row, runs)
	}
	l.sent += uint64(n)
	for len(out) > 0 {
		m, err := writeNow(k.fd, out)
		if err != nil {
			return err
		}
		out = out[m:]
	}
	return nil
}

// receive reads one socket and returns how many edits were answered.
func (l *drawLoad) receive(k *drawLink, lat latencies) (got int, err error) {
	n, err := readNow(k.fd, l.buf)
	if err != nil || n == 0 {
		return 0, err
	}
	k.rest = append(k.rest, l.buf[:n]...)
	used, now := 0, time.Now()
	for {
		cmd, payload, size, err := protocol.CutLine(k.rest[used:], len(k.rest)+2)
		if err != nil {
			return got, err
		}
		if size == 0 {
			break
		}
		used += size
		switch cmd {
		case protocol.CmdEdit:
			if bytes.Contains(payload, []byte("/0 0 ")) {
				return got, fmt.Errorf("an edit was refused: %s", payload)
			}
			lat.add(now.Sub(k.times[0]))
			k.times = k.times[1:]
			l.answered++
			got++
		case protocol.CmdClose:
			return got, fmt.Errorf("closed by the server: %s", payload)
		}
	}
	k.rest = append(k.rest[:0], k.rest[used:]...)
	return got, nil
}

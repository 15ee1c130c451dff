package bench

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"runtime"
	"strings"
	"sync"
	"time"

	"gosper/protocol"
)

const (
	quietSide = 64                    // of the game that is watched beside the soup
	chatEvery = 20 * time.Millisecond // between two messages beside it
)

// soup measures one large game on a fresh soup, whose frames are so large that no machine of this kind carries them to n
// watchers: they must skip to snapshots, and others must not feel it. The others are a small game with a watcher, a
// player who chats, and the ticks of both games, each measured without the soup first.
func (b *gamesBench) soup(ctx context.Context, n int) error {
	// The readers of the crowd keep their processors of the Go runtime while other processes have the cores. The others
	// need some of their own, or their time would be that of the readers.
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(runtime.NumCPU() + crowdReaders + 2))
	o, err := b.bystanders(ctx)
	if err != nil {
		return err
	}
	defer o.close()
	b.r.Step(0.6, "a quiet game alone")
	alone, err := o.beside(ctx, b.r.Duration/2, nil, "")
	if err != nil {
		return err
	}
	id, err := b.freshSoup(ctx)
	if err != nil {
		return err
	}
	watches := make([]string, n)
	for i := range watches {
		watches[i] = watchMessage(id, "cells")
	}
	crowd, err := b.watchers(ctx, watches)
	if err != nil {
		return err
	}
	defer crowd.close()
	if err := crowd.settle(ctx, b.warmUp()); err != nil {
		return err
	}
	b.r.Step(0.7, "a fresh soup with %d watchers", n)
	with, err := o.beside(ctx, b.r.Duration, crowd, id)
	if err != nil {
		return err
	}
	b.soupFigures(crowd, alone, with)
	return nil
}

// soupFigures records what the watchers of the soup got, and what the others noticed.
func (b *gamesBench) soupFigures(c *gameCrowd, alone, with besideFigures) {
	b.r.Figure("soup_frames_per_s", float64(c.frames)/with.seconds)
	b.r.Figure("soup_bytes_per_s", float64(c.bytes)/with.seconds)
	b.r.Figure("soup_frame_bytes", float64(c.bytes)/float64(max(1, c.frames)))
	b.r.Figure("soup_snapshots", float64(c.snapshots))
	b.r.Figure("soup_skipped_share", float64(c.skipped)/float64(max(1, c.skipped+c.frames)))
	b.r.Figure("soup_cores", with.cores)
	b.r.Figure("soup_server_bytes", with.memory)
	for name, f := range map[string]besideFigures{"alone": alone, "soup": with} {
		b.r.Figure("quiet_"+name+"_p99_ms", f.quiet.quantile(0.99)/1000)
		b.r.Figure("chat_"+name+"_p50_ms", f.chat.quantile(0.5)/1000)
		b.r.Figure("chat_"+name+"_p99_ms", f.chat.quantile(0.99)/1000)
		b.r.Figure("lateness_"+name+"_p99_ms", f.lateness)
		b.r.Figure("server_wait_"+name, f.serverWait)
		b.r.Figure("generator_wait_"+name, f.generatorWait)
	}
	b.balance("soup", c)
}

// bystanders are those beside a crowd: the watcher of a small game, and a player who chats in another world.
type bystanders struct {
	b     *gamesBench
	quiet *gameCrowd
	chat  *chatter
}

// besideFigures are what they noticed in a while.
type besideFigures struct {
	seconds     float64
	quiet, chat latencies
	lateness    float64 // of the ticks of all games, 99 % are less late, in ms
	cores       float64
	memory      float64 // resident bytes of the server at the end

	serverWait, generatorWait float64 // seconds that threads waited for a processor, for each that they ran
}

func (b *gamesBench) bystanders(ctx context.Context) (*bystanders, error) {
	id, err := b.create(ctx, quietSide, crowdInterval)
	if err == nil {
		err = b.c.Call(ctx, "/game/pattern", map[string]any{"game": id, "grid": 0, "x": 8, "y": 8, "text": "x = 3, y = 3, rule = B3/S23\nbob$2bo$3o!"}, nil) // a glider
	}
	if err == nil {
		err = b.start(ctx, id)
	}
	if err != nil {
		return nil, err
	}
	o := &bystanders{b: b}
	if o.quiet, err = b.watchers(ctx, []string{watchMessage(id, "cells")}); err != nil {
		return nil, err
	}
	o.quiet.prompt = true
	if o.chat, err = newChatter(ctx, b.node); err != nil {
		o.quiet.close()
		return nil, err
	}
	if err = o.quiet.settle(ctx, 3*crowdInterval); err != nil {
		o.close()
		return nil, err
	}
	return o, nil
}

func (o *bystanders) close() {
	o.quiet.close()
	o.chat.conn.Close()
}

// beside measures for a while, with a crowd at work or without: it starts the game of the crowd. No generation of the small
// game may be missing.
func (o *bystanders) beside(ctx context.Context, d time.Duration, crowd *gameCrowd, game string) (f besideFigures, err error) {
	if err := o.quiet.run(ctx, 2*crowdInterval); err != nil { // what came while nobody read
		return f, err
	}
	ticks, err1 := o.b.lateness(ctx)
	cpu, err2 := cpuTime(o.b.node.pid())
	if err := errors.Join(err1, err2); err != nil {
		return f, err
	}
	name := "alone"
	if crowd != nil {
		name = "soup"
		crowd.begin()
		if err := o.b.start(ctx, game); err != nil {
			return f, err
		}
	}
	f.chat = newLatencies()
	o.quiet.begin()
	serverWaits, generatorWaits := waitsOf(o.b.node.pid()), waitsOf(os.Getpid())
	started := time.Now()
	parts := []func() error{
		func() error { return o.quiet.run(ctx, d) },
		func() error { return o.chat.run(ctx, d, f.chat) },
	}
	if crowd != nil {
		parts = append(parts, func() error { return crowd.run(ctx, d) })
	}
	errs := make([]error, len(parts))
	var all sync.WaitGroup
	for i, part := range parts {
		all.Go(func() { errs[i] = part() })
	}
	all.Wait()
	if err := errors.Join(errs...); err != nil {
		return f, err
	}
	f.seconds = time.Since(started).Seconds()
	f.serverWait = waitsOf(o.b.node.pid()).since(serverWaits)
	f.generatorWait = waitsOf(os.Getpid()).since(generatorWaits)
	f.quiet = o.quiet.lastArrivals(crowdInterval)
	o.b.balance("quiet_"+name, o.quiet)
	used, err1 := cpuTime(o.b.node.pid())
	after, err2 := o.b.lateness(ctx)
	f.cores = (used - cpu).Seconds() / f.seconds
	f.lateness = 1000 * after.since(ticks).quantile(0.99)
	var err3 error
	f.memory, err3 = residentBytes(o.b.node.pid())
	return f, errors.Join(err1, err2, err3)
}

// chatter is a player on the line door who says something now and then and waits until it hears it. It belongs to one
// goroutine.
type chatter struct {
	conn net.Conn
	r    *bufio.Reader
}

func newChatter(ctx context.Context, n *node) (*chatter, error) {
	const name = "chatter"
	if err := n.nonce(ctx, name, map[string]string{"world": "beside", "gn": name}); err != nil {
		return nil, err
	}
	conn, err := net.Dial("tcp", n.line)
	if err != nil {
		return nil, err
	}
	c := &chatter{conn, bufio.NewReader(conn)}
	err = conn.SetDeadline(time.Now().Add(readyTimeout))
	if err == nil {
		_, err = conn.Write(protocol.AppendLine(nil, protocol.CmdRegister, []byte(name)))
	}
	if err == nil {
		err = c.hear(string(protocol.AppendLine(nil, protocol.CmdOK)))
	}
	if err != nil {
		conn.Close()
		return nil, fmt.Errorf("register who chats: %w", err)
	}
	return c, nil
}

// hear reads up to a line that begins so.
func (c *chatter) hear(start string) error {
	for {
		line, err := c.r.ReadString('\n')
		if err != nil || strings.HasPrefix(line, start) {
			return err
		}
	}
}

// run says something at each place of a schedule, or later when it still waits for the one before, and measures from that
// place.
func (c *chatter) run(ctx context.Context, d time.Duration, lat latencies) error {
	start := time.Now()
	next := time.NewTimer(0)
	defer next.Stop()
	for due := start; due.Sub(start) < d; due = due.Add(chatEvery) {
		next.Reset(time.Until(due))
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-next.C:
		}
		said := fmt.Sprint("tick ", due.Sub(start))
		if err := c.conn.SetDeadline(time.Now().Add(drainTimeout)); err != nil {
			return err
		}
		if _, err := c.conn.Write(protocol.AppendLine(nil, protocol.CmdPublic, []byte(said))); err != nil {
			return err
		}
		if err := c.hear(string(protocol.AppendLine(nil, protocol.CmdPublic, []byte("chatter:"+said)))); err != nil {
			return fmt.Errorf("chat: %w", err)
		}
		lat.add(time.Since(due))
	}
	return nil
}

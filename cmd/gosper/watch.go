package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/term"

	"gosper/edge/client"
	"gosper/grid"
	"gosper/protocol"
)

func watchCommand() command {
	return command{
		name:    "watch",
		summary: "draw a game in the terminal as it runs; one line a frame when the output is none",
		example: "gosper watch 3k9zt0m1q2\ngosper watch --mode edits 3k9zt0m1q2/1\ngosper watch --frames 10 3k9zt0m1q2 > log",
		run:     runWatch,
	}
}

// watchOptions are the flags of gosper watch.
type watchOptions struct {
	server      serverFlags
	internal    *internalAPI
	world, name string
	mode        string
	frames      int
	game        string
	grid        uint16
}

func runWatch(ctx context.Context, args []string, std stdio) int {
	var o watchOptions
	flags := newFlags(watchCommand(), "[flags] GAME[/GRID]", std.out)
	o.server.add(flags)
	o.internal = newInternalAPI(flags)
	flags.StringVar(&o.world, "world", "0", "world to enter")
	flags.StringVar(&o.name, "name", "watcher", "name to enter as; a nonce of the internal port lets it in, or --nonce")
	flags.StringVar(&o.mode, "mode", "cells", "cells: the server sends each generation; edits: only edits, this program computes the rest")
	flags.IntVar(&o.frames, "frames", 0, "end after so many frames; 0 goes on for ever")
	words, code, done := parseMixed(flags, args, std)
	if done {
		return code
	}
	if len(words) != 1 {
		return usageError(std, "gosper watch", wantWords("one GAME", "watch"))
	}
	if err := o.target(words[0]); err != nil {
		return usageError(std, "gosper watch", err)
	}
	if err := watch(ctx, o, std); err != nil && ctx.Err() == nil { // an interrupt is how watching ends
		return failure(std, "gosper watch", err)
	}
	return exitOK
}

// target reads GAME or GAME/GRID, and the mode.
func (o *watchOptions) target(word string) error {
	game, index, has := strings.Cut(word, "/")
	o.game = game
	if has {
		n, err := strconv.ParseUint(index, 10, 16)
		if err != nil {
			return fmt.Errorf("%q is not the number of a grid", index)
		}
		o.grid = uint16(n)
	}
	if o.mode != protocol.WatchCells.String() && o.mode != protocol.WatchEdits.String() {
		return fmt.Errorf("mode: want cells or edits, not %q", o.mode)
	}
	return nil
}

// watch shows a game until it has shown enough, the context ends or the game is lost.
func watch(ctx context.Context, o watchOptions, std stdio) error {
	nonce := func(ctx context.Context) (string, error) {
		if o.server.nonce != "" {
			return o.server.nonce, nil
		}
		return o.internal.playerNonce(ctx, o.world, o.name, "")
	}
	first, err := nonce(ctx)
	if err != nil {
		return err
	}
	show := &show{out: std.out, colours: map[uint8]uint32{}, changed: make(chan struct{}, 1), lost: make(chan error, 1)}
	c, err := o.server.dial(ctx, client.Options{MaxMessage: 64 << 20, Nonce: nonce, OnPush: func(p client.Push) {
		if p.Route == "/game/users" {
			show.users(p.Content)
		}
	}})
	if err != nil {
		return err
	}
	defer c.Close()
	if err := c.Register(ctx, first); err != nil {
		return err
	}
	if err := show.learn(ctx, c, o.game); err != nil {
		return err
	}
	mode := protocol.WatchCells
	if o.mode == protocol.WatchEdits.String() {
		mode = protocol.WatchEdits
	}
	w, err := c.Watch(ctx, o.game, o.grid, client.WatchOptions{Mode: mode, OnChange: show.wake, MaxMemory: 1 << 30,
		OnLost: func(_ *client.Watch, err error) { show.lost <- err }})
	if err != nil {
		return err
	}
	defer show.open()()
	return show.run(ctx, c, w, o.frames)
}

// show draws a watched grid.
type show struct {
	out     io.Writer
	screen  *os.File // nil when the output is no terminal
	changed chan struct{}
	lost    chan error

	mu      sync.Mutex
	colours map[uint8]uint32 // by owner number; guarded by mu
}

// frameTime is the shortest time between two pictures on a terminal.
const frameTime = 40 * time.Millisecond

// open readies the terminal and returns what restores it.
func (s *show) open() (restore func()) {
	if !isTerminal(s.out) {
		return func() {}
	}
	s.screen = s.out.(*os.File)
	fmt.Fprint(s.out, "\x1b[?1049h\x1b[?25l")
	return func() { fmt.Fprint(s.out, "\x1b[?25h\x1b[?1049l") }
}

// wake notes that there is something new to show.
func (s *show) wake(*client.Watch) {
	select {
	case s.changed <- struct{}{}:
	default:
	}
}

// run shows frames. On a terminal it skips those that come too fast.
func (s *show) run(ctx context.Context, c *client.Client, w *client.Watch, frames int) error {
	pause := time.NewTicker(frameTime)
	defer pause.Stop()
	for shown := 0; frames == 0 || shown < frames; shown++ {
		select {
		case <-s.changed:
		case err := <-s.lost:
			return err
		case <-c.Done():
			return c.Err()
		case <-ctx.Done():
			return ctx.Err()
		}
		w.Look(s.picture)
		if s.screen != nil {
			<-pause.C
		}
	}
	return nil
}

// picture shows the grid as it is: drawn on a terminal, else as one line of figures.
func (s *show) picture(f *client.Follower) {
	g := f.Grid()
	line := fmt.Sprintf("generation %d population %d hash %016x", f.Generation(), g.Population(), f.Hash())
	if s.screen == nil {
		fmt.Fprintln(s.out, line)
		return
	}
	cols, rows, err := term.GetSize(int(s.screen.Fd()))
	if err != nil || cols < 1 || rows < 2 {
		cols, rows = 80, 24
	}
	b := append([]byte(nil), "\x1b[H"...)
	b = appendPicture(b, g, cols, rows-1, s.colour(g))
	b = append(append(b, line[:min(len(line), cols)]...), "\x1b[K\x1b[J"...)
	_, _ = s.out.Write(b) // a terminal that is gone ends the program by a signal
}

// noColour is what a cell has when the terminal's own colour is meant.
const noColour = ^uint32(0)

// colour returns how cells of g are coloured.
func (s *show) colour(g *grid.Grid) func(x, y int) uint32 {
	o := g.Options()
	switch {
	case o.Owners > 0:
		s.mu.Lock()
		byOwner := make(map[uint8]uint32, len(s.colours))
		for n, c := range s.colours {
			byOwner[n] = c
		}
		s.mu.Unlock()
		return func(x, y int) uint32 {
			owner, _ := g.Owner(x, y)
			if c, ok := byOwner[owner]; ok {
				return c
			}
			return noColour
		}
	case o.Colours != grid.ColourNone:
		return func(x, y int) uint32 {
			c, _ := g.Colour(x, y)
			return c
		}
	}
	return func(int, int) uint32 { return noColour }
}

// learn asks who plays.
func (s *show) learn(ctx context.Context, c *client.Client, game string) error {
	e, err := c.CallRaw(ctx, "/game/stats", fmt.Appendf(nil, `{"game":%q}`, game))
	if err != nil {
		return err
	}
	if e.Status != protocol.StatusOK {
		return errors.New(e.Message)
	}
	s.users(e.Content)
	return nil
}

package client_test

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"gosper/edge/client"
	"gosper/grid"
	"gosper/protocol"
)

// Goal: a watch shows the game in all modes through both doors, and goes on when the node was started anew. Method: a real
// node whose game runs; each watch checks every hash by itself, and has to get on without an end.
func TestWatchAgainstNode(t *testing.T) {
	o := nodeOptions(t)
	n := startNode(t, o)
	defer func() { n.Close() }()
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
	defer cancel()
	internal := o.InternalAddr
	join := func(url, name string) *client.Client {
		c, err := client.Dial(ctx, url, client.Options{MinBackoff: 20 * time.Millisecond, MaxBackoff: 100 * time.Millisecond,
			Nonce: func(ctx context.Context) (string, error) { return tryNonce(ctx, internal, name) }})
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Register(ctx, newNonce(t, o, name)); err != nil {
			t.Fatal(err)
		}
		return c
	}
	web, line := join("ws://"+o.HTTPAddr+"/ws", "ann"), join("line://"+o.LineAddr, "bob")
	defer web.Close()
	defer line.Close()
	var made struct{ Game struct{ ID string } }
	call := func(route string, in map[string]any, out any) {
		t.Helper()
		if made.Game.ID != "" {
			in["game"] = made.Game.ID
		}
		if err := web.Call(ctx, route, in, out); err != nil {
			t.Fatal(err)
		}
	}
	call("/game/create", map[string]any{"name": "pond", "interval": 20, "persistent": true,
		"grids": []map[string]any{{"width": 100, "height": 80, "mode": "owners"}, {"width": 64, "height": 64, "topology": "plane"}, {"width": 200, "height": 200}}}, &made)
	for i := range 3 {
		call("/game/pattern", map[string]any{"grid": i, "x": 20, "y": 20, "text": "b2o$2o$bo!"}, nil)
	}
	call("/game/start", map[string]any{}, nil)
	type followed struct {
		w       *client.Watch
		reached atomic.Uint64
	}
	var all []*followed
	watch := func(c *client.Client, index uint16, mode protocol.WatchMode) {
		f := &followed{}
		w, err := c.Watch(ctx, made.Game.ID, index, client.WatchOptions{Mode: mode, View: protocol.GridRect{Width: 64, Height: 64},
			OnChange: func(w *client.Watch) { w.Look(func(g *client.Follower) { f.reached.Store(g.Generation()) }) },
			OnLost:   func(_ *client.Watch, err error) { t.Error("lost:", err) }})
		if err != nil {
			t.Fatal(err)
		}
		f.w = w
		all = append(all, f)
	}
	for _, c := range []*client.Client{web, line} {
		watch(c, 0, protocol.WatchCells)
		watch(c, 1, protocol.WatchEdits)
		watch(c, 2, protocol.WatchView)
	}
	reach := func(generation uint64) {
		t.Helper()
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		for _, f := range all {
			for f.reached.Load() < generation {
				select {
				case <-tick.C:
				case <-ctx.Done():
					t.Fatalf("a watch is at generation %d of %d: %+v", f.reached.Load(), generation, f.w.Stats())
				}
			}
		}
	}
	reach(30)
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	n = startNode(t, o)
	reached := uint64(0)
	for _, f := range all {
		reached = max(reached, f.reached.Load())
	}
	reach(reached + 30)
	for i, f := range all {
		if s := f.w.Stats(); s.Repairs != 0 || s.Snapshots < 2 || s.Frames == 0 {
			t.Errorf("watch %d: %+v", i, s)
		}
	}
	if err := all[0].w.Close(ctx); err != nil {
		t.Error(err)
	}
	var status *client.StatusError
	if _, err := web.Watch(ctx, "0000000000", 0, client.WatchOptions{}); !errors.As(err, &status) {
		t.Errorf("a game that is not there: %v", err)
	}
	if _, err := web.Watch(ctx, "pond", 0, client.WatchOptions{}); err == nil {
		t.Error("watched what is no id")
	}
}

// tryNonce is newNonce while the node may be down.
func tryNonce(ctx context.Context, internal, name string) (string, error) {
	nonce := rand.Text()
	body := fmt.Sprintf(`{"nonce":%q,"payload":{"world":"0","gn":%q}}`, nonce, name)
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+internal+"/register_nonce", strings.NewReader(body))
	if err != nil {
		return "", err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", err
	}
	return nonce, resp.Body.Close()
}

// FuzzFollower: whatever comes, a follower neither panics nor takes more memory than it may, and its copy has the hash of
// the frame whenever it says that it is in step.
func FuzzFollower(f *testing.F) {
	g, err := grid.New(grid.Options{Width: 70, Height: 40}, nil)
	if err != nil {
		f.Fatal(err)
	}
	if err := g.Place(3, 3, 0); err != nil {
		f.Fatal(err)
	}
	frame := func(kind protocol.GridKind, payload []byte) []byte {
		h := protocol.GridHeader{Kind: kind, Epoch: 1, Game: 5, Generation: g.Generation(), Hash: g.Hash()}
		return append(protocol.AppendGridHeader(nil, h), payload...)
	}
	snapshot := frame(protocol.GridSnapshot, g.AppendSnapshot(nil))
	delta := g.StepDelta(nil)
	f.Add(snapshot, frame(protocol.GridDelta, delta), false)
	f.Add(snapshot, frame(protocol.GridTick, nil), true)
	f.Add([]byte("g/0 5 70x40 0000000000000000 !"), []byte("g/0 6 0000000000000000 3b2o!"), true)
	f.Fuzz(func(t *testing.T, first, second []byte, edits bool) {
		mode := protocol.WatchCells
		if edits {
			mode = protocol.WatchEdits
		}
		check := func(c *client.Follower, err error) {
			if err == nil && (!c.Begun() || c.Grid().Hash() != c.Hash()) {
				t.Fatal("in step with another hash")
			}
		}
		binary, text := client.NewFollower(mode, 1<<16), client.NewTextFollower(mode, grid.Options{Width: 70, Height: 40, Rule: grid.Life}, 1<<16)
		check(binary, binary.Frame(first))
		check(binary, binary.Frame(second))
		check(text, text.Line(first, true))
		check(text, text.Line(second, false))
	})
}

package main

import (
	"context"
	"flag"
	"fmt"
	"strings"
	"testing"
	"time"

	"gosper/edge/client"
	"gosper/grid"
)

// Goal: gosper watch follows a running game in both modes over both doors, and says what is wrong with a game it cannot
// watch. Method: a real node and the command with its output to no terminal.
func TestWatch(t *testing.T) {
	n := testNode(t)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	internal := "--internal-addr=" + n.Addr("internal").String()
	nonce, err := newInternalAPI(flag.NewFlagSet("test", flag.ContinueOnError)).playerNonce(ctx, "0", "ann", "")
	if err != nil {
		t.Fatal(err)
	}
	c, err := client.Dial(ctx, "ws://"+n.Addr("http").String()+"/ws", client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.Register(ctx, nonce); err != nil {
		t.Fatal(err)
	}
	var made struct{ Game struct{ ID string } }
	for _, call := range []struct {
		route string
		in    map[string]any
	}{
		{"/game/create", map[string]any{"name": "pond", "interval": 20, "grids": []map[string]any{{"width": 64, "height": 64, "mode": "owners"}}}},
		{"/game/pattern", map[string]any{"grid": 0, "x": 5, "y": 5, "text": "bo$2bo$3o!"}},
		{"/game/start", map[string]any{}},
	} {
		if made.Game.ID != "" {
			call.in["game"] = made.Game.ID
		}
		var out any
		if made.Game.ID == "" {
			out = &made
		}
		if err := c.Call(ctx, call.route, call.in, out); err != nil {
			t.Fatal(err)
		}
	}
	for _, door := range []string{"--url=ws://" + n.Addr("http").String() + "/ws", "--line=" + n.Addr("line").String()} {
		code, out, errs := runWith(ctx, "", "watch", internal, door, "--frames", "3", made.Game.ID+"/0")
		if lines := strings.Count(out, "population 5 hash"); code != 0 || lines != 3 {
			t.Errorf("%s: exit %d, %d good lines in %q %s", door, code, lines, out, errs)
		}
		code, out, errs = runWith(ctx, "", "watch", internal, door, "--mode", "edits", "--frames", "1", made.Game.ID)
		if code != 0 || !strings.Contains(out, "population 5 hash") {
			t.Errorf("%s, edits: exit %d, %q %s", door, code, out, errs)
		}
		code, _, errs = runWith(ctx, "", "watch", internal, door, "0000000000")
		if code != exitError || !strings.Contains(errs, "no such game") {
			t.Errorf("%s, no game: exit %d, %s", door, code, errs)
		}
	}
	for _, bad := range [][]string{{"watch"}, {"watch", "a", "b"}, {"watch", "a/x"}, {"watch", "--mode", "view", "a"}} {
		if code, _, _ := runWith(ctx, "", bad...); code != exitUsage {
			t.Errorf("%v: exit %d", bad, code)
		}
	}
}

// A picture has half blocks where the grid fits, braille where it is larger, and colours where there are any.
func TestPicture(t *testing.T) {
	g, err := grid.New(grid.Options{Width: 4, Height: 5}, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, at := range [][2]int{{0, 0}, {1, 1}, {2, 0}, {2, 1}, {3, 4}} {
		if err := g.Place(at[0], at[1], 0); err != nil {
			t.Fatal(err)
		}
	}
	plain := func(int, int) uint32 { return noColour }
	const end = "\x1b[K\r\n"
	for _, test := range []struct {
		cols, rows int
		colour     func(x, y int) uint32
		want       string
	}{
		{80, 24, plain, "▀▄█ " + end + "    " + end + "   ▀" + end},
		{2, 2, plain, "⠑⠃" + end + "⠀⠈" + end},
		{1, 1, plain, "⠩" + end}, // scaled
		{80, 24, func(x, y int) uint32 { return uint32(y) }, "\x1b[38;2;0;0;0m▀\x1b[38;2;0;0;1m▄\x1b[48;2;0;0;1m\x1b[38;2;0;0;0m▀\x1b[0m \x1b" + end[1:] +
			"    " + end + "   \x1b[38;2;0;0;4m▀\x1b[0m" + end},
	} {
		got := string(appendPicture(nil, g, test.cols, test.rows, test.colour))
		if got != test.want {
			t.Errorf("%dx%d:\n got %s\nwant %s", test.cols, test.rows, fmt.Sprintf("%q", got), fmt.Sprintf("%q", test.want))
		}
	}
}

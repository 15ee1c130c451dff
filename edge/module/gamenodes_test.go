package module

import (
	"bytes"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"gosper/broker/memory"
	"gosper/edge/cluster"
	"gosper/grid"
	"gosper/grid/game"
	"gosper/protocol"
)

// gameRigs are tables of nodes that share their games over real links.
func gameRigs(t *testing.T, names ...string) []*rig {
	base := newRig(t, nil)
	log := memory.NewLog()
	var list []*rig
	for _, name := range names {
		list = append(list, base.gameNode(name, log))
	}
	for _, r := range list {
		soon(t, "links", func() bool {
			linked := 0
			for _, m := range r.table.tools.nodes.(*cluster.Cluster).Members() {
				if m.Linked {
					linked++
				}
			}
			return linked == len(names)-1
		})
	}
	return list
}

// gameNode starts a table with games on the engines of a rig.
func (r *rig) gameNode(name string, log *memory.Log) *rig {
	t := r.t
	t.Helper()
	c, err := cluster.New(cluster.Options{Node: name, Key: []byte("0123456789abcdef"), Store: r.store, Lease: 10 * time.Second, Beat: 50 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	limits := gameLimits()
	limits.Games = 100
	n := &rig{t: t, store: r.store, reg: r.reg, bus: r.bus, post: r.post, now: r.now, ids: uint64(name[0]) << 32}
	n.games, err = game.NewHost(t.Context(), game.Config{Log: log, Store: r.store, Budget: grid.NewBudget(64 << 20), Workers: 1, Limits: limits,
		Sink: NewGameSink(r.bus, c), Node: name, Left: c.Left, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	n.table, err = New(Config{Options: r.table.tools.options, Store: r.store, Registry: r.reg, Bus: r.bus, Games: n.games, Nodes: c, Post: r.post,
		Secret: []byte("0123456789abcdef"), Log: slog.New(slog.DiscardHandler), Now: r.clock})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(t.Context(), n.games, noFrames{}, n.table.ServeNode); err != nil {
		t.Fatal(err)
	}
	n.watch = c.Watch
	t.Cleanup(func() {
		n.games.Close()
		c.Close()
		n.table.Close()
	})
	return n
}

// noFrames is a node that nobody watches at.
type noFrames struct{}

func (noFrames) Frame(*game.Frame)         {}
func (noFrames) Hole(game.ID, game.Stream) {}

// Goal: a call on a game of another node is answered byte for byte as at that node, refusals and gate names too, and what concerns
// the connection happens where the caller is. Method: each call at the node of the game and at another one, which do not change it.
func TestGameElsewhere(t *testing.T) {
	rigs := gameRigs(t, "a", "b")
	owner, entry := rigs[0], rigs[1]
	ann, ben := owner.play("0", "Ann", ""), entry.play("0", "Ben", "")
	id := ann.newGame()
	for owner.games.List(0, 9) == nil || len(entry.games.List(0, 9)) > 0 { // it was placed at the other node
		ann.must("/game/end", on(id, ""), nil)
		id = ann.newGame()
	}
	soon(t, "the game is known", func() bool { return entry.table.tools.nodes.Known(gameNamed(t, id)) })
	ben.must("/game/join", on(id, `,"color":"ff0000"`), nil)
	ben.must("/game/cells", on(id, `,"cells":[[1,2],[3,4]]`), nil)
	ben.pushed("game."+id, routeGameUsers, `"name":"Ben"`)
	if reply, status := ben.edit(id + "/0 10,10 3o!"); status != protocol.StatusOK || reply != id+"/0 3 0" {
		t.Errorf("EDIT elsewhere: %v %q", status, reply)
	}
	there := owner.connect() // Ben once more, at the node of the game
	there.SetIdentity(ben.identity())
	for _, c := range []struct{ route, content string }{
		{"/game/stats", ""}, {"/game/look", `,"grid":0,"generation":0`}, {"/game/look", `,"grid":0,"generation":99`}, {"/game/look", ""},
		{"/game/pattern", `,"grid":0`}, {"/game/pattern", `,"grid":5`}, {"/game/pattern", `,"grid":0,"text":"nonsense~"`},
		{"/game/stop", ""}, {"/game/configure", `,"name":"x"`}, {"/game/end", ""}, {"/game/remove", `,"user":"x"`}, {"/game/rewind", `,"generation":0`},
		{"/game/cells", `,"cells":[[900,1]]`}, {"/game/cells", ""}, {"/game/cells", `,"cells":[[1,2]]`}, {"/game/kill", `,"cells":[[60,60]]`},
		{"/game/template", `,"name":"none such"`}, {"/game/template", `,"name":"Glider","orientation":"up"`}, {"/game/color", `,"color":"red"`},
		{"/game/join", `,"color":"blue"`}, {"/game/join", ""}, {"/game/step", `,"generations":1000`}, {"/game/watch", `,"mode":"odd"`},
		{"/game/watch", `,"grid":0,"mode":"edits"`}, {"/game/unwatch", `,"grid":0`}, {"/game/history", `,"limit":1`}, {"/game/history", `,"limit":9999`},
	} {
		here, far := there.call(c.route, on(id, c.content)), ben.call(c.route, on(id, c.content))
		if here.Status != far.Status || here.Message != far.Message || !bytes.Equal(here.Content, far.Content) {
			t.Errorf("%s %s\nthere %d %s %s\nhere  %d %s %s", c.route, c.content, here.Status, here.Message, here.Content, far.Status, far.Message, far.Content)
		}
	}
	token := ben.token()
	for name, content := range map[string]string{"get_stats_game": "", "set_cells_game": `,"cells":[[900,1]]`, "stop_game": ""} {
		content = on(id, content+`,"token":"`+token+`"`)
		here := owner.gateIn("0", name, content)
		far := entry.gateIn("0", name, content)
		if here.Status != far.Status || here.Message != far.Message || !bytes.Equal(here.Content, far.Content) {
			t.Errorf("%s\nthere %d %s %s\nhere  %d %s %s", name, here.Status, here.Message, here.Content, far.Status, far.Message, far.Content)
		}
	}
	ben.must("/game/leave", on(id, ""), nil)
	if subjects := fmt.Sprint(ben.Subscriptions()); bytes.Contains([]byte(subjects), []byte("game.")) {
		t.Error("Ben has left and still follows:", subjects)
	}
	if reply := ben.call("/game/stats", on("0000000000", "")); reply.Status != protocol.StatusInvalid || reply.Message != game.ErrNoGame.Error() {
		t.Errorf("no game: %d %s", reply.Status, reply.Message)
	}
}

// Goal: a list has the games of all nodes once, in the order of ids, page by page; new games are spread, and each is for its maker
// like one here. Method: games made at one of three nodes.
func TestGamesOfAllNodes(t *testing.T) {
	rigs := gameRigs(t, "a", "b", "c")
	var made []string
	for i := range 9 {
		p := rigs[0].play("0", fmt.Sprint("P", i), "")
		made = append(made, p.newGame())
		p.must("/game/start", on(made[i], ""), nil)
		p.pushed("game."+made[i], `"state":"running"`)
	}
	for _, r := range rigs {
		if _, _, games := r.games.Load(); games == 0 || games == 9 {
			t.Errorf("a node has %d of 9 games", games)
		}
	}
	for _, r := range rigs {
		p := r.play("1", "Reader", "")
		last, seen := game.ID(0), 0
		for after := ""; ; {
			var out gameListOut
			p.must("/game/list", fmt.Sprintf(`{"after":%q,"limit":2}`, after), &out)
			for _, g := range out.Games {
				if g.ID <= last {
					t.Errorf("%v behind %v", g.ID, last)
				}
				last, seen = g.ID, seen+1
			}
			if after = out.Next; after == "" {
				break
			}
		}
		if seen != 9 {
			t.Errorf("a list has %d of 9 games", seen)
		}
	}
	owner := rigs[2].play("0", "P3", "")
	var mine gameListOut
	owner.must("/game/list", `{"mine":true}`, &mine)
	if len(mine.Games) != 1 || mine.Games[0].ID.String() != made[3] {
		t.Errorf("of mine: %+v", mine.Games)
	}
}

// Goal: durability can be chosen, changed and read, and other words are refused. Method: create, configure, stats.
func TestDurability(t *testing.T) {
	r := newRig(t, nil)
	ann := r.play("0", "Ann", "")
	var made gameUserOut
	ann.must("/game/create", `{"name":"pond","durability":"relaxed","grids":[{"width":64,"height":64}]}`, &made)
	if made.Game.Durability != "relaxed" {
		t.Errorf("made %+v", made.Game)
	}
	id := made.Game.ID.String()
	ann.must("/game/cells", on(id, `,"cells":[[1,2]]`), nil)
	var now gameOut
	ann.must("/game/configure", on(id, `,"durability":"strict"`), &now)
	if now.Durability != "" {
		t.Errorf("configured %+v", now)
	}
	for route, content := range map[string]string{"/game/create": `{"name":"x","durability":"some"}`, "/game/configure": on(id, `,"durability":"some"`)} {
		if reply := ann.call(route, content); reply.Status != protocol.StatusInvalid {
			t.Errorf("%s: %d %s", route, reply.Status, reply.Message)
		}
	}
}

// Goal: what nodes ask each other is read as it was written, and bytes that are none are refused. Method: read, write, compare.
func FuzzGameWire(f *testing.F) {
	q := question{kind: askFunction, gate: true, call: Call{Route: "/game/join", Who: Identity{Name: "Ann", LoggedIn: true}, Content: []byte(`{}`)}}
	a := answer{status: protocol.StatusTimeout, message: "late", content: []byte(`{}`), member: true, game: 1 << 49}
	f.Add(q.append(nil))
	f.Add(a.append(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		if q, err := parseQuestion(b); err == nil {
			again, err := parseQuestion(q.append(nil))
			if err != nil || fmt.Sprintf("%+v", again) != fmt.Sprintf("%+v", q) {
				t.Fatalf("%+v became %+v, %v", q, again, err)
			}
		}
		if a, err := parseAnswer(b); err == nil {
			again, err := parseAnswer(a.append(nil))
			if err != nil || fmt.Sprintf("%+v", again) != fmt.Sprintf("%+v", a) {
				t.Fatalf("%+v became %+v, %v", a, again, err)
			}
		}
	})
}

// gameNamed reads an id.
func gameNamed(t *testing.T, id string) game.ID {
	t.Helper()
	n, err := game.ParseID(id)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// gateIn is gate for a request that names a world.
func (r *rig) gateIn(world, name, content string) Reply {
	return r.do(&Call{Route: name, Door: DoorGate, Remote: "192.0.2.1", World: world, Content: []byte(content)})
}

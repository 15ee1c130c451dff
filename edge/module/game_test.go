package module

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"gosper/broker"
	"gosper/broker/memory"
	"gosper/grid"
	"gosper/grid/game"
	"gosper/protocol"
)

// newGame makes a paused game with one plain grid and returns its id.
func (p *peer) newGame() string {
	p.rig.t.Helper()
	var made gameUserOut
	p.must("/game/create", `{"name":"pond","interval":9999000,"grids":[{"width":64,"height":64}]}`, &made)
	return made.Game.ID.String()
}

// on is content that names a game, with more members behind it.
func on(id, more string) string { return fmt.Sprintf(`{"game":%q%s}`, id, more) }

// edit sends the payload of an EDIT line and returns the answer.
func (p *peer) edit(payload string) (string, protocol.Status) {
	who := p.identity()
	type answer struct {
		reply  string
		status protocol.Status
	}
	done := make(chan answer, 1)
	p.rig.table.EditLine(&who, []byte(payload), func(reply []byte, status protocol.Status) { done <- answer{string(reply), status} })
	a := <-done
	return a.reply, a.status
}

// pushed waits for a push that has all of the parts.
func (p *peer) pushed(parts ...string) {
	p.rig.t.Helper()
	p.await(fmt.Sprint(parts), func(got []string) bool {
		for _, g := range got {
			n := 0
			for _, part := range parts {
				if strings.Contains(g, part) {
					n++
				}
			}
			if n == len(parts) {
				return true
			}
		}
		return false
	})
}

// Goal: who plays or watches a game is told of users, state, ownership and end; who left is not. Method: a user, a
// watcher and an owner who leaves.
func TestGamePushes(t *testing.T) {
	r := newRig(t, nil)
	ann, ben, cleo := r.play("0", "Ann", ""), r.play("0", "Ben", ""), r.play("1", "Cleo", "")
	id := ann.newGame()
	cleo.must("/game/watch", on(id, `,"mode":"edits"`), nil)
	ben.must("/game/join", on(id, ""), nil)
	for _, p := range []*peer{ann, ben, cleo} {
		p.pushed("game."+id, routeGameUsers, `"name":"Ben"`)
	}
	ben.must("/game/start", on(id, ""), nil)
	cleo.pushed(routeGameState, `"state":"running"`, `"interval":9999000`)
	ann.must("/game/leave", on(id, ""), nil)
	cleo.pushed(routeGameOwner, `"owner":"`+ben.identity().Account+`"`, `"previous":"`+ann.identity().Account+`"`)
	if subjects := fmt.Sprint(ann.Subscriptions()); strings.Contains(subjects, "game.") {
		t.Error("Ann left and still follows:", subjects)
	}
	cleo.must("/game/unwatch", on(id, ""), nil)
	if len(cleo.watches) != 0 || strings.Contains(fmt.Sprint(cleo.Subscriptions()), "game.") {
		t.Errorf("Cleo watches %v and follows %v", cleo.watches, cleo.Subscriptions())
	}
	cleo.must("/game/watch", on(id, ""), nil)
	ben.must("/game/end", on(id, ""), nil)
	cleo.pushed(routeGameState, `"state":"ended"`)
	if reply := ben.call("/game/stats", on(id, "")); reply.Status != protocol.StatusInvalid {
		t.Errorf("after the end: %d %s", reply.Status, reply.Message)
	}
}

// Goal: users who come and go do not flood the watchers, who know the newest state in the end, and nothing comes after the
// end. Method: many notices in a bubble where time is free; count what is published.
func TestGamePushesAreJoined(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bus := memory.NewBus(memory.BusOptions{})
		defer bus.Close()
		var got []string
		sub, err := bus.Subscribe("game.>", broker.Handler{Message: func(m *broker.Message) { got = append(got, string(m.Data)) }})
		if err != nil {
			t.Fatal(err)
		}
		defer sub.Unsubscribe()
		sink := NewGameSink(bus, nil)
		tell := func(kind game.NoticeKind, generation uint64) {
			sink.Notice(&game.Notice{Kind: kind, Info: &game.Info{ID: 7, Generation: generation}})
		}
		for i := range uint64(1000) {
			tell(game.NoticeState, i)
			tell(game.NoticeUsers, i)
			time.Sleep(time.Millisecond)
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if n := len(got); n < 10 || n > 14 || !strings.Contains(fmt.Sprint(got[n-2:]), `"generation":999`) {
			t.Errorf("%d pushes of 2000 notices; the last: %q", n, got[max(n-2, 0):])
		}
		tell(game.NoticeState, 1)
		tell(game.NoticeState, 2)
		tell(game.NoticeEnd, 3)
		time.Sleep(time.Second)
		synctest.Wait()
		if last := got[len(got)-1]; !strings.Contains(last, `"ended"`) || len(sink.rest) != 0 {
			t.Errorf("after the end: %s, %d names kept", last, len(sink.rest))
		}
	})
}

// Goal: a user keeps their place over a lost connection and a restart of the node: number, color and owner's rights stay,
// and pushes come again. Method: hang up, resume, join again; then another host and table on the same log.
func TestRejoin(t *testing.T) {
	r := newRig(t, nil)
	log := memory.NewLog()
	defer log.Close()
	open := func() {
		var err error
		r.games, err = game.NewHost(t.Context(), game.Config{Log: log, Store: r.store, Sink: NewGameSink(r.bus, nil), Logger: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		r.table.tools.games = r.games
	}
	r.games.Close()
	open()
	ann := r.play("0", "Ann", "")
	var made, again gameUserOut
	ann.must("/game/create", `{"name":"pond","color":"3cfaa0","grids":[{"width":64,"height":64,"mode":"owners"}]}`, &made)
	id := made.Game.ID.String()
	ben := r.play("0", "Ben", "")
	ben.must("/game/join", on(id, `,"color":"ff0000"`), &made)
	ben.must("/game/cells", on(id, `,"cells":[[1,1],[2,1],[3,1]]`), nil)
	token, err := r.table.tools.sessionToken(ben.identity(), ben.identity().Login)
	if err != nil {
		t.Fatal(err)
	}
	for _, restart := range []bool{false, true} {
		ben.hangUp()
		if restart {
			if err := r.games.Close(); err != nil {
				t.Fatal(err)
			}
			open()
		}
		ben = r.connect()
		ben.must("/session/resume", fmt.Sprintf(`{"token":%q,"positions":[{"subject":"game.%s"}]}`, token, id), nil)
		if !strings.Contains(fmt.Sprint(ben.Subscriptions()), "game."+id) {
			t.Errorf("resumed with %v", ben.Subscriptions())
		}
		ben.must("/game/cells", on(id, `,"cells":[[40,40]],"policy":"overwrite"`), nil) // still a user, without joining
		ben.must("/game/join", on(id, ""), &again)
		if again.You != made.You {
			t.Errorf("restart %v: came back as %+v, was %+v", restart, again.You, made.You)
		}
	}
	var stats gameStatsOut
	ben.must("/game/stats", on(id, ""), &stats)
	if stats.Game.Owner != ann.identity().Account || stats.Grids[0].Owners[ben.identity().Account] != 4 {
		t.Errorf("after the restart: %+v", stats)
	}
	ben.must("/game/leave", on(id, ""), nil)
	ben.must("/game/join", on(id, ""), &again)
	if again.You != made.You {
		t.Errorf("left and came back as %+v, was %+v", again.You, made.You)
	}
	r.games.Close()
}

// Goal: players without an account, whom a service vouches for, are told apart by world and name, however long, and cannot
// be taken for an account. Method: two worlds, the longest name, and one that looks like an account.
func TestPlayersWithoutAccount(t *testing.T) {
	long := strings.Repeat("😀", protocol.MaxDisplayName)
	seen := map[string]bool{}
	for _, who := range []Identity{{World: "0", Name: "Ann"}, {World: "1", Name: "Ann"}, {World: "0", Name: long}, {World: "0", Name: long[:len(long)-4]},
		{Account: "0", World: "1", Name: "Ann"}} {
		id := gameUser(&who)
		if seen[id] || len(id) > 128 || strings.Contains(id, "/") != (who.Account == "") {
			t.Errorf("%+v is user %q", who, id)
		}
		seen[id] = true
	}
}

// Goal: drawing and looking have rates of their own, counted over calls and lines of an account. Method: the burst and
// one more of each.
func TestGameRates(t *testing.T) {
	r := newRig(t, func(o *Options) { o.EditRate, o.LookRate = Rate{1, 3}, Rate{1, 2} })
	p := r.play("0", "Ann", "")
	id := p.newGame()
	var got []protocol.Status
	for i := range 2 {
		_, status := p.edit(fmt.Sprintf("%s/0 %d,0 o!", id, i))
		got = append(got, status)
	}
	for i := range 2 {
		got = append(got, p.call("/game/cells", on(id, fmt.Sprintf(`,"cells":[[%d,9]]`, i))).Status)
	}
	reply, status := p.edit(id + "/0 50,50 o!")
	got = append(got, status)
	if fmt.Sprint(got) != fmt.Sprint([]protocol.Status{0, 0, 0, 1010, 1010}) || !strings.HasSuffix(reply, " 0 0 "+messageTooMany) {
		t.Errorf("edits: %v, %q", got, reply)
	}
	got = nil
	for range 3 {
		got = append(got, p.call("/game/look", on(id, `,"generation":0`)).Status)
	}
	if fmt.Sprint(got) != fmt.Sprint([]protocol.Status{0, 0, 1010}) {
		t.Errorf("looks: %v", got)
	}
}

// Goal: 100 users who draw at the same cell at once all get the same picture: one has it, the others are told. Method: as
// many lines at once; then the order of places.
func TestSameCell(t *testing.T) {
	r := newRig(t, nil)
	log := memory.NewLog()
	defer log.Close()
	host, err := game.NewHost(t.Context(), game.Config{Log: log, Store: r.store, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer host.Close()
	r.table.tools.games = host
	const users = 100
	g, err := host.Create(t.Context(), game.CreateRequest{Name: "x", User: "0/u0", UserName: "u0", Colour: game.AnyColour,
		Grids: []game.GridSpec{{Width: 64, Height: 64}}, Interval: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	for i := 1; i < users; i++ {
		if _, err := g.Join(t.Context(), fmt.Sprintf("0/u%d", i), "u", game.AnyColour); err != nil {
			t.Fatal(err)
		}
	}
	answers := make(chan protocol.GridEdited, users)
	for i := range users {
		who := Identity{World: "0", Name: fmt.Sprintf("u%d", i)}
		go r.table.EditLine(&who, []byte(g.ID().String()+"/0 5,5 o!"), func(reply []byte, _ protocol.Status) {
			e, err := protocol.ParseGridEdited(reply)
			if err != nil {
				t.Error(err)
			}
			answers <- e
		})
	}
	done := 0
	for range users {
		if e := <-answers; e.Refused == "" {
			done++
		} else if !strings.Contains(e.Refused, grid.ErrOccupied.Error()) {
			t.Errorf("refused with %q", e.Refused)
		}
	}
	if stats, err := g.Stats(t.Context()); err != nil || done != 1 || stats[0].Population != 1 {
		t.Errorf("%d were told it is theirs; %+v, %v", done, stats, err)
	}
}

// Goal: callers without a lasting connection (HTTP) play too; only streams need one. Method: a whole game without a session.
func TestGameWithoutConnection(t *testing.T) {
	r := newRig(t, nil)
	who := Identity{Account: "a", Login: "l", LoggedIn: true, World: "0", Name: "Ann"}
	id := ""
	for _, call := range []struct {
		route, more string
		want        protocol.Status
	}{
		{"/game/create", `,"name":"x"`, 0}, {"/game/cells", `,"cells":[[1,1]]`, 0}, {"/game/step", "", 0}, {"/game/join", "", 0},
		{"/game/watch", "", protocol.StatusUnknown}, {"/game/leave", "", 0},
	} {
		reply := r.do(&Call{Route: call.route, Door: "http", Remote: "192.0.2.1", Content: []byte(on(id, call.more)), Who: who})
		if reply.Status != call.want {
			t.Errorf("%s: %d %s", call.route, reply.Status, reply.Message)
		}
		var made gameUserOut
		if json.Unmarshal(reply.Content, &made) == nil && made.Game.ID != 0 {
			id = made.Game.ID.String()
		}
	}
}

// fullLog refuses all writes while it is full.
type fullLog struct {
	broker.Log
	full atomic.Bool
}

func (l *fullLog) Append(name string, token uint64, entries [][]byte, done func(uint64, error)) {
	if l.full.Load() {
		done(0, fmt.Errorf("3 bytes left in /secret/place: %w", broker.ErrDiskFull))
		return
	}
	l.Log.Append(name, token, entries, done)
}

// Goal: with a full disk edits are refused clearly and nothing of the inside is told; looking goes on, and when there is
// space again so do edits. Method: a log that is full for a while.
func TestDiskFullWhileEditing(t *testing.T) {
	r := newRig(t, nil)
	log := &fullLog{Log: memory.NewLog()}
	defer log.Close()
	host, err := game.NewHost(t.Context(), game.Config{Log: log, Store: r.store, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer host.Close()
	r.table.tools.games = host
	p := r.play("0", "Ann", "")
	id := p.newGame()
	p.must("/game/cells", on(id, `,"cells":[[1,1]]`), nil)
	log.full.Store(true)
	for _, call := range [][2]string{{"/game/cells", `,"cells":[[2,2]]`}, {"/game/start", ""}, {"/game/leave", ""}, {"/game/template", `,"name":"Glider"`}} {
		if reply := p.call(call[0], on(id, call[1])); reply.Status != protocol.StatusBusy || !strings.Contains(reply.Message, "storage is full") {
			t.Errorf("%s: %d %s", call[0], reply.Status, reply.Message)
		}
	}
	if reply, status := p.edit(id + "/0 2,2 o!"); status != protocol.StatusBusy || strings.Contains(reply, "secret") {
		t.Errorf("EDIT: %v %q", status, reply)
	}
	p.must("/game/stats", on(id, ""), nil)
	log.full.Store(false)
	p.must("/game/cells", on(id, `,"cells":[[2,2]]`), nil)
}

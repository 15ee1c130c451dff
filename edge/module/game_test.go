package module

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"regexp"
	"strings"
	"testing"
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
	const users = 100
	g, err := r.games.Create(t.Context(), game.CreateRequest{Name: "x", User: "0/u0", UserName: "u0", Colour: game.AnyColour,
		Grids: []game.GridSpec{{Width: 64, Height: 64}}, Interval: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	for i := 1; i < 3; i++ { // the limit of these tests is three users
		if _, err := g.Join(t.Context(), fmt.Sprintf("0/u%d", i), "u", game.AnyColour); err != nil {
			t.Fatal(err)
		}
	}
	answers := make(chan protocol.GridEdited, users)
	for i := range users {
		who := Identity{World: "0", Name: fmt.Sprintf("u%d", i%3)}
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

// fullLog refuses all writes while it is full.
type fullLog struct {
	broker.Log
	full bool
}

func (l *fullLog) Append(name string, token uint64, entries [][]byte, done func(uint64, error)) {
	if l.full {
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
	log.full = true
	for _, call := range [][2]string{{"/game/cells", `,"cells":[[2,2]]`}, {"/game/start", ""}, {"/game/leave", ""}, {"/game/template", `,"name":"Glider"`}} {
		if reply := p.call(call[0], on(id, call[1])); reply.Status != protocol.StatusBusy || !strings.Contains(reply.Message, "storage is full") {
			t.Errorf("%s: %d %s", call[0], reply.Status, reply.Message)
		}
	}
	if reply, status := p.edit(id + "/0 2,2 o!"); status != protocol.StatusBusy || strings.Contains(reply, "secret") {
		t.Errorf("EDIT: %v %q", status, reply)
	}
	p.must("/game/stats", on(id, ""), nil)
	log.full = false
	p.must("/game/cells", on(id, `,"cells":[[2,2]]`), nil)
}

// Goal: a picture of the past is a frame that clients can read. Method: decode it and compare its hash with the header.
func TestLookIsAFrame(t *testing.T) {
	r := newRig(t, nil)
	p := r.play("0", "Ann", "")
	id := p.newGame()
	p.must("/game/template", on(id, `,"name":"Glider","x":5,"y":5`), nil)
	p.must("/game/step", on(id, `,"generations":8`), nil)
	reply := p.call("/game/look", on(id, `,"generation":4`))
	var out struct{ Hash, Frame string }
	if err := json.Unmarshal(reply.Content, &out); err != nil {
		t.Fatal(err)
	}
	frame, err := base64.StdEncoding.DecodeString(out.Frame)
	if err != nil {
		t.Fatal(err)
	}
	head, payload, err := protocol.ParseGridHeader(frame)
	if err != nil || head.Generation != 4 || hashText(head.Hash) != out.Hash {
		t.Fatalf("%+v, %v", head, err)
	}
	options, err := grid.SnapshotOptions(payload)
	if err != nil {
		t.Fatal(err)
	}
	g, err := grid.New(options, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := g.ApplySnapshot(payload); err != nil || g.Population() != 5 || g.Hash() != head.Hash {
		t.Errorf("population %d, %v", g.Population(), err)
	}
}

// Goal: what is too large to send is refused with figures and a way out. Method: a small limit, then a part.
func TestPatternTextLimit(t *testing.T) {
	r := newRig(t, func(o *Options) { o.GameText = 100 })
	p := r.play("0", "Ann", "")
	id := p.newGame()
	for i := range 10 {
		p.must("/game/cells", on(id, fmt.Sprintf(`,"cells":[[%d,1],[%d,5],[%d,9],[%d,20]]`, 6*i, 6*i+1, 6*i+2, 6*i)), nil)
	}
	reply := p.call("/game/pattern", on(id, ""))
	if reply.Status != protocol.StatusTooMuch || !strings.Contains(reply.Message, "may have 100") {
		t.Errorf("%d %s", reply.Status, reply.Message)
	}
	p.must("/game/pattern", on(id, `,"rect":{"x":0,"y":0,"width":20,"height":10}`), nil)
	if reply := p.call("/game/pattern", on(id, `,"text":"`+strings.Repeat("bo", 60)+`!"`)); reply.Status != protocol.StatusTooMuch {
		t.Errorf("import: %d %s", reply.Status, reply.Message)
	}
}

// Goal: the list comes in pages, in order and whole, and one's own games can be asked for alone. Method: pages of two.
func TestGameList(t *testing.T) {
	r := newRig(t, func(o *Options) { o.GamePage = 2 })
	ann, ben := r.play("0", "Ann", ""), r.play("0", "Ben", "")
	mine := []string{ann.newGame(), ben.newGame(), ann.newGame(), ben.newGame(), ann.newGame()}
	read := func(more string) (ids []string) {
		after := ""
		for {
			var page gameListOut
			ann.must("/game/list", fmt.Sprintf(`{"after":%q%s}`, after, more), &page)
			for _, g := range page.Games {
				ids = append(ids, g.ID.String())
			}
			if after = page.Next; after == "" {
				return ids
			}
		}
	}
	all := read("")
	if len(all) != 5 || !isSorted(all) {
		t.Errorf("all: %v", all)
	}
	own := read(`,"mine":true`)
	if len(own) != 3 || !isSorted(own) || !strings.Contains(fmt.Sprint(own), mine[0]) || strings.Contains(fmt.Sprint(own), mine[1]) {
		t.Errorf("mine: %v of %v", own, mine)
	}
}

func isSorted(ids []string) bool {
	for i := 1; i < len(ids); i++ {
		if ids[i-1] >= ids[i] {
			return false
		}
	}
	return true
}

// Goal: the catalogue has what older clients know, with facts and a pattern that can be laid. Method: every template.
func TestTemplates(t *testing.T) {
	r := newRig(t, nil)
	p := r.play("0", "Ann", "")
	var out templatesOut
	p.must("/game/templates", `{}`, &out)
	classic := 0
	for _, group := range out.Groups {
		for _, template := range group.Templates {
			if template.Classic {
				classic++
			}
			if laid, err := grid.ParseRLE([]byte(template.RLE), grid.PatternLimits{}); err != nil || laid.Population() != template.Cells {
				t.Errorf("%s: %v, %d cells", template.Name, err, template.Cells)
			}
		}
	}
	if len(out.Groups) < 3 || classic != 12 {
		t.Errorf("%d groups, %d classic templates", len(out.Groups), classic)
	}
}

// Goal: a node without games says so. Method: every function on games.
func TestNodeWithoutGames(t *testing.T) {
	r := newRig(t, nil)
	r.table.tools.games = nil
	p := r.play("0", "Ann", "")
	for _, f := range r.table.Functions() {
		if !strings.HasPrefix(f.Route, "/game/") || f.Route == "/game/templates" {
			continue
		}
		if reply := p.call(f.Route, f.Example); reply.Status != protocol.StatusBusy || reply.Message != errNoGames.Error() {
			t.Errorf("%s: %d %s", f.Route, reply.Status, reply.Message)
		}
	}
	if reply, status := p.edit("0123456789/0 1,1 o!"); status != protocol.StatusBusy {
		t.Errorf("EDIT: %v %s", status, reply)
	}
}

// Goal: every refusal of games and grids has a status and a text. Method: the errors that package game names.
func TestGameFaults(t *testing.T) {
	for _, s := range gameStatuses {
		f, internal := faultOf(fmt.Errorf("wrapped: %w", s.err))
		if internal || f.Status != s.status || !strings.Contains(f.Message, s.err.Error()) {
			t.Errorf("%v: %+v, internal %v", s.err, f, internal)
		}
	}
	for _, l := range game.LimitsTable() {
		status := fmt.Sprint(int(limitStatus(l.Name)))
		if strings.HasPrefix(l.Code, "refused: ") && !strings.Contains(l.Code, status) {
			t.Errorf("limit %s gives %s, and its row says %q", l.Name, status, l.Code)
		}
	}
	if f, internal := faultOf(context.DeadlineExceeded); f != faultTimeout || !internal {
		t.Errorf("a timeout is %+v", f)
	}
}

// Goal: GAMES.md names no route and no error key that is not there, and every route of games. Method: what stands in
// backquotes against the table, the pushes and the keys.
func TestGamesDocument(t *testing.T) {
	text, err := os.ReadFile("GAMES.md")
	if err != nil {
		t.Fatal(err)
	}
	routes := map[string]bool{routeGameUsers: true, routeGameState: true, routeGameOwner: true}
	for _, f := range allFunctions() {
		routes[f.Route] = true
		if strings.HasPrefix(f.Route, "/game/") && !strings.Contains(string(text), "`"+f.Route+"`") {
			t.Errorf("%s is not described", f.Route)
		}
	}
	for _, m := range regexp.MustCompile("`(/[a-zA-Z]+/[a-zA-Z]+)`").FindAllStringSubmatch(string(text), -1) {
		if !routes[m[1]] {
			t.Errorf("%s is no route", m[1])
		}
	}
	keys := map[string]bool{}
	for _, s := range gameStatuses {
		keys[game.ErrorKey(s.err)] = true
	}
	for _, m := range regexp.MustCompile("\\| `(error\\.game\\.[a-zA-Z.]+)` \\| ([0-9]+) ").FindAllStringSubmatch(string(text), -1) {
		if !keys[m[1]] {
			t.Errorf("%s is no key of an error", m[1])
		}
		for _, s := range gameStatuses {
			if game.ErrorKey(s.err) == m[1] && s.err != game.ErrGone && fmt.Sprint(int(s.status)) != m[2] {
				t.Errorf("%s has status %d, not %s", m[1], int(s.status), m[2])
			}
		}
		delete(keys, m[1])
	}
	delete(keys, "error.unexpectedError")
	if len(keys) > 0 {
		t.Errorf("not described: %v", keys)
	}
}

// BenchmarkEditLine draws one cell and kills it, by line.
func BenchmarkEditLine(b *testing.B) {
	r, who, id := benchGame(b)
	done := make(chan struct{}, 1)
	answer := func([]byte, protocol.Status) { done <- struct{}{} }
	lines := [2][]byte{[]byte(id + "/0 5,5 o!"), []byte(id + "/0 5,5 !o!")}
	b.ReportAllocs()
	for i := range b.N {
		r.EditLine(&who, lines[i&1], answer)
		<-done
	}
}

// BenchmarkCells draws 100 cells in one call.
func BenchmarkCells(b *testing.B) {
	table, who, id := benchGame(b)
	var cells []string
	for i := range 100 {
		cells = append(cells, fmt.Sprintf("[%d,%d]", i%60, i/60))
	}
	content := []byte(on(id, `,"policy":"overwrite","cells":[`+strings.Join(cells, ",")+`]`))
	done := make(chan Reply, 1)
	b.ReportAllocs()
	for b.Loop() {
		table.Call(&Call{Route: "/game/cells", Content: content, Who: who}, func(r Reply) { done <- r })
		if r := <-done; r.Status != protocol.StatusOK {
			b.Fatal(r.Message)
		}
	}
}

// benchGame is a table with a paused game and its owner, without rates.
func benchGame(b *testing.B) (*Table, Identity, string) {
	store, registry, bus, log := memory.NewStore(), memory.NewRegistry(), memory.NewBus(memory.BusOptions{}), memory.NewLog()
	limits := game.DefaultLimits()
	limits.EditsUser, limits.EditsGame = 1<<30, 1<<30
	host, err := game.NewHost(b.Context(), game.Config{Log: log, Store: store, Limits: limits, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		b.Fatal(err)
	}
	o := DefaultOptions()
	o.EditRate = Rate{}
	table, err := New(Config{Options: o, Store: store, Registry: registry, Bus: bus, Games: host, Secret: make([]byte, MinSecret), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		table.Close()
		host.Close()
		log.Close()
		bus.Close()
		registry.Close()
		store.Close()
	})
	who := Identity{Account: "a", World: "0", Name: "Ann", LoggedIn: true}
	g, err := host.Create(b.Context(), game.CreateRequest{Name: "x", User: "a", UserName: "Ann", Grids: []game.GridSpec{{Width: 64, Height: 64}}})
	if err != nil {
		b.Fatal(err)
	}
	return table, who, g.ID().String()
}

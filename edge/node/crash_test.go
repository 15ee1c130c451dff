package node

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"gosper/broker"
	"gosper/broker/pebble"
	"gosper/grid/game"
	"gosper/protocol"
)

const (
	crashSide    = 512 // of the grid on which a cell that was placed stays for ever
	crashWriters = 4
	crashWindow  = 16   // pairs of edits that a writer has under way in a flood
	crashRate    = 1100 // edits a second of all writers otherwise, a tenth more than 1,000 for those that an answer holds up
	crashFloods  = 5    // one kill in a flood for so many at that rate
	crashLife    = 50   // kills that one game lives through
)

// crashKills is how often the loop kills at crashRate: what GOSPER_CRASH_KILLS says, else 50 times.
func crashKills(t *testing.T) int {
	if text := os.Getenv("GOSPER_CRASH_KILLS"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 {
			t.Fatalf("GOSPER_CRASH_KILLS=%q is not a number of rounds", text)
		}
		return n
	}
	if testing.Short() {
		return 1
	}
	return 50
}

// Goal: a node that dies under edits loses none that it acknowledged, and comes back with exactly the cells that its log
// gives when it is played on fresh grids. Method: writers on the line door draw in a game that ticks, on a grid where
// cells never die and on one of Life, 1,000 edits a second, and in some rounds as many as the node takes; the process is
// killed with SIGKILL after a random number of answers. Then the test plays a copy of the log from its first entry,
// without snapshots, starts the node again, and compares. Each round goes on from the one before.
func TestKillUnderEdits(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Log("seed", seed)
	var steady, flood crashCount
	cells, lost, doubled := 0, 0, 0
	for kills := crashKills(t); kills > 0 && !t.Failed(); kills -= crashLife {
		c := &crash{t: t, rng: rand.New(rand.NewPCG(seed, uint64(kills))), data: t.TempDir(), acked: map[int]uint64{}, sent: map[int]bool{}}
		c.live(min(kills, crashLife), &steady, &flood)
		cells, lost, doubled = cells+len(c.acked), lost+c.lost, doubled+c.doubled()
	}
	if doubled > 0 {
		t.Errorf("%d places in the log were given to two edits", doubled)
	}
	t.Logf("report: %d kills under %.0f edits a second and %d under %.0f, %d cells acknowledged, %d lost, %d duplicates",
		steady.kills, steady.rate(), flood.kills, flood.rate(), cells, lost, doubled)
}

// crashCount counts the rounds of one kind.
type crashCount struct {
	kills, answers int
	drawing        time.Duration
}

// rate is how many edits a second were answered.
func (n *crashCount) rate() float64 { return float64(n.answers) / max(n.drawing, 1).Seconds() }

// crash is one game that is killed again and again.
type crash struct {
	t     *testing.T
	rng   *rand.Rand
	data  string
	node  *process
	game  string
	round int
	next  int // cell of grid 0 that is drawn next
	lost  int
	last  uint64 // highest place of an edit that was acknowledged in earlier rounds

	mu    sync.Mutex
	acked map[int]uint64 // place by cell of grid 0
	sent  map[int]bool
}

// live kills the node so often while edits come steadily, and now and then in a flood.
func (c *crash) live(kills int, steady, flood *crashCount) {
	c.start()
	c.create()
	for c.round = 1; c.round <= kills && !c.t.Failed(); c.round++ {
		c.kill(steady, 50+c.rng.IntN(300), 1, crashRate)
		if c.round%crashFloods == 0 && !c.t.Failed() {
			c.kill(flood, 200+c.rng.IntN(800), crashWindow, 0)
		}
	}
	_ = c.node.cmd.Process.Kill()
	_ = c.node.cmd.Wait()
}

// kill is one round.
func (c *crash) kill(n *crashCount, answers, window, rate int) {
	n.drawing += c.drawAndKill(answers, window, rate)
	n.answers += answers
	n.kills++
	replayed := c.replay()
	c.start()
	c.compare(replayed)
}

// doubled counts the places that two cells were acknowledged at.
func (c *crash) doubled() int {
	places := map[uint64]bool{}
	for _, place := range c.acked {
		places[place] = true
	}
	return len(c.acked) - len(places)
}

func (c *crash) start() {
	c.node = launch(c.t, c.data, c.node, "GOSPER_LIMIT_SNAPSHOT_GENERATIONS=40", "GOSPER_LIMIT_MARK_EVERY=100ms", "GOSPER_LOG_LEVEL=warn")
}

// player opens a line of a player, the same one in each round.
func (c *crash) player(name string) *caller {
	c.t.Helper()
	w := c.node.register("0", name, "")
	return &caller{c.t, w}
}

// caller calls functions by line.
type caller struct {
	t *testing.T
	*wire
}

// call returns status and content of the reply, passing over pushes.
func (c *caller) call(route, content string) (protocol.Status, string) {
	c.t.Helper()
	c.send(fmt.Sprintf("000000CALL{\"route\":%q,\"msgId\":1,\"content\":%s}\r\n", route, content))
	for {
		line, err := c.r.ReadString('\n')
		if err != nil {
			c.t.Fatal(route, err)
		}
		reply, ok := strings.CutPrefix(strings.TrimSuffix(line, "\r\n"), "00000REPLY")
		if !ok {
			continue
		}
		e, err := protocol.ParseEnvelope([]byte(reply))
		if err != nil {
			c.t.Fatal(err)
		}
		if e.Status != protocol.StatusOK {
			return e.Status, e.Message
		}
		return e.Status, string(e.Content)
	}
}

// must is call for what has to succeed, decoded into out.
func (c *caller) must(route, content string, out any) {
	c.t.Helper()
	status, reply := c.call(route, content)
	if status != protocol.StatusOK {
		c.t.Fatalf("%s %s: %v %s", route, content, status, reply)
	}
	decodeInto(c.t, reply, out)
}

func (c *crash) create() {
	owner := c.player("Owner")
	var made struct{ Game struct{ ID string } }
	owner.must("/game/create", fmt.Sprintf(`{"name":"crash","interval":20,"persistent":true,"grids":[{"width":%d,"height":%d,"rule":"B/S012345678"},`+
		`{"width":128,"height":128,"mode":"owners"}]}`, crashSide, crashSide), &made)
	c.game = made.Game.ID
	owner.must("/game/start", fmt.Sprintf(`{"game":%q}`, c.game), nil)
}

// drawAndKill lets the writers draw until they have so many answers, and kills the node. It returns how long they drew.
func (c *crash) drawAndKill(answers, window, rate int) time.Duration {
	for cell, place := range c.acked {
		if c.last = max(c.last, place); !c.sent[cell] {
			c.t.Fatal("acknowledged, but never sent")
		}
	}
	var got atomic.Int64
	enough := make(chan struct{})
	var writers sync.WaitGroup
	players := make([]*caller, crashWriters)
	for i := range players {
		players[i] = c.player(fmt.Sprint("Writer", i))
		players[i].must("/game/join", fmt.Sprintf(`{"game":%q}`, c.game), nil)
	}
	begin := time.Now()
	for _, p := range players {
		rng := rand.New(rand.NewPCG(c.rng.Uint64(), 2))
		writers.Go(func() {
			c.draw(p.wire, rng, window, rate, func() {
				if got.Add(1) == int64(answers) {
					close(enough)
				}
			})
		})
	}
	select {
	case <-enough:
	case <-time.After(time.Minute):
		c.t.Errorf("only %d answers in a minute", got.Load())
	}
	took := time.Since(begin)
	if err := c.node.cmd.Process.Signal(syscall.SIGKILL); err != nil {
		c.t.Fatal(err)
	}
	_ = c.node.cmd.Wait() // killed
	writers.Wait()
	return took
}

// draw sends windows of pairs of edits until the connection breaks, at its share of the rate, 0 for as fast as they are
// answered.
func (c *crash) draw(w *wire, rng *rand.Rand, window, rate int, answered func()) {
	var due <-chan time.Time
	if rate > 0 {
		ticker := time.NewTicker(time.Second * time.Duration(2*window*crashWriters) / time.Duration(rate))
		defer ticker.Stop()
		due = ticker.C
	}
	for {
		var lines strings.Builder
		cells := make([]int, window)
		c.mu.Lock()
		for i := range cells {
			cells[i] = c.next
			c.sent[c.next] = true
			c.next++
		}
		c.mu.Unlock()
		for _, cell := range cells {
			fmt.Fprintf(&lines, "000000EDIT%s/0 %d,%d o!\r\n", c.game, cell%crashSide, cell/crashSide)
			fmt.Fprintf(&lines, "000000EDIT%s/1 %d,%d 3o$obo!\r\n", c.game, rng.IntN(124), rng.IntN(124))
		}
		if _, err := w.Write([]byte(lines.String())); err != nil {
			return
		}
		for len(cells) > 0 {
			e, err := nextEdited(w.r)
			if err != nil {
				return
			}
			if e.Grid == 0 {
				if e.Refused != "" || e.Seq <= c.last {
					c.t.Errorf("round %d: answer %+v; earlier rounds went up to place %d", c.round, e, c.last)
				}
				c.mu.Lock()
				c.acked[cells[0]] = e.Seq
				c.mu.Unlock()
				cells = cells[1:]
			}
			answered()
		}
		if rate > 0 {
			<-due
		}
	}
}

// nextEdited reads up to the next answer to an edit.
func nextEdited(r *bufio.Reader) (protocol.GridEdited, error) {
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return protocol.GridEdited{}, err
		}
		if payload, ok := strings.CutPrefix(strings.TrimSuffix(line, "\r\n"), "000000EDIT"); ok {
			return protocol.ParseGridEdited([]byte(payload))
		}
	}
}

// fullLog is a log without snapshots: everything in it has to be played.
type fullLog struct{ broker.Log }

func (fullLog) Snapshot(context.Context, string, uint64) (uint64, []byte, error) {
	return 0, nil, broker.ErrNotFound
}

// state is a game at one generation.
type state struct {
	generation uint64
	hashes     []string
}

// replay plays a copy of the log and checks the cells of grid 0 against what the writers know.
func (c *crash) replay() state {
	folder := filepath.Join(c.t.TempDir(), "copy")
	if err := os.CopyFS(folder, os.DirFS(StoreFolder(c.data))); err != nil {
		c.t.Fatal(err)
	}
	quiet := slog.New(slog.DiscardHandler)
	db, err := pebble.Open(folder, pebble.Options{Log: quiet})
	if err != nil {
		c.t.Fatal(err)
	}
	defer db.Close()
	ctx := context.Background()
	host, err := game.NewHost(ctx, game.Config{Log: fullLog{db.Log()}, Store: db.Store(), Logger: quiet})
	if err != nil {
		c.t.Fatal(err)
	}
	defer host.Close()
	id, err := game.ParseID(c.game)
	if err != nil {
		c.t.Fatal(err)
	}
	g, err := host.Game(id)
	if err != nil {
		c.t.Fatal(err)
	}
	if err := g.Pause(ctx, g.Info().Owner); err != nil {
		c.t.Fatal(err)
	}
	stats, err := g.Stats(ctx)
	if err != nil {
		c.t.Fatal(err)
	}
	s := state{generation: stats[0].Generation}
	for i := range stats {
		s.hashes = append(s.hashes, fmt.Sprintf("%016x", stats[i].Hash))
	}
	c.checkCells(g)
	return s
}

// checkCells counts what was lost, and looks for what nobody drew.
func (c *crash) checkCells(g *game.Game) {
	p, err := g.Export(context.Background(), 0)
	if err != nil {
		c.t.Fatal(err)
	}
	missing := maps.Clone(c.acked)
	for _, cell := range p.Cells {
		n := int(cell.Y)*crashSide + int(cell.X)
		if !c.sent[n] {
			c.t.Errorf("round %d: cell %d lives, and nobody drew it", c.round, n)
		}
		delete(missing, n)
	}
	for n, place := range missing {
		c.lost++
		c.t.Errorf("round %d: cell %d was acknowledged as edit %d and is lost", c.round, n, place)
	}
}

// compare asks the node that came back for the same generation as the replay, and for its own past against its present.
func (c *crash) compare(want state) {
	p := c.player("Owner")
	var now struct {
		Generation uint64
		Grids      []struct{ Hash string }
	}
	limit := time.Now().Add(time.Minute)
	for ; ; <-time.After(rest) { // the node ticks, as the copy did
		if time.Now().After(limit) {
			c.t.Fatalf("round %d: the game came back at generation %d and does not get to %d", c.round, now.Generation, want.generation)
		}
		p.must("/game/stats", fmt.Sprintf(`{"game":%q}`, c.game), &now)
		if now.Generation >= want.generation {
			break
		}
	}
	for i, hash := range want.hashes {
		c.expectHash(p, i, want.generation, hash, "replayed")
		c.expectHash(p, i, now.Generation, now.Grids[i].Hash, "live")
	}
}

func (c *crash) expectHash(p *caller, index int, generation uint64, want, what string) {
	var then struct{ Hash string }
	p.must("/game/look", fmt.Sprintf(`{"game":%q,"grid":%d,"generation":%d}`, c.game, index, generation), &then)
	if then.Hash != want {
		c.t.Errorf("round %d: grid %d at generation %d has hash %s, and %s %s", c.round, index, generation, then.Hash, want, what)
	}
}

func decodeInto(t *testing.T, content string, out any) {
	t.Helper()
	if out == nil {
		return
	}
	if err := json.Unmarshal([]byte(content), out); err != nil {
		t.Fatal(err)
	}
}

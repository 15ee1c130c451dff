package game

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"sync"
	"testing"
	"time"

	"gosper/broker"
	"gosper/broker/pebble"
	"gosper/grid"
)

// childDir is the variable that makes the test binary the victim of TestKill, with the folder of its database.
const childDir = "GOSPER_GAME_TEST_CHILD"

const (
	killWriters = 16
	killLife    = 20 // kills that one folder lives through: each check plays its whole log
	killSide    = 512
	still       = "still" // name of the game that is paused: every acknowledged cell must be there
	moving      = "moving"
)

// Goal: after kill -9 under more than 1,000 edits a second no acknowledged edit is missing, each stands in the log at the
// generation that was acknowledged, the cells are those of the log played on a fresh grid, and the epoch is new. Method:
// a child process that reports each acknowledgement in a line is killed at random moments, again and again in one
// folder. GOSPER_CRASH_KILLS sets how often.
func TestKill(t *testing.T) {
	kills := 4
	if n, err := strconv.Atoi(os.Getenv("GOSPER_CRASH_KILLS")); err == nil {
		kills = n
	}
	if testing.Short() {
		kills = 1
	}
	var dir string
	acknowledged, lost := 0, 0
	var epochs map[ID]uint32
	var slowest time.Duration
	for round := range kills {
		if round%killLife == 0 {
			dir, epochs = t.TempDir(), map[ID]uint32{}
		}
		acks := runAndKill(t, dir, round%killLife)
		acknowledged += len(acks)
		took, missed := verifyKilled(t, dir, acks, epochs)
		slowest, lost = max(slowest, took), lost+missed
		if t.Failed() {
			break
		}
	}
	t.Logf("slowest start after a kill: %v", slowest)
	t.Logf("report: %d kills, %d acknowledged edits, %d lost", kills, acknowledged, lost)
}

// acked is one acknowledged cell.
type acked struct {
	game       string
	x, y       int32
	generation uint64
}

func runAndKill(t *testing.T, dir string, round int) []acked {
	t.Helper()
	child := exec.Command(os.Args[0], "-test.run=^$")
	child.Env = append(os.Environ(), childDir+"="+dir, fmt.Sprintf("%s_ROUND=%d", childDir, round))
	child.Stderr = os.Stderr
	out, err := child.StdoutPipe()
	mustDo(t, err)
	mustDo(t, child.Start())
	var acks []acked
	var kill *time.Timer
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if kill == nil { // the first acknowledgement: it is up and running
			kill = time.AfterFunc(time.Duration(50+rand.IntN(400))*time.Millisecond, func() { child.Process.Kill() })
		}
		var a acked
		if n, _ := fmt.Sscanf(lines.Text(), "%s %d %d %d .", &a.game, &a.x, &a.y, &a.generation); n == 4 {
			acks = append(acks, a)
		}
	}
	_ = child.Wait() // it was killed, so this is an error
	if kill == nil {
		t.Fatal("the child ended before its first report")
	}
	return acks
}

func killLimits() Limits {
	l := DefaultLimits()
	l.EditsUser, l.EditsGame, l.HistoryBytes, l.HistorySnapshots = 1<<20, 1<<20, 1<<29, 4096
	l.SnapshotGeneration, l.SnapshotBytes = 64, 16<<10
	l.CommitWait = time.Minute // how long the disk takes is not its subject
	return l
}

// verifyKilled looks for every acknowledged edit, and returns how long the start took and how many edits are lost.
func verifyKilled(t *testing.T, dir string, acks []acked, epochs map[ID]uint32) (took time.Duration, lost int) {
	t.Helper()
	start := time.Now()
	db, err := pebble.Open(dir, pebble.Options{MinFree: 1})
	mustDo(t, err)
	defer db.Close()
	w := &world{t: t, log: &faultyLog{Log: db.Log()}, store: db.Store(), budget: grid.NewBudget(1 << 30), limits: killLimits()}
	w.open()
	took = time.Since(start)
	defer func() { w.h.Close() }()
	games := map[string]*Game{}
	for _, info := range w.h.List(0, 10) {
		games[info.Name] = w.game(info.ID)
		if info.Epoch <= epochs[info.ID] {
			t.Errorf("game %s came back with epoch %d after %d", info.Name, info.Epoch, epochs[info.ID])
		}
		epochs[info.ID] = info.Epoch
	}
	if len(games) != 2 {
		t.Fatalf("%d games came back", len(games))
	}
	logged := loggedCells(t, w.log, games[moving].ID())
	live := map[[2]int32]bool{}
	for _, c := range must[*grid.Pattern](t)(games[still].Export(ctx, 0)).Cells {
		live[[2]int32{c.X, c.Y}] = true
	}
	for _, a := range acks {
		if a.game == still && !live[[2]int32{a.x, a.y}] {
			lost++
			t.Errorf("the acknowledged cell (%d, %d) is lost", a.x, a.y)
		}
		if a.game == moving && !logged[a] {
			lost++
			t.Errorf("the acknowledged edit %+v is not in the log", a)
		}
	}
	for name := range games {
		g := w.game(games[name].ID()) // each restart below makes new ones
		mustDo(t, g.Pause(ctx, "owner"))
		before := fingerprint(t, g)
		w.log.hidden = true
		w.restart()
		w.log.hidden = false
		g = w.game(g.ID())
		if after := fingerprint(t, g); after != before {
			t.Errorf("game %s: the log on a fresh grid gives other cells", name)
		}
		epochs[g.ID()] = g.Info().Epoch
	}
	mustDo(t, w.game(games[moving].ID()).Start(ctx, "owner"))
	return took, lost
}

// loggedCells are the placed cells that count in a log.
func loggedCells(t *testing.T, log broker.Log, id ID) map[acked]bool {
	t.Helper()
	cells := map[acked]bool{}
	var last *entry
	count := func() {
		if last == nil {
			return
		}
		for _, ev := range last.events {
			for _, e := range ev.edits {
				if e.Kind == Place {
					cells[acked{moving, e.X, e.Y, last.generation}] = true
				}
			}
		}
		last = nil
	}
	for from := uint64(1); ; {
		entries := must[[]broker.LogEntry](t)(log.Read(ctx, id.logName(), from, 1000))
		for _, stored := range entries {
			from = stored.Seq + 1
			e, err := parseEntry(stored.Data)
			mustDo(t, err)
			if last != nil && e.number <= last.number {
				last = nil
			}
			count()
			if len(e.events) > 0 {
				last = &e
			}
		}
		if len(entries) < 1000 {
			count()
			return cells
		}
	}
}

// childMain is the victim: it draws until it is killed and reports every acknowledged cell in a line, written at once, so
// that the line outlives the process. It returns false in a test run.
func childMain() bool {
	dir := os.Getenv(childDir)
	if dir == "" {
		return false
	}
	if err := runChild(dir); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	return true
}

func runChild(dir string) error {
	round, _ := strconv.Atoi(os.Getenv(childDir + "_ROUND"))
	db, err := pebble.Open(dir, pebble.Options{MinFree: 1, MemTable: 512 << 10})
	if err != nil {
		return err
	}
	h, err := NewHost(context.Background(), Config{
		Log: db.Log(), Store: db.Store(), Limits: killLimits(), Logger: slog.New(slog.NewTextHandler(io.Discard, nil)),
	})
	if err != nil {
		return err
	}
	games, err := childGames(h)
	if err != nil {
		return err
	}
	var wait sync.WaitGroup
	for i := range killWriters {
		wait.Go(func() {
			if err := childWriter(games, round, i); err != nil {
				fmt.Fprintln(os.Stderr, err)
				os.Exit(1)
			}
		})
	}
	wait.Wait()
	return nil
}

// childGames finds the games of the rounds before or makes them.
func childGames(h *Host) (map[string]*Game, error) {
	games := map[string]*Game{}
	for _, info := range h.List(0, 10) {
		g, err := h.Game(info.ID)
		if err != nil {
			return nil, err
		}
		games[info.Name] = g
	}
	for _, name := range []string{still, moving} {
		if games[name] != nil {
			continue
		}
		g, err := h.Create(context.Background(), CreateRequest{
			Name: name, User: "owner", UserName: "Owner", Interval: 10 * time.Millisecond,
			Grids: []GridSpec{{Width: killSide, Height: killSide, Mode: Blended}},
		})
		if err != nil {
			return nil, err
		}
		games[name] = g
	}
	_, err := games[moving].EditWait(context.Background(), "owner", 0, Edit{Kind: Stamp, Policy: Skip, Pattern: soup(rand.New(rand.NewPCG(1, 1)), 256, 256, 0.3)})
	if err == nil {
		err = games[moving].Start(context.Background(), "owner")
	}
	return games, err
}

// childWriter places cells of its own rows, one after the other, and reports them.
func childWriter(games map[string]*Game, round, i int) error {
	for n := 0; ; n++ {
		name := still
		if n%2 == 1 {
			name = moving
		}
		at := (round*killWriters+i)*1000 + n/2
		x, y := int32(at%killSide), int32(at/killSide%killSide)
		ack, err := games[name].EditWait(context.Background(), "owner", 0, Edit{Kind: Place, X: x, Y: y, Policy: Overwrite})
		if err != nil {
			return err
		}
		if _, err := io.WriteString(os.Stdout, fmt.Sprintf("%s %d %d %d .\n", name, x, y, ack.Generation)); err != nil {
			return err
		}
	}
}

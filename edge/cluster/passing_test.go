package cluster

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"gosper/broker"
	"gosper/grid/game"
)

// Goal: questions about a game that comes wait, in order and within a limit, until it is there; those that come while the first are
// served are behind them; those about what does not come do not wait. Method: the list alone.
func TestComing(t *testing.T) {
	const id, other, elsewhere = game.ID(7), game.ID(8), game.ID(9)
	var w coming
	there := false
	w.init(3, time.Hour, func(of game.ID, token uint64) (here, comes bool) {
		return there && of == id, token == 2 && of != elsewhere
	})
	var served []string
	ask := func(id game.ID, token uint64, name string) string {
		waits, err := w.wait(id, token, func() { served = append(served, name) })
		return fmt.Sprint(waits, errors.Is(err, broker.ErrBusy))
	}
	if got := ask(id, 1, "by an old record") + ask(elsewhere, 2, "elsewhere"); got != "false falsefalse false" {
		t.Error(got)
	}
	_, _ = w.wait(id, 2, func() {
		served = append(served, "first")
		ask(id, 2, "behind")
	})
	for i, want := range []string{"true false", "true false", "true true"} {
		if got := ask([]game.ID{other, id, id}[i], 2, []string{"another game", "second", "too many"}[i]); got != want {
			t.Errorf("question %d: %s, want %s", i, got, want)
		}
	}
	if len(served) != 0 {
		t.Errorf("%v before the game is there", served)
	}
	w.elsewhere(id, 1)
	w.elsewhere(elsewhere, 1)
	if len(served) != 0 {
		t.Errorf("%v because of an old record", served)
	}
	there = true
	w.here(id)
	w.here(id)
	if want := []string{"first", "second", "behind"}; !slices.Equal(served, want) {
		t.Errorf("served %v, want %v", served, want)
	}
	if got := ask(id, 2, "late"); got != "false false" {
		t.Errorf("of a game that is there: %s", got)
	}
	w.elsewhere(other, 2)
	w.close()
	if len(served) != 4 || len(w.games) != 0 || w.count != 0 {
		t.Errorf("served %v, left %v, %d", served, w.games, w.count)
	}
}

// Goal: what a node tells of a game that it hands over is understood by the clock of the other one. Method: to and fro.
func TestHandOverTime(t *testing.T) {
	then := time.Now()
	due := then.Add(40 * time.Millisecond)
	h := newHandOver(game.Record{ID: 5, Revision: 6}, game.Passed{Due: due, Generation: 7, Number: 8, Epoch: 9})
	if h.ID != 5 || h.Revision != 6 || h.Left > 40*time.Millisecond || !h.Runs {
		t.Fatalf("%+v", h)
	}
	hour := then.Add(time.Hour)
	if p := h.passed(hour); p.Due != hour.Add(h.Left) || p.Generation != 7 || p.Number != 8 || p.Epoch != 9 {
		t.Fatalf("%+v", p)
	}
	late := newHandOver(game.Record{}, game.Passed{Due: then.Add(-time.Second)})
	if p := late.passed(hour); !late.Runs || !p.Due.Before(hour) {
		t.Fatalf("%+v", late)
	}
	rests := newHandOver(game.Record{}, game.Passed{})
	if p := rests.passed(hour); rests.Runs || !p.Due.IsZero() {
		t.Fatalf("%+v", rests)
	}
}

// Goal: a game that is handed to and fro is never looked for where it is not: players and watchers at a third node, and at both, go on,
// each answered once and in order. Method: edits without waiting from one player at the third node, and hand-overs meanwhile.
func TestHandToAndFro(t *testing.T) {
	s := newShore(t)
	nodes := s.nodes("a", "b", "c")
	id := nodes[0].create(false)
	if err := nodes[0].game(id).Start(t.Context(), "anna"); err != nil {
		t.Fatal(err)
	}
	var views []*viewer
	for _, n := range nodes {
		views = append(views, n.watch(id))
	}
	at := nodes[0]
	var group sync.WaitGroup
	var places [200]atomic.Uint64
	before := 0 // questions that were asked before the last move
	for i := range places {
		group.Add(1)
		nodes[2].cluster.Ask(id, fmt.Appendf(nil, `{"game":%q,"x":%d,"y":1}`, id, i), false, time.Time{}, func(answer []byte, err error) {
			defer group.Done()
			var out drawn
			if err == nil {
				err = json.Unmarshal(answer, &out)
			}
			if err != nil || out.Err != "" {
				t.Errorf("edit %d: %s %v", i, answer, err)
			}
			places[i].Store(out.Seq)
		})
		if i%20 == 10 {
			for j := range before { // no more than one move is in the way of a question
				until(t, "an answer", func() bool { return places[j].Load() > 0 || t.Failed() })
			}
			before = i + 1
			if err := at.cluster.steward.hand(t.Context(), id); err != nil && !errors.Is(err, game.ErrBusy) { // busy: the other has begun by itself
				t.Fatal(err)
			}
			at = s.owner(id, nodes...)
		}
	}
	group.Wait()
	for i := range places {
		if place := places[i].Load(); place != uint64(i+1) {
			t.Errorf("edit %d has place %d", i, place)
		}
	}
	now := at.game(id).Info().Generation
	for i, n := range nodes {
		n.sees(views[i], "generations after all", func(v *viewer) bool { return v.generation > now })
	}
}

package game

import (
	"bytes"
	"math/rand/v2"
	"testing"
	"time"

	"gosper/grid"
)

// someEntries are entries with every kind of event.
func someEntries() []entry {
	rng := rand.New(rand.NewPCG(5, 6))
	p := soup(rng, 20, 30, 0.3)
	p.Cells[3].State = 7
	return []entry{
		{number: 3, generation: 1 << 40, time: 1700000000000},
		{events: []event{{kind: evCreate, title: "game", user: "a", name: "Ä", colour: AnyColour, interval: time.Second, persistent: true, created: 5, epoch: 9,
			grids: []GridSpec{{Width: 5, Height: 6, Rule: grid.Life, Topology: grid.Plane, Mode: Owners, Owners: 255}}}}},
		{number: 1, generation: 2, events: []event{
			{kind: evOpen, epoch: 77}, {kind: evJoin, user: "b", name: "B", colour: 5}, {kind: evLeave, by: 1, number: 254},
			{kind: evState, by: 2, state: Stopped}, {kind: evConfigure, by: 255, title: "x", interval: time.Hour}, {kind: evColour, by: 1, colour: 0xffffff},
			{kind: evRewind, epoch: 78, meta: []byte("meta")}, {kind: evEnd, by: 3},
			{kind: evEdits, by: 1, grid: 7, edits: []Edit{
				{Kind: Place, X: -5, Y: 1 << 24, Policy: Skip}, {Kind: Kill}, {Kind: Erase, X: 1, Width: 1<<31 - 1, Height: 3},
				{Kind: Stamp, Pattern: p, Wrap: true, Policy: Overwrite, states: true}, {Kind: Wipe, Pattern: p}, {Kind: Clear},
			}},
		}},
	}
}

// Goal: what is written to a log is read as it was. Method: entries with every kind of event, written, read, and written
// again.
func TestEntries(t *testing.T) {
	kinds := map[eventKind]bool{}
	for _, e := range someEntries() {
		data := e.append(nil)
		back, err := parseEntry(data)
		mustDo(t, err)
		if again := back.append(nil); !bytes.Equal(again, data) {
			t.Errorf("entry %+v came back as %+v", e, back)
		}
		for _, ev := range e.events {
			kinds[ev.kind] = true
		}
		for n := range data {
			if cut, err := parseEntry(data[:n]); err == nil {
				t.Errorf("%d of %d bytes are %+v", n, len(data), cut)
			}
		}
		if _, err := parseEntry(append(data, 0)); err == nil {
			t.Error("a byte too many was taken")
		}
	}
	for k := evCreate; k < eventKinds; k++ {
		if !kinds[k] || k != evState && eventNames[k] == "" {
			t.Errorf("event %d has no test or no name", k)
		}
	}
}

// Goal: bytes of a log may be anything: they are refused, or mean what they are written as again; memory follows their
// length. Method: fuzz.
func FuzzEntry(f *testing.F) {
	for _, e := range someEntries() {
		f.Add(e.append(nil))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		e, err := parseEntry(b)
		if err != nil {
			return
		}
		data := e.append(nil)
		back, err := parseEntry(data)
		if err != nil || !bytes.Equal(back.append(nil), data) {
			t.Fatalf("%+v came back as %+v, %v", e, back, err)
		}
	})
}

// Goal: bytes of a snapshot may be anything too, and an error holds no memory. Method: fuzz.
func FuzzSnapshot(f *testing.F) {
	m := newMachine(nil)
	m.apply(&event{kind: evCreate, title: "g", user: "a", name: "A", colour: 5, interval: time.Second, grids: []GridSpec{
		{Width: 70, Height: 20, Mode: Owners, Owners: 3}, {Width: 30, Height: 30, Topology: grid.Plane, Mode: Blended},
	}})
	m.apply(&event{kind: evEdits, by: 1, edits: []Edit{{Kind: Stamp, Pattern: soup(rand.New(rand.NewPCG(1, 2)), 20, 20, 0.5)}}})
	m.run(3)
	h := history{whole: true, points: []point{{1, 2, 3, 4}, {5, 6, 7, 8}}}
	f.Add(h.append(m.appendSnapshot(nil)))
	f.Fuzz(func(t *testing.T, b []byte) {
		budget := grid.NewBudget(1 << 20)
		m := newMachine(budget)
		h, err := m.readSnapshot(b)
		if err != nil {
			if budget.Used() != 0 {
				t.Fatalf("%v, and %d bytes are held", err, budget.Used())
			}
			return
		}
		data := h.append(m.appendSnapshot(nil))
		again := newMachine(nil)
		if _, err := again.readSnapshot(data); err != nil {
			t.Fatal(err)
		}
		m.run(m.generation + 1)
		m.release()
		if budget.Used() != 0 {
			t.Fatalf("%d bytes are held", budget.Used())
		}
	})
}

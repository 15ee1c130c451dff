package node

import (
	"fmt"
	"slices"
	"strings"
	"syscall"
	"testing"

	"gosper/grid"
	"gosper/protocol"
)

// mirror is a grid that a websocket client keeps from the frames it gets.
type mirror struct {
	*grid.Grid
	head protocol.GridHeader
}

// follow reads messages until the mirror has so many cells, and checks the hash of every frame.
func (m *mirror) follow(w *wire, population int64) {
	w.t.Helper()
	for m.Grid == nil || m.Population() != population {
		m.next(w)
	}
}

// next takes one message, and checks the hash of a frame.
func (m *mirror) next(w *wire) {
	w.t.Helper()
	op, payload := w.frame()
	if op != protocol.OpBinary {
		return
	}
	head, body, err := protocol.ParseGridHeader(payload)
	if err != nil {
		w.t.Fatal(err)
	}
	m.head = head
	switch head.Kind {
	case protocol.GridSnapshot:
		options, err := grid.SnapshotOptions(body)
		if err == nil {
			m.Grid, err = grid.New(options, nil)
		}
		if err == nil {
			err = m.ApplySnapshot(body)
		}
		if err != nil {
			w.t.Fatal(err)
		}
	case protocol.GridDelta, protocol.GridEdits:
		if err := m.ApplyDelta(body); err != nil {
			w.t.Fatal(err)
		}
	}
	if m.Hash() != head.Hash || m.Generation() != head.Generation {
		w.t.Fatalf("frame %+v gives hash %x at generation %d", head, m.Hash(), m.Generation())
	}
}

// expectAll reads lines until each beginning was seen, in any order, passing over others.
func (w *wire) expectAll(beginnings ...string) {
	w.t.Helper()
	for len(beginnings) > 0 {
		line, err := w.r.ReadString('\n')
		if err != nil {
			w.t.Fatalf("%v; did not see %q", err, beginnings)
		}
		beginnings = slices.DeleteFunc(beginnings, func(b string) bool { return strings.HasPrefix(line, b) })
	}
}

// Goal: phones and browsers play one game: each sees what the other draws at once, with the same hash; and after kill -9
// both go on where they were, with a new epoch. Method: a websocket in mode cells, a line with WATCH and EDIT, real bytes,
// two lives of a node.
func TestGameOnBothDoors(t *testing.T) {
	data := t.TempDir()
	p := launch(t, data, nil)
	browser := p.websocket()
	browser.call("/user/loginUnique", `{"unique_id":"device"}`, nil)
	var entered struct{ Session string }
	browser.call("/user/enterWorld", `{"world":"0","name":"Ann"}`, &entered)
	var made struct{ Game struct{ ID string } }
	browser.call("/game/create", `{"name":"pond","grids":[{"width":64,"height":64}]}`, &made)
	id := made.Game.ID
	named := fmt.Sprintf(`{"game":%q,"grid":0}`, id)
	browser.call("/game/watch", named, nil)
	var m mirror
	m.follow(browser, 0)
	browser.call("/game/template", fmt.Sprintf(`{"game":%q,"name":"Glider","x":10,"y":10}`, id), nil)
	m.follow(browser, 5)

	phone := p.register("0", "Ben", "")
	phone.send("00000WATCH" + id + "/0\r\n")
	phone.expect(fmt.Sprintf("000000GRID%s/0 0 64x64 %016x 10$11bo$12bo$10b3o!", id, m.Hash()))
	phone.send("000000EDIT" + id + "/0 30,30 3o!\r\n")
	phone.expect("000000EDIT" + id + "/0 0 0 only users of the game may do this: join it first")
	(&caller{t, phone}).must("/game/join", named, nil)
	phone.send("000000EDIT" + id + "/0 30,30 3o!\r\n")
	phone.expectAll("000000EDIT"+id+"/0 2 0\r\n", fmt.Sprintf("00000DELTA%s/0 0 ", id))
	m.follow(browser, 8)

	if err := p.cmd.Process.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	_ = p.cmd.Wait() // killed
	p = launch(t, data, p)
	back := p.websocket()
	back.call("/session/resume", fmt.Sprintf(`{"token":%q}`, entered.Session), nil)
	var joined struct {
		Game struct{ Owner string }
		You  struct{ ID string }
	}
	back.call("/game/join", named, &joined)
	if joined.Game.Owner != joined.You.ID {
		t.Errorf("the owner came back as %+v", joined)
	}
	back.call("/game/watch", named, nil)
	again := mirror{}
	again.follow(back, 8)
	if again.Hash() != m.Hash() || again.head.Epoch <= m.head.Epoch {
		t.Errorf("after the restart: %+v, before: %+v", again.head, m.head)
	}
	phone = p.register("0", "Ben", "")
	phone.send("000000EDIT" + id + "/0 30,30 !3o!\r\n")
	phone.expect("000000EDIT" + id + "/0 3 0")
	again.follow(back, 5)
}

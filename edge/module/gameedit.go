package module

import (
	"errors"
	"fmt"
	"reflect"
	"time"

	"gosper/grid"
	"gosper/grid/game"
	"gosper/protocol"
)

// gameEditFunctions draw. Each is answered when its edits are durable and on the grid. A call of several edits may be refused
// in part: each edit stands for itself.
func gameEditFunctions() []Function {
	const policy = " policy says what happens where a live cell is in the way: refuse (the default), overwrite or skip."
	return []Function{
		defineEdit(Function{Route: "/game/cells", Gate: "set_cells_game", Needs: NeedWorld, Class: ClassEdit,
			Doc:     "Brings cells to life." + policy,
			Example: `{"game":"0123456789","grid":0,"cells":[[10,20],[11,20]],"policy":"refuse"}`}, (*cellsIn).place),
		defineEdit(Function{Route: "/game/kill", Gate: "kill_cells_game", Needs: NeedWorld, Class: ClassEdit,
			Doc:     "Kills live cells, anybody's; or everything in rectangles.",
			Example: `{"game":"0123456789","grid":0,"cells":[[10,20]],"rects":[{"x":0,"y":0,"width":8,"height":8}]}`}, (*cellsIn).kill),
		defineEdit(Function{Route: "/game/template", Gate: "place_template_game", Needs: NeedWorld, Class: ClassEdit,
			Doc:     "Lays a template of the catalogue with its corner at x, y, all of it or nothing." + policy,
			Example: `{"game":"0123456789","grid":0,"name":"Glider","x":10,"y":20,"orientation":"rotate90","policy":"refuse","wrap":false}`}, (*templateIn).edits),
	}
}

// inGrid is content that names a grid of a game.
type inGrid struct {
	inGame
	Grid int `json:"grid"`
}

func (in inGrid) index() int { return in.Grid }

// drawing is the content of an edit function.
type drawing interface {
	named() string
	index() int
}

// defineEdit makes a table entry from a function that turns content into edits. It never blocks.
func defineEdit[In drawing](f Function, edits func(*In, *game.Limits) ([]game.Edit, error)) Function {
	f.In, f.Out = reflect.TypeFor[In](), reflect.TypeFor[editOut]()
	f.world = readsWorld(f.In)
	f.inline = func(t *Tools, c *Call, done func(any, error)) {
		in, err := decode[In](c.Content)
		if err != nil {
			done(nil, err)
			return
		}
		id, err := t.gameID((*in).named())
		if err != nil {
			done(nil, err)
			return
		}
		t.draw(c, id, (*in).index(), func(limits *game.Limits) ([]game.Edit, error) { return edits(in, limits) }, done)
	}
	return f
}

// draw edits a grid of a game, here or at its node.
func (t *Tools) draw(c *Call, id game.ID, index int, edits func(*game.Limits) ([]game.Edit, error), done func(any, error)) {
	there := func(err error) {
		if t.nodes == nil || c.far != nil {
			done(nil, t.absent(c, err))
			return
		}
		t.elsewhere(c, id, false, bound{}, func() {})(done)
	}
	g, err := t.games.Game(id)
	if err != nil {
		there(err)
		return
	}
	limits := t.games.Limits()
	list, err := edits(&limits)
	if err != nil {
		done(nil, err)
		return
	}
	g.Edit(gameUser(&c.Who), index, list, func(ack game.Ack, err error) {
		if t.moved(err) {
			there(err)
			return
		}
		out, err := newEditOut(&ack, len(list), err)
		done(out, err)
	})
}

// editOut is the answer to edits that are durable and on the grid.
type editOut struct {
	Seq        uint64       `json:"seq"`        // place of the last one in the order of all edits of the game
	Generation uint64       `json:"generation"` // at which they were applied
	Changed    int          `json:"changed"`    // cells
	Refused    []refusedOut `json:"refused,omitempty"`
}

// refusedOut is one edit of a call that the grid refused.
type refusedOut struct {
	Index   int    `json:"index"` // in the content: cells first, then rects
	X       int    `json:"x"`
	Y       int    `json:"y"`
	Key     string `json:"key"`
	Message string `json:"message"`
}

// newEditOut answers edits: when every one was refused, as an error with the reason of the first.
func newEditOut(ack *game.Ack, edits int, err error) (editOut, error) {
	if err != nil {
		return editOut{}, err
	}
	out := editOut{Seq: ack.Seq, Generation: ack.Generation, Changed: ack.Changed}
	for _, r := range ack.Refused {
		line := refusedOut{Index: r.Index, Key: game.ErrorKey(r.Err), Message: r.Err.Error()}
		var cell *grid.EditError
		if errors.As(r.Err, &cell) {
			line.X, line.Y = cell.X, cell.Y
		}
		out.Refused = append(out.Refused, line)
	}
	if len(out.Refused) < edits {
		return out, nil
	}
	fault := gameFault(ack.Err())
	if fault == nil {
		return out, ack.Err()
	}
	data := refusalOf(ack.Err())
	data.Refused = out.Refused
	fault.Data = data
	return editOut{}, fault
}

var errNothingToDraw = refuse(protocol.StatusMissing, "no cells: name them as [[x,y],…]")

// rectIn is a rectangle of cells.
type rectIn struct {
	X      int32 `json:"x"`
	Y      int32 `json:"y"`
	Width  int32 `json:"width"`
	Height int32 `json:"height"`
}

// some says whether the rectangle has a cell, and none of a negative place.
func (r rectIn) some() bool { return r.X >= 0 && r.Y >= 0 && r.Width > 0 && r.Height > 0 }

// cellsIn names cells.
type cellsIn struct {
	inGrid
	Cells  [][2]int32 `json:"cells"`
	Rects  []rectIn   `json:"rects"`
	Policy string     `json:"policy"`
}

func (in *cellsIn) place(*game.Limits) ([]game.Edit, error) {
	policy, err := parsePolicy(in.Policy)
	if err != nil {
		return nil, err
	}
	if len(in.Cells) == 0 {
		return nil, errNothingToDraw
	}
	edits := make([]game.Edit, len(in.Cells))
	for i, c := range in.Cells {
		edits[i] = game.Edit{Kind: game.Place, X: c[0], Y: c[1], Policy: policy}
	}
	return edits, nil
}

func (in *cellsIn) kill(*game.Limits) ([]game.Edit, error) {
	if len(in.Cells)+len(in.Rects) == 0 {
		return nil, errNothingToDraw
	}
	edits := make([]game.Edit, 0, len(in.Cells)+len(in.Rects))
	for _, c := range in.Cells {
		edits = append(edits, game.Edit{Kind: game.Kill, X: c[0], Y: c[1]})
	}
	for _, r := range in.Rects {
		edits = append(edits, game.Edit{Kind: game.Erase, X: r.X, Y: r.Y, Width: r.Width, Height: r.Height})
	}
	return edits, nil
}

// parsePolicy reads "refuse", "overwrite" or "skip"; "" is refuse.
func parsePolicy(name string) (game.Policy, error) {
	switch name {
	case "", "refuse":
		return game.Refuse, nil
	case "overwrite":
		return game.Overwrite, nil
	case "skip":
		return game.Skip, nil
	}
	return 0, refuse(protocol.StatusInvalid, "policy must be refuse, overwrite or skip")
}

// layIn says how a pattern is laid on a grid.
type layIn struct {
	X           int32  `json:"x"` // of the top left corner
	Y           int32  `json:"y"`
	Orientation string `json:"orientation"` // "identity", "rotate90", …
	Policy      string `json:"policy"`
	Wrap        bool   `json:"wrap"` // goes on at the opposite edge of a torus
}

// stamp returns the edit that lays p.
func (in *layIn) stamp(p *grid.Pattern) (e game.Edit, err error) {
	e = game.Edit{Kind: game.Stamp, X: in.X, Y: in.Y, Pattern: p, Wrap: in.Wrap}
	if e.Policy, err = parsePolicy(in.Policy); err != nil {
		return e, err
	}
	if e.Orientation, err = grid.ParseOrientation(clip(in.Orientation)); err != nil {
		return e, refuse(protocol.StatusInvalid, err.Error())
	}
	return e, nil
}

type templateIn struct {
	inGrid
	layIn
	Name string `json:"name"`
}

func (in *templateIn) edits(*game.Limits) ([]game.Edit, error) {
	if in.Name == "" {
		return nil, refuse(protocol.StatusMissing, "name is missing: see /game/templates")
	}
	found, ok := grid.FindTemplate(in.Name)
	if !ok {
		return nil, fmt.Errorf("%w: %q", game.ErrNoTemplate, clip(in.Name))
	}
	e, err := in.stamp(found.Pattern)
	return []game.Edit{e}, err
}

// routeEditLine stands for EDIT lines in metrics.
const routeEditLine = "/game/edit"

// lineCells is the most cells of a pattern in an EDIT line: about what fits into one without long runs. A few bytes can
// name far more, and they are read on an event loop.
const lineCells = 4 << 10

// EditLine draws what the payload of an EDIT line says. See Dispatcher.
func (t *Table) EditLine(who *Identity, payload []byte, done func(reply []byte, status protocol.Status)) {
	t.editLine(who, payload, nil, done)
}

// editLine is EditLine, also for a line that another node forwarded.
func (t *Table) editLine(who *Identity, payload []byte, f *far, done func(reply []byte, status protocol.Status)) {
	line, err := protocol.ParseGridEdit(payload)
	if err != nil {
		done(nil, protocol.StatusInvalid)
		return
	}
	name := line.GridName
	answer := func(ack game.Ack, err error) {
		if err == nil {
			err = ack.Err()
		}
		edited := protocol.GridEdited{GridName: name, Seq: ack.Seq, Generation: ack.Generation}
		status := protocol.StatusOK
		if err != nil {
			fault, internal := faultOf(err)
			if internal {
				t.tools.log.Error("cells were not drawn", "game", name.Game, "error", err)
			}
			edited.Seq, edited.Refused, status = 0, fault.Message, fault.Status
		}
		metrics.countLine(status)
		done(protocol.AppendGridEdited(make([]byte, 0, 64+len(edited.Refused)), edited), status)
	}
	id, err := t.tools.lineGame(who, &line, f)
	if err != nil {
		answer(game.Ack{}, err)
		return
	}
	there := func(err error) {
		switch {
		case f != nil:
			f.notHere.Store(true)
			done(nil, protocol.StatusBusy)
		case t.tools.nodes == nil:
			answer(game.Ack{}, err)
		default:
			t.forwardLine(who, id, payload, answer, done)
		}
	}
	g, err := t.tools.games.Game(id)
	if err != nil {
		there(err)
		return
	}
	e, err := t.tools.lineEdit(&line)
	if err != nil {
		answer(game.Ack{}, err)
		return
	}
	g.Edit(gameUser(who), int(line.Grid), []game.Edit{e}, func(ack game.Ack, err error) {
		if t.tools.moved(err) {
			there(err)
			return
		}
		answer(ack, err)
	})
}

// forwardLine sends an EDIT line to the node of its game.
func (t *Table) forwardLine(who *Identity, id game.ID, payload []byte, failed func(game.Ack, error), done func([]byte, protocol.Status)) {
	q := question{kind: askLine, call: Call{Who: *who, Content: payload}}
	t.tools.nodes.Ask(id, q.append(nil), false, time.Time{}, func(b []byte, err error) {
		var a answer
		if err == nil {
			a, err = parseAnswer(b)
		}
		if err != nil {
			failed(game.Ack{}, err)
			return
		}
		metrics.countLine(a.status)
		done(a.content, a.status)
	})
}

// lineGame is the game of a line, if its sender may draw now. What another node forwards was checked there.
func (t *Tools) lineGame(who *Identity, line *protocol.GridEdit, f *far) (game.ID, error) {
	switch {
	case f != nil:
	case who.World == "" || who.Name == "":
		return 0, faultNoWorld
	case !t.limits.allow(callerOf(ClassEdit, who, ""), t.now()):
		return 0, faultTooMany
	}
	return t.gameID(line.Game)
}

// lineEdit is the edit of a line, which it does not refer to any more.
func (t *Tools) lineEdit(line *protocol.GridEdit) (game.Edit, error) {
	limits := t.games.Limits()
	p, err := grid.ParseRLE(line.Runs, grid.PatternLimits{Cells: min(limits.CellsRequest, lineCells), Side: int32(limits.GridSide)})
	kind := game.Stamp
	if line.Kill {
		kind = game.Wipe
	}
	return game.Edit{Kind: kind, X: line.X, Y: line.Y, Pattern: p}, err
}

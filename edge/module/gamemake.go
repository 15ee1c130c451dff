package module

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"

	"gosper/grid"
	"gosper/grid/game"
	"gosper/protocol"
)

type gameListIn struct {
	After string `json:"after"` // id of a game
	Limit int    `json:"limit"` // 0: as many as allowed
	Mine  bool   `json:"mine"`
}

type gameListOut struct {
	Games []gameOut `json:"games"`
	Next  string    `json:"next,omitempty"` // after of the next page; missing when this is the last one
}

// gameListAsk is what a list of games of one node is made of.
type gameListAsk struct {
	After game.ID `json:"after"`
	Limit int     `json:"limit"`
	User  string  `json:"user"` // whose games alone; "": all
}

func gameList(t *Tools, c *Call, in *gameListIn) (gameListOut, error) {
	if t.games == nil {
		return gameListOut{}, errNoGames
	}
	limit, err := t.page(in.Limit)
	if err != nil {
		return gameListOut{}, err
	}
	ask := gameListAsk{Limit: limit}
	if in.After != "" {
		if ask.After, err = game.ParseID(in.After); err != nil {
			return gameListOut{}, err
		}
	}
	if in.Mine {
		ask.User = gameUser(&c.Who)
	}
	out := t.listHere(ask)
	if t.nodes == nil {
		return out, nil
	}
	return t.listAll(c.Context, ask, out)
}

// listHere is a page of the games of this node.
func (t *Tools) listHere(ask gameListAsk) gameListOut {
	out := gameListOut{Games: []gameOut{}}
	scan := ask.Limit
	if ask.User != "" {
		scan = 1000 // most will not be listed
	}
	for after := ask.After; ; {
		infos := t.games.List(after, scan)
		for i := range infos {
			if u, ok := infos[i].User(ask.User); ask.User != "" && (!ok || !u.Present) {
				continue
			}
			if len(out.Games) == ask.Limit {
				out.Next = out.Games[ask.Limit-1].ID.String()
				return out
			}
			out.Games = append(out.Games, newGameOut(&infos[i]))
		}
		if len(infos) < scan {
			return out
		}
		after = infos[scan-1].ID
	}
}

// listAll is a page of the games of all nodes: of each node's page, which has all that may be on this one, the first. Games of a node
// that does not answer are left out.
func (t *Tools) listAll(ctx context.Context, ask gameListAsk, out gameListOut) (gameListOut, error) {
	content, err := json.Marshal(ask)
	if err != nil {
		return out, err
	}
	q := question{kind: askList, call: Call{Content: content}}
	more := out.Next != ""
	for _, b := range t.nodes.AskAll(ctx, q.append(nil)) {
		var page gameListOut
		a, err := parseAnswer(b)
		if err == nil && a.status == protocol.StatusOK {
			err = json.Unmarshal(a.content, &page)
		}
		if err != nil {
			return out, err
		}
		out.Games = append(out.Games, page.Games...)
		more = more || page.Next != ""
	}
	slices.SortFunc(out.Games, func(a, b gameOut) int { return cmp.Or(cmp.Compare(a.ID, b.ID), cmp.Compare(b.Epoch, a.Epoch)) })
	out.Games = slices.CompactFunc(out.Games, func(a, b gameOut) bool { return a.ID == b.ID }) // one that moves may be at two nodes
	if len(out.Games) > ask.Limit {
		out.Games, more = out.Games[:ask.Limit], true
	}
	if out.Next = ""; more && len(out.Games) > 0 {
		out.Next = out.Games[len(out.Games)-1].ID.String()
	}
	return out, nil
}

// listFor answers another node's askList.
func (t *Tools) listFor(content []byte) (gameListOut, error) {
	ask, err := decode[gameListAsk](content)
	if err != nil {
		return gameListOut{}, err
	}
	if ask.Limit < 1 || ask.Limit > t.options.GamePage {
		ask.Limit = t.options.GamePage
	}
	return t.listHere(*ask), nil
}

// page reads how many lines of a list are asked for.
func (t *Tools) page(limit int) (int, error) {
	if limit < 0 || limit > t.options.GamePage {
		return 0, refuse(protocol.StatusRange, fmt.Sprintf("limit is out of range: use 1 to %d", t.options.GamePage))
	}
	return cmp.Or(limit, t.options.GamePage), nil
}

type gameCreateIn struct {
	Name            string   `json:"name"`
	Color           string   `json:"color"`
	Interval        *float64 `json:"interval"`
	RefreshInterval *float64 `json:"refreshInterval"` // another name of interval
	Persistent      bool     `json:"persistent"`
	Durability      string   `json:"durability"` // "strict" or "relaxed"; "": strict
	Grids           []gridIn `json:"grids"`
	Resolution      *int     `json:"resolution"` // of the classic board, in pixels; only without grids
}

type gridIn struct {
	Width    int    `json:"width"`
	Height   int    `json:"height"`
	Rule     string `json:"rule"`     // "": B3/S23
	Topology string `json:"topology"` // "": torus
	Mode     string `json:"mode"`     // "": plain
	Owners   int    `json:"owners"`   // mode owners: how many it tells apart, 0 is 16
}

// gameUserOut is a game as one of its users gets it.
type gameUserOut struct {
	Game gameOut `json:"game"`
	You  userOut `json:"you"`
}

// defineCreate makes the function that makes games, here or at the node with the fewest.
func defineCreate(f Function) Function {
	f.In, f.Out = reflect.TypeFor[gameCreateIn](), reflect.TypeFor[gameUserOut]()
	f.run = func(t *Tools, c *Call) (any, error) {
		in, err := decode[gameCreateIn](c.Content)
		if err != nil {
			return nil, err
		}
		if t.games == nil {
			return nil, errNoGames
		}
		r, err := in.request(&c.Who)
		if err != nil {
			return nil, err
		}
		if t.nodes != nil && c.far == nil {
			switch node := t.nodes.Place(c.Context, game.Memory(r.Grids)); node {
			case t.nodes.Node():
			case "":
				return nil, game.ErrMoving
			default:
				if out, err := t.createAt(c, node); !errors.Is(err, game.ErrMoving) {
					return out, err
				}
			}
		}
		return t.createHere(c, r)
	}
	return f
}

func (t *Tools) createHere(c *Call, r game.CreateRequest) (gameUserOut, error) {
	g, err := t.games.Create(c.Context, r)
	if err != nil {
		return gameUserOut{}, err
	}
	if t.gameMade != nil {
		t.gameMade(g.ID())
	}
	if c.far != nil {
		c.far.game.Store(uint64(g.ID()))
	}
	if _, err := t.follow(c, g.ID()); err != nil {
		return gameUserOut{}, err
	}
	return newGameUserOut(g, r.User), nil
}

// createAt has another node make a game. Errors: game.ErrMoving when that node was not reached.
func (t *Tools) createAt(c *Call, node string) (any, error) {
	type answered struct {
		data []byte
		err  error
	}
	got := make(chan answered, 1)
	q := question{kind: askFunction, gate: c.gate, call: *c}
	t.nodes.AskNode(node, q.append(nil), func(b []byte, err error) { got <- answered{b, err} })
	var b answered
	select {
	case b = <-got:
	case <-c.Context.Done():
		return nil, c.Context.Err()
	}
	if b.err != nil {
		return nil, b.err
	}
	a, err := parseAnswer(b.data)
	if err != nil {
		return nil, err
	}
	if a.game != 0 {
		if _, err := t.follow(c, game.ID(a.game)); err != nil {
			return nil, err
		}
	}
	return relayed{a.reply()}, nil
}

func newGameUserOut(g *game.Game, id string) gameUserOut {
	info := g.Info()
	u, _ := info.User(id)
	return gameUserOut{Game: newGameOut(&info), You: newUserOut(u)}
}

// request is the content as package game wants it.
func (in *gameCreateIn) request(who *Identity) (r game.CreateRequest, err error) {
	r = game.CreateRequest{Name: in.Name, User: gameUser(who), UserName: who.Name, Persistent: in.Persistent}
	if r.Colour, err = game.ParseColour(in.Color); err != nil {
		return r, err
	}
	if r.Relaxed, err = parseDurability(clip(in.Durability)); err != nil {
		return r, err
	}
	if ms := cmp.Or(in.Interval, in.RefreshInterval); ms != nil {
		if r.Interval, err = interval(*ms); err != nil {
			return r, err
		}
	}
	if len(in.Grids) > 0 && in.Resolution != nil {
		return r, refuse(protocol.StatusInvalid, "resolution is for the classic board only: leave it out, or the grids")
	}
	if len(in.Grids) == 0 {
		r.Grids, err = classicGrids(in.Resolution)
		return r, err
	}
	for i := range in.Grids {
		spec, err := in.Grids[i].spec()
		if err != nil {
			return r, fmt.Errorf("grid %d: %w", i, err)
		}
		r.Grids = append(r.Grids, spec)
	}
	return r, nil
}

// classicGrids is the board of older clients.
func classicGrids(resolution *int) ([]game.GridSpec, error) {
	pixels := game.ClassicPixels
	if resolution != nil {
		pixels.Resolution = *resolution
	}
	spec, err := pixels.Grid()
	return []game.GridSpec{spec}, err
}

func (in *gridIn) spec() (s game.GridSpec, err error) {
	s = game.GridSpec{Width: in.Width, Height: in.Height, Owners: in.Owners}
	if in.Rule != "" {
		if s.Rule, err = grid.ParseRule(in.Rule); err != nil {
			return s, err
		}
	}
	switch in.Topology {
	case "", grid.Torus.String():
	case grid.Plane.String():
		s.Topology = grid.Plane
	default:
		return s, refuse(protocol.StatusInvalid, "topology must be torus or plane")
	}
	s.Mode, err = game.ParseMode(clip(in.Mode))
	return s, err
}

// clip bounds what of a client's word comes back in a message.
func clip(word string) string { return word[:min(len(word), 40)] }

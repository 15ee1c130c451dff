package module

import (
	"cmp"
	"fmt"

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

func gameList(t *Tools, c *Call, in *gameListIn) (gameListOut, error) {
	out := gameListOut{Games: []gameOut{}}
	if t.games == nil {
		return out, errNoGames
	}
	limit, err := t.page(in.Limit)
	if err != nil {
		return out, err
	}
	var after game.ID
	if in.After != "" {
		if after, err = game.ParseID(in.After); err != nil {
			return out, err
		}
	}
	user, scan := gameUser(&c.Who), limit
	if in.Mine {
		scan = 1000 // most will not be listed
	}
	for {
		infos := t.games.List(after, scan)
		for i := range infos {
			if u, ok := infos[i].User(user); in.Mine && (!ok || !u.Present) {
				continue
			}
			if len(out.Games) == limit {
				out.Next = out.Games[limit-1].ID.String()
				return out, nil
			}
			out.Games = append(out.Games, newGameOut(&infos[i]))
		}
		if len(infos) < scan {
			return out, nil
		}
		after = infos[scan-1].ID
	}
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

func gameCreate(t *Tools, c *Call, in *gameCreateIn) (gameUserOut, error) {
	if t.games == nil {
		return gameUserOut{}, errNoGames
	}
	r, err := in.request(&c.Who)
	if err != nil {
		return gameUserOut{}, err
	}
	g, err := t.games.Create(c.Context, r)
	if err != nil {
		return gameUserOut{}, err
	}
	if t.gameMade != nil {
		t.gameMade(g.ID())
	}
	if err := t.follow(c, g.ID()); err != nil {
		return gameUserOut{}, err
	}
	return newGameUserOut(g, r.User), nil
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

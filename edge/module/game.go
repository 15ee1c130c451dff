package module

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"time"

	"gosper/grid"
	"gosper/grid/game"
	"gosper/protocol"
)

// What a caller may do with a game depends on who they are in it:
//
//	anybody in a world   list, templates, watch, unwatch, history, look, stats, pattern (to read), join
//	a user of the game   start (but one that was stopped), pause, step, cells, kill, template, pattern (to draw), color, leave
//	its owner            stop, start again, rewind, configure, remove, end, pattern with replace
//
// A user stays one until /game/leave: a lost connection, a logout or a restart of the node changes nothing. Joining again
// is right at any time; it brings the connection back to the pushes of the game. Package game says how ownership passes on.

// gameFunctions are games: who plays what, and what happens in it.
func gameFunctions() []Function {
	return []Function{
		define(Function{Route: "/game/list", Needs: NeedWorld, Class: ClassRead,
			Doc:     "Lists the games of this node by id; after is the last id of the page before, mine leaves out those one has not joined.",
			Example: `{"after":"","limit":50,"mine":false}`}, gameList),
		define(Function{Route: "/game/create", Needs: NeedWorld, Class: ClassWrite,
			Doc: "Makes a paused game with the caller as owner and first user. interval is in milliseconds; without grids it is the classic " +
				"board, 321 by 321 cells for a resolution of 10.",
			Example: `{"name":"pond","color":"3cfaa0","interval":500,"persistent":false,"grids":[{"width":320,"height":320,"rule":"B3/S23","topology":"torus","mode":"owners","owners":16}]}`}, gameCreate),
		defineGame(Function{Route: "/game/join", Needs: NeedWorld, Class: ClassWrite,
			Doc:     "Joins a game, or comes back to it, and gets its pushes from now on. A color that is taken gives another one.",
			Example: `{"game":"0123456789","color":"3cfaa0"}`}, gameJoin),
		defineGame(Function{Route: "/game/leave", Needs: NeedWorld, Class: ClassWrite,
			Doc:     "Leaves a game. The owner's game passes to who is in it longest; without users it ends, unless it is persistent.",
			Example: `{"game":"0123456789"}`}, gameLeave),
		defineGame(Function{Route: "/game/start", Needs: NeedWorld, Class: ClassWrite,
			Doc:     "Lets a game run. Users may; after a stop only the owner.",
			Example: `{"game":"0123456789"}`}, gameStart),
		defineGame(Function{Route: "/game/pause", Needs: NeedWorld, Class: ClassWrite,
			Doc:     "Pauses a game: no ticks, but edits and steps. Users may.",
			Example: `{"game":"0123456789"}`}, gamePause),
		defineGame(Function{Route: "/game/step", Needs: NeedWorld, Class: ClassWrite,
			Doc:     "Computes generations of a paused game, one if no number is given. Users may.",
			Example: `{"game":"0123456789","generations":1}`}, gameStep),
		defineGame(Function{Route: "/game/stop", Needs: NeedWorld, Class: ClassWrite,
			Doc:     "Stops a game: no ticks and no edits until its owner starts it again. Only the owner may.",
			Example: `{"game":"0123456789"}`}, gameStop),
		defineGame(Function{Route: "/game/configure", Needs: NeedWorld, Class: ClassWrite,
			Doc:     "Changes name, interval (milliseconds) or persistence of a game. Only the owner may.",
			Example: `{"game":"0123456789","name":"lake","interval":250,"persistent":true}`}, gameConfigure),
		defineGame(Function{Route: "/game/color", Needs: NeedWorld, Class: ClassWrite,
			Doc:     "Takes another color in a game, or one like it when it is taken.",
			Example: `{"game":"0123456789","color":"ff8800"}`}, gameColor),
		defineGame(Function{Route: "/game/remove", Needs: NeedWorld, Class: ClassWrite,
			Doc:     "Sends a user out of a game, as if they left. Only the owner may.",
			Example: `{"game":"0123456789","user":"4f1c2d3e5a6b"}`}, gameRemove),
		defineGame(Function{Route: "/game/end", Needs: NeedWorld, Class: ClassWrite,
			Doc:     "Ends a game for everybody and forgets it. Only the owner may.",
			Example: `{"game":"0123456789"}`}, gameEnd),
	}
}

// inGame is content that names a game. Inputs of functions on a game embed it.
type inGame struct {
	Game string `json:"game"`
}

func (in inGame) named() string { return in.Game }

// defineGame makes a table entry from a function on one game.
func defineGame[In interface{ named() string }, Out any](f Function, run func(*Tools, *Call, *game.Game, *In) (Out, error)) Function {
	return define(f, func(t *Tools, c *Call, in *In) (out Out, err error) {
		g, err := t.game((*in).named())
		if err != nil {
			return out, err
		}
		return run(t, c, g, in)
	})
}

// game returns the game of an id.
func (t *Tools) game(id string) (*game.Game, error) {
	if t.games == nil {
		return nil, errNoGames
	}
	if id == "" {
		return nil, refuse(protocol.StatusMissing, "game is missing: name it by its id")
	}
	n, err := game.ParseID(id)
	if err != nil {
		return nil, err
	}
	return t.games.Game(n)
}

// gameUser is who a caller is in games: the account, or for a name that a service vouches for, world and name. The two
// cannot be the same, since accounts have no slash.
func gameUser(who *Identity) string {
	if who.Account != "" {
		return who.Account
	}
	const longest = 128 // of an id in a game
	if id := who.World + "/" + who.Name; len(id) <= longest {
		return id
	}
	sum := sha256.Sum256([]byte(who.Name))
	return who.World + "/" + hex.EncodeToString(sum[:])
}

// gameOut describes a game.
type gameOut struct {
	ID         game.ID   `json:"id"`
	Name       string    `json:"name"`
	Owner      string    `json:"owner"` // id of a user
	Users      []userOut `json:"users"`
	Grids      []gridOut `json:"grids"`
	Interval   float64   `json:"interval"` // milliseconds
	State      string    `json:"state"`    // "paused", "running", "stopped"
	Persistent bool      `json:"persistent"`
	Created    int64     `json:"created"` // unix milliseconds
	Epoch      uint32    `json:"epoch"`   // changes when the game was rewound or set back
	Generation uint64    `json:"generation"`
	Fault      string    `json:"fault,omitempty"`
}

// userOut is a user of a game.
type userOut struct {
	ID      string `json:"id"`
	Name    string `json:"name"`
	Color   string `json:"color"`
	Number  uint8  `json:"number"`  // owner number of the cells
	Present bool   `json:"present"` // false: has left, but owns cells
}

// gridOut is a grid of a game.
type gridOut struct {
	Width    int    `json:"width"`
	Height   int    `json:"height"`
	Rule     string `json:"rule"`
	Topology string `json:"topology"` // "torus" or "plane"
	Mode     string `json:"mode"`     // "plain", "owners", "blended" or "channels"
	Owners   int    `json:"owners,omitempty"`
}

func newUserOut(u game.User) userOut {
	return userOut{ID: u.ID, Name: u.Name, Color: u.Colour.String(), Number: u.Number, Present: u.Present}
}

func newUsersOut(users []game.User) []userOut {
	out := make([]userOut, len(users))
	for i, u := range users {
		out[i] = newUserOut(u)
	}
	return out
}

func newGameOut(info *game.Info) gameOut {
	out := gameOut{
		ID: info.ID, Name: info.Name, Owner: info.Owner, Users: newUsersOut(info.Users), Grids: make([]gridOut, len(info.Grids)),
		Interval: milliseconds(info.Interval), State: info.State.String(), Persistent: info.Persistent,
		Created: info.Created.UnixMilli(), Epoch: info.Epoch, Generation: info.Generation, Fault: info.Fault,
	}
	for i, s := range info.Grids {
		out.Grids[i] = gridOut{Width: s.Width, Height: s.Height, Rule: s.Rule.String(), Topology: s.Topology.String(), Mode: s.Mode.String(), Owners: s.Owners}
	}
	return out
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// interval reads milliseconds; what no duration can hold becomes one that is refused for being too long.
func interval(ms float64) (time.Duration, error) {
	if ms <= 0 {
		return 0, refuse(protocol.StatusRange, "interval must be a positive number of milliseconds")
	}
	return time.Duration(min(ms*float64(time.Millisecond), math.MaxInt64/2)), nil
}

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

type gameJoinIn struct {
	inGame
	Color string `json:"color"` // "": the one from before, or any
}

func gameJoin(t *Tools, c *Call, g *game.Game, in *gameJoinIn) (gameUserOut, error) {
	colour, err := game.ParseColour(in.Color)
	if err != nil {
		return gameUserOut{}, err
	}
	if err := t.follow(c, g.ID()); err != nil {
		return gameUserOut{}, err
	}
	u, err := g.Join(c.Context, gameUser(&c.Who), c.Who.Name, colour)
	if err != nil {
		t.unfollow(c, g)
		return gameUserOut{}, err
	}
	return newGameUserOut(g, u.ID), nil
}

func gameLeave(t *Tools, c *Call, g *game.Game, _ *inGame) (empty, error) {
	err := g.Leave(c.Context, gameUser(&c.Who))
	if err == nil || errors.Is(err, game.ErrGone) {
		t.unwatchAll(c, g)
		t.unfollow(c, g)
	}
	return empty{}, err
}

// stateOut is what a game does after a call that changed it.
type stateOut struct {
	State      string `json:"state"`
	Generation uint64 `json:"generation"`
}

func stateOf(g *game.Game, err error) (stateOut, error) {
	info := g.Info()
	return stateOut{info.State.String(), info.Generation}, err
}

func gameStart(_ *Tools, c *Call, g *game.Game, _ *inGame) (stateOut, error) {
	return stateOf(g, g.Start(c.Context, gameUser(&c.Who)))
}

func gamePause(_ *Tools, c *Call, g *game.Game, _ *inGame) (stateOut, error) {
	return stateOf(g, g.Pause(c.Context, gameUser(&c.Who)))
}

func gameStop(_ *Tools, c *Call, g *game.Game, _ *inGame) (stateOut, error) {
	return stateOf(g, g.Stop(c.Context, gameUser(&c.Who)))
}

type gameStepIn struct {
	inGame
	Generations *int `json:"generations"`
}

func gameStep(_ *Tools, c *Call, g *game.Game, in *gameStepIn) (stateOut, error) {
	n := 1
	if in.Generations != nil {
		n = *in.Generations
	}
	generation, err := g.Step(c.Context, gameUser(&c.Who), n)
	out, err := stateOf(g, err)
	out.Generation = generation
	return out, err
}

type gameConfigureIn struct {
	inGame
	Name       *string  `json:"name"`
	Interval   *float64 `json:"interval"`
	Persistent *bool    `json:"persistent"`
}

func gameConfigure(_ *Tools, c *Call, g *game.Game, in *gameConfigureIn) (gameOut, error) {
	s := game.Settings{Name: in.Name, Persistent: in.Persistent}
	if in.Interval != nil {
		d, err := interval(*in.Interval)
		if err != nil {
			return gameOut{}, err
		}
		s.Interval = &d
	}
	err := g.Configure(c.Context, gameUser(&c.Who), s)
	info := g.Info()
	return newGameOut(&info), err
}

func gameColor(_ *Tools, c *Call, g *game.Game, in *gameJoinIn) (userOut, error) {
	colour, err := game.ParseColour(in.Color)
	if err != nil {
		return userOut{}, err
	}
	u, err := g.Recolour(c.Context, gameUser(&c.Who), colour)
	return newUserOut(u), err
}

type gameRemoveIn struct {
	inGame
	User string `json:"user"`
}

func gameRemove(_ *Tools, c *Call, g *game.Game, in *gameRemoveIn) (empty, error) {
	return empty{}, g.Remove(c.Context, gameUser(&c.Who), in.User)
}

func gameEnd(_ *Tools, c *Call, g *game.Game, _ *inGame) (empty, error) {
	return empty{}, g.End(c.Context, gameUser(&c.Who))
}

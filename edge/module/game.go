package module

import (
	"crypto/sha256"
	"encoding/hex"

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

const routeGameJoin = "/game/join"

// gameFunctions are games: who plays what, and what happens in it.
func gameFunctions() []Function {
	return []Function{
		define(Function{Route: "/game/list", Gate: "get_all_game", Needs: NeedWorld, Class: ClassRead,
			Doc:     "Lists the games of all nodes by id; after is the last id of the page before, mine leaves out those one has not joined.",
			Example: `{"after":"","limit":50,"mine":false}`}, gameList),
		defineCreate(Function{Route: "/game/create", Gate: "create_game", Needs: NeedWorld, Class: ClassWrite,
			Doc: "Makes a paused game with the caller as owner and first user. interval is in milliseconds; without grids it is the classic " +
				"board, 321 by 321 cells for a resolution of 10. durability is strict (the default) or relaxed: then edits are answered before they " +
				"are on disk, and taken while the store is away.",
			Example: `{"name":"pond","color":"3cfaa0","interval":500,"persistent":false,"grids":[{"width":320,"height":320,"rule":"B3/S23","topology":"torus","mode":"owners","owners":16}]}`}),
		defineTied(Function{Route: routeGameJoin, Gate: "join_game", Needs: NeedWorld, Class: ClassWrite,
			Doc:     "Joins a game, or comes back to it, and gets its pushes from now on. A color that is taken gives another one.",
			Example: `{"game":"0123456789","color":"3cfaa0"}`}, tie[gameJoinIn]{before: tieJoin}, gameJoin),
		defineTied(Function{Route: "/game/leave", Gate: "leave_game", Needs: NeedWorld, Class: ClassWrite,
			Doc:     "Leaves a game. The owner's game passes to who is in it longest; without users it ends, unless it is persistent.",
			Example: `{"game":"0123456789"}`}, tie[inGame]{after: tieLeave}, gameLeave),
		defineGame(Function{Route: "/game/start", Gate: "start_game", Needs: NeedWorld, Class: ClassWrite,
			Doc:     "Lets a game run. Users may; after a stop only the owner.",
			Example: `{"game":"0123456789"}`}, gameStart),
		defineGame(Function{Route: "/game/pause", Gate: "pause_game", Needs: NeedWorld, Class: ClassWrite,
			Doc:     "Pauses a game: no ticks, but edits and steps. Users may.",
			Example: `{"game":"0123456789"}`}, gamePause),
		defineGame(Function{Route: "/game/step", Gate: "step_game", Needs: NeedWorld, Class: ClassWrite,
			Doc:     "Computes generations of a paused game, one if no number is given. Users may.",
			Example: `{"game":"0123456789","generations":1}`}, gameStep),
		defineGame(Function{Route: "/game/stop", Gate: "stop_game", Needs: NeedWorld, Class: ClassWrite,
			Doc:     "Stops a game: no ticks and no edits until its owner starts it again. Only the owner may.",
			Example: `{"game":"0123456789"}`}, gameStop),
		defineGame(Function{Route: "/game/configure", Gate: "configure_game", Needs: NeedWorld, Class: ClassWrite,
			Doc:     "Changes name, interval (milliseconds), persistence or durability of a game. Only the owner may.",
			Example: `{"game":"0123456789","name":"lake","interval":250,"persistent":true,"durability":"strict"}`}, gameConfigure),
		defineGame(Function{Route: "/game/color", Gate: "set_color_game", Needs: NeedWorld, Class: ClassWrite,
			Doc:     "Takes another color in a game, or one like it when it is taken.",
			Example: `{"game":"0123456789","color":"ff8800"}`}, gameColor),
		defineGame(Function{Route: "/game/remove", Gate: "remove_game", Needs: NeedWorld, Class: ClassWrite,
			Doc:     "Sends a user out of a game, as if they left. Only the owner may.",
			Example: `{"game":"0123456789","user":"4f1c2d3e5a6b"}`}, gameRemove),
		defineGame(Function{Route: "/game/end", Gate: "end_game", Needs: NeedWorld, Class: ClassWrite,
			Doc:     "Ends a game for everybody and forgets it. Only the owner may.",
			Example: `{"game":"0123456789"}`}, gameEnd),
	}
}

// inGame is content that names a game. Inputs of functions on a game embed it.
type inGame struct {
	Game string `json:"game"`
}

func (in inGame) named() string { return in.Game }

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

type gameJoinIn struct {
	inGame
	Color string `json:"color"` // "": the one from before, or any
}

func gameJoin(_ *Tools, c *Call, g *game.Game, in *gameJoinIn) (gameUserOut, error) {
	colour, err := game.ParseColour(in.Color)
	if err != nil {
		return gameUserOut{}, err
	}
	u, err := g.Join(c.Context, gameUser(&c.Who), c.Who.Name, colour)
	if err != nil {
		return gameUserOut{}, err
	}
	return newGameUserOut(g, u.ID), nil
}

// tieJoin lets the pushes of the game come before the caller is a user of it.
func tieJoin(t *Tools, c *Call, id game.ID, _ *gameJoinIn) (undo func(), err error) {
	return t.follow(c, id)
}

func gameLeave(_ *Tools, c *Call, g *game.Game, _ *inGame) (empty, error) {
	return empty{}, g.Leave(c.Context, gameUser(&c.Who))
}

// tieLeave ends streams and pushes of who has left.
func tieLeave(t *Tools, c *Call, id game.ID, _ *inGame, o outcome) {
	if o.status == protocol.StatusOK || o.status == protocol.StatusGameOver {
		t.unwatchAll(c, id)
		t.unfollow(c, id, o)
	}
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
	Durability *string  `json:"durability"` // "strict" or "relaxed"
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
	if in.Durability != nil {
		relaxed, err := parseDurability(*in.Durability)
		if err != nil {
			return gameOut{}, err
		}
		s.Relaxed = &relaxed
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
